package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"time"

	"tallybook/archive"
	"tallybook/bench/known"
	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

const drainLimit = 5 * time.Minute

// check waits until the log is worked off, takes all pipelines away and compares.
func (t *test) check(ctx context.Context) error {
	st, err := store.Open(ctx, t.parts.store, store.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer st.Close()
	began := time.Now()
	logged, err := t.drained(ctx, st)
	if err != nil {
		return err
	}
	t.Show("worked off", "%s behind the last event", time.Since(began).Round(100*time.Millisecond))
	for len(t.fleet.workers) > 0 {
		if err := t.fleet.remove(t.fleet.workers[0]); err != nil {
			return err
		}
	}
	expected, err := producer.Expect(t.load)
	if err != nil {
		return err
	}
	ar, err := archive.Open(t.parts.archive)
	if err != nil {
		return err
	}
	balance, err := jobs.Balance(ctx, jobs.BalanceConfig{Store: st, Archive: ar})
	if err != nil {
		return err
	}
	t.checkSums(&balance.Total, expected, logged)
	if err := t.CheckTotals(ctx, st, expected); err != nil {
		return err
	}
	if err := t.CheckErrors(ctx, st, expected); err != nil {
		return err
	}
	t.commands(ctx)
	return t.outside(ctx, expected, balance.Total.Rejected)
}

// drained waits until every position stands at the end of its log, and says how
// many records the logs have altogether. Nobody sends any more.
func (t *test) drained(ctx context.Context, st *store.Store) (logged int64, err error) {
	for deadline := time.Now().Add(drainLimit); ; {
		var behind []string
		logged, behind, err = t.behind(ctx, st)
		if err == nil && len(behind) == 0 {
			return logged, nil
		}
		if time.Now().After(deadline) {
			return 0, known.Finding(fmt.Sprintf("not worked off after %s: %s (%v)", drainLimit, strings.Join(behind, ", "), err))
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

func (t *test) behind(ctx context.Context, st *store.Store) (logged int64, list []string, err error) {
	var positions []store.Position
	err = st.View(ctx, func(v *store.View) (err error) {
		positions, err = v.Positions()
		return err
	})
	for _, p := range positions {
		_, end, err := t.sender.Kafka.Offsets(ctx, p.Partition)
		if err != nil {
			return 0, nil, err
		}
		logged += end
		if p.Next != end {
			list = append(list, fmt.Sprintf("%s/%d at %d of %d", p.Topic, p.ID, p.Next, end))
		}
	}
	return logged, list, err
}

// checkSums holds the ledger's sums against what was sent. A batch whose answer
// was lost is sent again, so that there may be more duplicates and refused records
// than were made.
func (t *test) checkSums(ledger *jobs.BalanceLine, expected *producer.Expected, logged int64) {
	t.Show("acknowledged", "%d records; pieces sent again after an error: %d", t.sender.Acknowledged, t.sender.Unanswered)
	t.Show("in the log", "%d records, %d of them there again", logged, logged-expected.Records)
	t.Show("counted", "%d; the generator made %d", ledger.Counted, expected.Counted)
	t.Show("late, of these", "%d", expected.Late)
	t.Show("duplicates", "%d; the generator made %d", ledger.Duplicate, expected.Duplicates)
	t.Show("rejected", "%d; the generator made %d", ledger.Rejected, expected.Rejected())
	t.Show("difference", "%d", ledger.Counted-expected.Counted)
	if t.sender.Acknowledged != expected.Records {
		t.Find("%d records were acknowledged, the generator made %d", t.sender.Acknowledged, expected.Records)
	}
	if d := ledger.Counted - expected.Counted; d != 0 {
		t.Find("counted %d, should be %d: a difference of %d", ledger.Counted, expected.Counted, d)
	}
	if ledger.First != 0 || ledger.Records != logged || ledger.Counted+ledger.Duplicate+ledger.Rejected != logged {
		t.Find("the ledger has %d records (counted %d + duplicate %d + rejected %d), the log %d",
			ledger.Records, ledger.Counted, ledger.Duplicate, ledger.Rejected, logged)
	}
	if ledger.Duplicate < expected.Duplicates || ledger.Rejected < expected.Rejected() {
		t.Find("duplicates %d and rejected %d must be at least %d and %d", ledger.Duplicate, ledger.Rejected, expected.Duplicates, expected.Rejected())
	}
}

// commands runs verify and balance as a person would, and writes the manifests;
// no date is old enough to be compacted, so that a glob is exact too.
func (t *test) commands(ctx context.Context) {
	for _, args := range [][]string{{"verify"}, {"balance"}, {"job", "compact", "--compact-after", "20000h"}} {
		name := strings.Join(args[:min(len(args), 2)], " ")
		out, err := t.parts.command(ctx, args...).CombinedOutput()
		if lines := strings.Split(strings.TrimSpace(string(out)), "\n"); args[0] != "job" {
			t.Show(name, "%s", lines[len(lines)-1])
		}
		if err != nil {
			t.Find("%s: %v\n%s", name, err, out)
		}
	}
}

// counted is what bench/readers/count.py prints.
type counted struct {
	Rows, Distinct map[schemas.Topic]int64
	Refused        int64
}

// outside counts the Parquet files with a program that is not ours, in the folder
// that the S3 server keeps its objects in.
func (t *test) outside(ctx context.Context, expected *producer.Expected, refused int64) error {
	if t.python == "" {
		t.Show("DuckDB", "not run (-python names one with it)")
		return nil
	}
	for _, by := range []string{"glob", "manifests"} {
		args := []string{"bench/readers/count.py", t.parts.archive, "nobody"}
		if by == "manifests" {
			args = append(args, by)
		}
		cmd := exec.CommandContext(ctx, t.python, args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("outside reader (run from the repository's top folder): %w", err)
		}
		var got counted
		if err := json.Unmarshal(out, &got); err != nil {
			return fmt.Errorf("outside reader says %q: %w", out, err)
		}
		var rows int64
		for _, topic := range schemas.Topics {
			want := expected.Topics[topic].Events
			rows += got.Rows[topic]
			if got.Rows[topic] != want || got.Distinct[topic] != want {
				t.Find("DuckDB by %s: %s has %d events, %d of them distinct, should be %d", by, topic, got.Rows[topic], got.Distinct[topic], want)
			}
		}
		if got.Refused != refused {
			t.Find("DuckDB by %s: %d refused records, should be %d", by, got.Refused, refused)
		}
		t.Show("DuckDB by "+by, "%d events, all distinct, %d refused records", rows, got.Refused)
	}
	return nil
}
