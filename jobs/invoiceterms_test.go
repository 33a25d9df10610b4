package jobs

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

func (r *billRig) terms(minimum string, taxes ...schemas.Tax) {
	r.t.Helper()
	_, err := r.store.UpdateCustomer(r.t.Context(), "test", r.customer.ID, store.CustomerUpdate{Taxes: &taxes, Minimum: (*schemas.DecimalText)(&minimum)})
	if err != nil {
		r.t.Fatal(err)
	}
}

func taxTexts(i *store.Invoice) (texts []string) {
	for _, t := range i.Taxes {
		texts = append(texts, t.Name+" "+string(t.Percent)+" of "+t.Base+": "+t.Amount)
	}
	return append(texts, "net "+i.Net+" total "+i.Total)
}

// A month comes to its minimum at least, and is taxed at the rates that it was
// billed with, also by what later documents adjust.
func TestMinimumAndTaxes(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-09-01T00:00:00Z"
	r.terms("50.00", schemas.Tax{Name: "VAT", Percent: "19"}, schemas.Tax{Name: "City", Percent: "0.333"})
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
	same(t, "January", linesOf(&january), []string{"usage 2026-01 base q=0 rows=0 31.00-0=31.00", "usage 2026-01 web/a q=12 rows=1 11.00-0=11.00",
		"minimum 2026-01  q=0 rows=0 8.00-0=8.00"})
	same(t, "January's taxes", taxTexts(&january), []string{"VAT 19 of 50.00: 9.50", "City 0.333 of 50.00: 0.17", "net 50.00 total 59.67"})
	said, err := r.prove(&january, nil)
	if err != nil || !strings.Contains(strings.Join(said, "\n"), "VAT, 19 % of 50.00: 9.50 USD") {
		t.Errorf("prove: %v\n%s", err, strings.Join(said, "\n"))
	}

	r.terms("", schemas.Tax{Name: "VAT", Percent: "7"})
	r.write(usage0, []event{r.use(r.customer, "2026-01-06T10:00:00Z", "/a", "20")}, nil, 0)
	february := find(t, r.bill("2026-03-10T00:00:00Z"), "2026-02", schemas.KindInvoice)
	same(t, "February", linesOf(&february), []string{"usage 2026-02 base q=0 rows=0 31.00-0=31.00", "adjustment 2026-01 web/a q=32 rows=2 21.00-11.00=10.00",
		"adjustment 2026-01  q=0 rows=0 0-8.00=-8.00"})
	same(t, "February's taxes", taxTexts(&february), []string{"VAT 7 of 31.00: 2.17", "VAT 19 of 2.00: 0.38", "City 0.333 of 2.00: 0.01", "net 33.00 total 35.56"})
	note, err := r.store.CreditInvoice(t.Context(), "test", january.ID, "a mistake")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "note", taxTexts(&note), []string{"VAT 19 of -52.00: -9.88", "City 0.333 of -52.00: -0.17", "net -52.00 total -62.05"})
	for _, i := range []*store.Invoice{&february, &note} {
		if _, err := r.prove(i, nil); err != nil {
			t.Errorf("%s: %v", i.Number, err)
		}
	}
}

