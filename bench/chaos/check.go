package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"tallybook/archive"
	"tallybook/bench/known"
	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

// check waits until the log is worked off, stops the process and compares.
func (t *test) check(ctx context.Context) error {
	logged, err := t.drained(ctx)
	if err != nil {
		return err
	}
	t.kafka.Kafka.Close()
	t.fixes.kafka.Kafka.Close()
	if err := t.child.stop(30 * time.Second); err != nil {
		return err
	}
	quiet := store.Options{ReadOnly: true, Log: slog.New(slog.DiscardHandler)}
	st, err := store.Open(ctx, filepath.Join(t.data(), "tallybook.db"), quiet)
	if err != nil {
		return err
	}
	defer st.Close()
	ar, err := archive.Open(filepath.Join(t.data(), "archive"))
	if err != nil {
		return err
	}
	expected, err := producer.Expect(t.load)
	if err != nil {
		return err
	}
	balance, err := jobs.Balance(ctx, jobs.BalanceConfig{Store: st, Archive: ar})
	if err != nil {
		return err
	}
	own, err := t.checkHTTP(ctx, st, ar)
	if err != nil {
		return err
	}
	fixes, err := t.fixes.expect()
	if err != nil {
		return err
	}
	t.checkSums(&balance.Total, expected, own+fixes.events+fixes.corrections, logged)
	if err := t.checkFixes(ctx, st, &balance.Total, fixes); err != nil {
		return err
	}
	if err := t.CheckTotals(ctx, st, expected, httpAccount, fixAccount); err != nil {
		return err
	}
	if err := t.CheckErrors(ctx, st, expected); err != nil {
		return err
	}
	for _, name := range []string{"verify", "balance"} {
		t.CheckCommand(name, t.child.command(ctx, name))
	}
	return t.checkOutside(ctx, expected, fixes, own, balance.Total.Rejected)
}

// drained waits until the log is worked off, and says how many records it has.
func (t *test) drained(ctx context.Context) (logged int64, err error) {
	st, err := store.Open(ctx, filepath.Join(t.data(), "tallybook.db"), store.Options{ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer st.Close()
	logged, err = t.kafka.Drain(ctx, st, func(ctx context.Context) error { return t.child.live(ctx, 100*time.Millisecond) })
	if errors.As(err, new(known.Finding)) {
		_, why, _ := get(t.watch.client, "http://"+t.child.http+"/readyz")
		err = fmt.Errorf("%w; %s", err, why)
	}
	return logged, err
}

// checkHTTP looks for each event that was posted in the archive, and returns
// how many are there.
func (t *test) checkHTTP(ctx context.Context, st *store.Store, ar *archive.Archive) (counted int64, err error) {
	seen := [httpPosters][]uint8{}
	for i, p := range t.http.posters {
		seen[i] = make([]uint8, len(p.accepted))
	}
	var files []store.ArchiveFile
	err = st.View(ctx, func(v *store.View) (err error) {
		files, err = v.Files(store.FileFilter{Dataset: schemas.Usage})
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		err := ar.Read(ctx, f.Name, []string{"id", "source"}, func(r *archive.Rows) error {
			for i, source := range r.Source {
				if r.String(source) != httpSource {
					continue
				}
				counted++
				id := string(r.ID.At(i))
				p, n, ok := parseHTTPID(id)
				if !ok || p < 0 || p >= httpPosters || n < 0 || n >= len(seen[p]) {
					t.Find("HTTP: event %q was counted and never sent", id)
				} else if seen[p][n]++; seen[p][n] == 2 {
					t.Find("HTTP: event %s was counted twice", id)
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	for i, p := range t.http.posters {
		for n, accepted := range p.accepted {
			if accepted && seen[i][n] == 0 {
				t.Find("HTTP: event %d-%d was answered \"accepted\" and not counted", i, n)
			}
		}
	}
	return counted, nil
}

// checkSums holds the ledger against what was sent; own is what the generator did
// not make.
func (t *test) checkSums(ledger *jobs.BalanceLine, expected *producer.Expected, own, logged int64) {
	sent, accepted, givenUp, silent := t.http.totals()
	t.Show("kills", "%d in %s, %d of them before it was ready", t.killed, t.took.Round(time.Second), t.inStart)
	t.Show("restart to ready", "%s", known.Spread(t.ready))
	t.Show("accepted over HTTP", "%d of %d events; no answer to %d requests, %d events given up", accepted, sent, silent, givenUp)
	t.CheckLedger(ledger, known.Sent{Load: t.kafka, Expected: expected, Others: own, Logged: logged})
	t.Show("answers while it ran", "%s: positions and totals never went back", known.Spread(t.watch.took))
	t.Show("looks after a kill", "%d, at %d files: each has its checkpoint; died with staged files %d, before publishing %d",
		t.dead.looks, t.dead.files, t.dead.staged, t.dead.unpublished)
	if t.killed > 0 && len(t.watch.took) == 0 {
		t.Find("nobody could read anything while it ran")
	}
}

// checkOutside counts the Parquet files with a program that is not ours.
func (t *test) checkOutside(ctx context.Context, expected *producer.Expected, fixes *fixTotals, own, refused int64) error {
	if t.python == "" {
		t.Show("outside reader", "not run (-python names one with duckdb)")
		return nil
	}
	got, err := known.CountOutside(ctx, t.python, filepath.Join(t.data(), "archive"), httpSource, "glob")
	if err != nil {
		return err
	}
	for _, topic := range schemas.Topics {
		want := expected.Topics[topic].Events
		records := want
		if topic == schemas.Usage {
			want += own + fixes.left.Events
			records += own + fixes.events + fixes.corrections
		}
		if got.Rows[topic] != want || got.Distinct[topic] != records {
			t.Find("outside reader: %s has %d events of %d records, should be %d of %d", topic, got.Rows[topic], got.Distinct[topic], want, records)
		}
	}
	bytes := expected.Topics[schemas.Usage].Bytes + fixes.left.Bytes
	if got.Own != own || got.Bytes != bytes || got.Refused != refused {
		t.Find("outside reader: %d events over HTTP, %d bytes, %d refused; should be %d, %d, %d",
			got.Own, got.Bytes, got.Refused, own, bytes, refused)
	}
	t.Show("outside reader", "%d events, all distinct, %d refused records", got.Events(), got.Refused)
	return nil
}
