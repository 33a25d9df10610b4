package main

import (
	"context"
	"time"

	"tallybook/archive"
	"tallybook/bench/known"
	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
)

// check waits until the log is worked off and nothing is left to be compacted,
// takes all processes away and compares.
func (t *test) check(ctx context.Context) error {
	began := time.Now()
	logged, err := t.sender.Drain(ctx, t.store, func(ctx context.Context) error { return pause(ctx, 100*time.Millisecond) })
	if err != nil {
		return err
	}
	t.Show("worked off", "%s behind the last event", time.Since(began).Round(100*time.Millisecond))
	began = time.Now()
	if err := t.settled(ctx); err != nil {
		return err
	}
	t.Show("compacted", "%s later", time.Since(began).Round(100*time.Millisecond))
	if err := t.showJobs(ctx); err != nil {
		return err
	}
	for _, f := range []*fleet{t.pipelines, t.jobs} {
		if err := f.removeAll(); err != nil {
			return err
		}
	}
	expected, err := producer.Expect(t.load)
	if err != nil {
		return err
	}
	ar, err := archive.Open(t.parts.objects)
	if err != nil {
		return err
	}
	balance, err := jobs.Balance(ctx, jobs.BalanceConfig{Store: t.store, Archive: ar})
	if err != nil {
		return err
	}
	t.CheckLedger(&balance.Total, known.Sent{Load: t.sender, Expected: expected, Logged: logged})
	if err := t.CheckTotals(ctx, t.store, expected); err != nil {
		return err
	}
	if err := t.CheckErrors(ctx, t.store, expected); err != nil {
		return err
	}
	for _, name := range []string{"verify", "balance"} {
		t.CheckCommand(name, t.parts.command(ctx, name))
	}
	return t.outside(ctx, expected, balance.Total.Rejected)
}

// outside counts the Parquet files with a program that is not ours, in the folder
// that the S3 server keeps its objects in.
func (t *test) outside(ctx context.Context, expected *producer.Expected, refused int64) error {
	if t.python == "" {
		t.Show("DuckDB", "not run (-python names one with it)")
		return nil
	}
	for _, by := range []string{"glob", "manifests"} {
		got, err := known.CountOutside(ctx, t.python, t.parts.objects, "nobody", by)
		if err != nil {
			return err
		}
		for _, topic := range schemas.Topics {
			want := expected.Topics[topic].Events
			if got.Rows[topic] != want || got.Distinct[topic] != want {
				t.Find("DuckDB by %s: %s has %d events, %d of them distinct, should be %d", by, topic, got.Rows[topic], got.Distinct[topic], want)
			}
		}
		if got.Refused != refused {
			t.Find("DuckDB by %s: %d refused records, should be %d", by, got.Refused, refused)
		}
		t.Show("DuckDB by "+by, "%d events, all distinct, %d refused records", got.Events(), got.Refused)
	}
	return nil
}