// prove finds taxes and a minimum that the lines do not come to.
func TestProveFindsTerms(t *testing.T) {
	r := newBillRig(t)
	r.terms("50", schemas.Tax{Name: "VAT", Percent: "19"})
	january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
	if _, err := r.prove(&january, nil); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*schemas.Invoice){
		"another tax":       func(i *schemas.Invoice) { i.Taxes[0].Amount = "9.51" },
		"another rate":      func(i *schemas.Invoice) { i.Taxes[0].Percent = "18" },
		"no tax":            func(i *schemas.Invoice) { i.Taxes, i.Net, i.Total = nil, "", "50.00" },
		"another net":       func(i *schemas.Invoice) { i.Net = "51.00" },
		"another total":     func(i *schemas.Invoice) { i.Total = "59.51" },
		"another minimum":   func(i *schemas.Invoice) { i.Periods[0].Minimum = "60" },
		"no minimum line":   func(i *schemas.Invoice) { i.Lines = i.Lines[:1] },
		"a second minimum":  func(i *schemas.Invoice) { i.Lines = append(i.Lines, i.Lines[1]) },
		"a larger minimum":  func(i *schemas.Invoice) { i.Lines[1].Rated, i.Lines[1].Amount = "20.00", "20.00" },
		"rows of a minimum": func(i *schemas.Invoice) { i.Lines[1].Rows = 1 },
	} {
		doc := january.Invoice
		doc.Lines, doc.Periods, doc.Taxes = append([]schemas.InvoiceLine{}, doc.Lines...), append([]schemas.InvoicePeriod{}, doc.Periods...), append([]schemas.InvoiceTax{}, doc.Taxes...)
		change(&doc)
		text, err := json.Marshal(&doc)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.prove(&january, func(c *ProveConfig) { c.Bundle.Document, c.Bundle.Digest = text, digestOf(string(text)) })
		if !errors.Is(err, ErrNotProven) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A draft follows what comes in and what the catalog says, until it is final.
func TestDraftsAreRefreshed(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-02-02T00:00:00Z"
	draft := func(at string) store.Invoice { return find(t, r.bill(at), "2026-01", schemas.KindInvoice) }
	first := draft("2026-02-01T01:00:00Z")
	if first.Status != "draft" || first.Total != "31.00" {
		t.Fatalf("got %s %s", first.Status, first.Total)
	}
	if again := draft("2026-02-01T02:00:00Z"); again.Version != first.Version {
		t.Errorf("nothing came in: version %d became %d", first.Version, again.Version)
	}
	r.write(usage0, []event{r.use(r.customer, "2026-02-01T00:30:00Z", "/a", "12")}, nil, 0) // February's
	if again := draft("2026-02-01T03:00:00Z"); again.Version != first.Version {
		t.Errorf("nothing of January came in: version %d became %d", first.Version, again.Version)
	}
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	if got := draft("2026-02-01T04:00:00Z"); got.Total != "42.00" || got.ID != first.ID || got.Status != "draft" {
		t.Errorf("requests came in: got %s %s, want 42.00", got.Status, got.Total)
	}
	r.terms("60")
	if got := draft("2026-02-01T05:00:00Z"); got.Total != "60.00" {
		t.Errorf("a minimum was agreed upon: got %s, want 60.00", got.Total)
	}
	r.logClock = "2026-09-01T00:00:00Z"
	r.write(usage0, []event{r.use(r.customer, "2026-01-06T10:00:00Z", "/a", "100")}, nil, 0)
	final := draft("2026-02-10T00:00:00Z")
	if final.Status != "final" || final.Total != "92.00" {
		t.Errorf("final: got %s %s, want 92.00", final.Status, final.Total)
	}
	if _, err := r.prove(&final, nil); err != nil {
		t.Error(err)
	}
}

// An account cannot make another's customer pay: who names it, or its
// subscription, in requests of its own.
func TestCustomersOfOtherAccountsAreNotBilled(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-09-01T00:00:00Z"
	bolt := r.newCustomer("Bolt", "UTC", "USD")
	foreign := r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "1000")
	foreign.account = bolt.Account
	subscription := r.use(bolt, "2026-01-05T10:00:00Z", "/a", "1000")
	subscription.strings[schemas.Subscription] = r.subs["Acme web"]
	r.write(usage0, []event{foreign, subscription}, nil, 0)
	list := r.bill("2026-02-10T00:00:00Z")
	for _, c := range []store.Customer{r.customer, bolt} {
		i := find(t, onlyOf(list, c.ID), "2026-01", schemas.KindInvoice)
		same(t, c.Name, linesOf(&i), []string{"usage 2026-01 base q=0 rows=0 31.00-0=31.00"})
	}
}

// A credited invoice had adjusted an earlier month's minimum: the next one does
// so again.
func TestCreditedAdjustmentOfMinimum(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-09-01T00:00:00Z"
	r.terms("50")
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	r.bill("2026-02-10T00:00:00Z")
	r.terms("")
	r.write(usage0, []event{r.use(r.customer, "2026-01-06T10:00:00Z", "/a", "20")}, nil, 0)
	adjusts := []string{"adjustment 2026-01 web/a q=32 rows=2 21.00-11.00=10.00", "adjustment 2026-01  q=0 rows=0 0-8.00=-8.00"}
	february := find(t, r.bill("2026-03-10T00:00:00Z"), "2026-02", schemas.KindInvoice)
	same(t, "February", linesOf(&february)[1:], adjusts)
	if _, err := r.store.CreditInvoice(t.Context(), "test", february.ID, "a mistake"); err != nil {
		t.Fatal(err)
	}
	march := find(t, r.bill("2026-04-10T00:00:00Z"), "2026-03", schemas.KindInvoice)
	same(t, "March", linesOf(&march)[1:], adjusts)
	if _, err := r.prove(&march, nil); err != nil {
		t.Error(err)
	}
	april := find(t, r.bill("2026-05-10T00:00:00Z"), "2026-04", schemas.KindInvoice)
	same(t, "April", linesOf(&april)[1:], nil)
}
