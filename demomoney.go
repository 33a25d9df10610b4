package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/jobs"
	"tallybook/query"
	"tallybook/store"
)

// demoMonth is the month of the sample that is billed.
const demoMonth = "2026-01"

// demoDomains are those that the sample's mails are of.
var demoDomains = []string{"mail.example.com", "news.example.com"}

// catalog applies the sample's: before the events that it prices.
func (d *demo) catalog(ctx context.Context) error {
	text, err := sampleFiles.ReadFile("testdata/plans.yaml")
	if err != nil {
		return err
	}
	file, err := query.ReadCatalogFile(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if _, err := d.store.ApplyCatalog(ctx, &file.Catalog, store.ApplyOptions{Actor: commandLine}); err != nil {
		return file.Explain(err)
	}
	for _, domain := range demoDomains {
		if _, _, err := d.store.PutDomain(ctx, commandLine, demoAccount, domain); err != nil {
			return err
		}
	}
	return nil
}

// visit is a session with application events, made over HTTP; once in a data folder.
func (d *demo) visit(ctx context.Context) error {
	var there struct{ Sessions []json.RawMessage }
	if err := d.call(ctx, http.MethodGet, "/sessions/?limit=1", nil, &there); err != nil || len(there.Sessions) > 0 {
		return err
	}
	var session struct{ ID string }
	if err := d.call(ctx, http.MethodPost, "/sessions/", nil, &session); err != nil {
		return err
	}
	for i, page := range []string{"/", "/lamps", "/lamps/7", "/cart", "/checkout"} {
		event := map[string]any{"session": map[string]string{"id": session.ID}, "category": "page interaction", "name": "pageview",
			"data": map[string]string{"path": page}, "timestamp": sampleTo.Add(time.Duration(i-10) * time.Minute)}
		if err := d.call(ctx, http.MethodPost, "/events/", event, nil); err != nil {
			return err
		}
	}
	return nil
}

// call asks the process that this is for the sample's account.
func (d *demo) call(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, d.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("X-Account-ID", demoAccount)
	got, status, err := d.send(req)
	if err != nil {
		return err
	}
	if status >= 300 {
		return fmt.Errorf("%s %s: %d: %s", method, path, status, got)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}

// invoices makes those of the sample's month, from the rows of the archive.
func (d *demo) invoices(ctx context.Context) error {
	runner, err := jobs.NewRunner(jobs.RunnerConfig{Jobs: []jobs.Job{d.cfg.invoiceJob(d.store, d.archive, d.kafka)},
		Registry: prometheus.NewRegistry(), Store: d.store, Now: d.cfg.now, Log: d.log})
	if err != nil {
		return err
	}
	if err := runInTurn(ctx, runner, "invoices", func(string) {}); err != nil {
		return err
	}
	list, err := d.store.Invoices(ctx, store.InvoiceFilter{Month: demoMonth, Drafts: true, Limit: 100})
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b store.Invoice) int { return bytes.Compare([]byte(a.Customer.Name), []byte(b.Customer.Name)) })
	d.say("\nInvoices of %s for three customers on three plans, from their rows in the archive", demoMonth)
	for _, i := range list {
		d.say("  %-12s %-12s %-6s %10s %s", i.Number, i.Customer.Name, i.Status, i.Total, i.Currency)
	}
	return nil
}
