package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	t.checkCommands(ctx)
	return t.checkOutside(ctx, expected, fixes, own, balance.Total.Rejected)
}

// drained waits until every position stands at the end of its log, and says how
// many records the logs have got altogether. Nobody sends any more.
func (t *test) drained(ctx context.Context) (logged int64, err error) {
	st, err := store.Open(ctx, filepath.Join(t.data(), "tallybook.db"), store.Options{ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	defer st.Close()
	ends := map[schemas.Partition]int64{}
	for deadline := time.Now().Add(drainLimit); ; {
		behind, err := t.behind(ctx, st, ends)
		if err == nil && len(behind) == 0 {
			for _, end := range ends {
				logged += end
			}
			return logged, nil
		}
		if time.Now().After(deadline) {
			_, why, _ := get(t.watch.client, "http://"+t.child.http+"/readyz")
			return 0, known.Finding(fmt.Sprintf("not worked off after %s: %s (%v); %s", drainLimit, strings.Join(behind, ", "), err, why))
		}
		if err := t.child.live(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// behind lists the partitions that are not worked off; ends keeps what Kafka
// said. A connection from before the last kill is an error first.
func (t *test) behind(ctx context.Context, st *store.Store, ends map[schemas.Partition]int64) (list []string, err error) {
	var positions []store.Position
	err = st.View(ctx, func(v *store.View) (err error) {
		positions, err = v.Positions()
		return err
	})
	for _, p := range positions {
		if _, known := ends[p.Partition]; !known {
			_, end, err := t.kafka.Kafka.Offsets(ctx, p.Partition)
			if err != nil {
				return nil, err
			}
			ends[p.Partition] = end
		}
		if end := ends[p.Partition]; p.Next != end {
			list = append(list, fmt.Sprintf("%s/%d at %d of %d", p.Topic, p.ID, p.Next, end))
		}
	}
	return list, err
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

// checkSums holds the ledger's sums against what was sent; own is what the
// generator did not make.
func (t *test) checkSums(ledger *jobs.BalanceLine, expected *producer.Expected, own, logged int64) {
	sent, accepted, givenUp, silent := t.http.totals()
	t.Show("kills", "%d in %s, %d of them before it was ready", t.killed, t.took.Round(time.Second), t.inStart)
	t.Show("restart to ready", "%s", spread(t.ready))
	t.Show("acknowledged over Kafka", "%d records; pieces sent again after an error: %d", t.kafka.Acknowledged, t.kafka.Unanswered)
	t.Show("accepted over HTTP", "%d of %d events; no answer to %d requests, %d events given up", accepted, sent, silent, givenUp)
	t.Show("in the log", "%d records, %d of them there again", logged, logged-expected.Records-own)
	t.Show("counted", "%d = %d of the generator + %d over HTTP and corrected", ledger.Counted, expected.Counted, own)
	t.Show("late, of these", "%d", expected.Late)
	t.Show("duplicates", "%d; the generator made %d", ledger.Duplicate, expected.Duplicates)
	t.Show("rejected", "%d; the generator made %d", ledger.Rejected, expected.Rejected())
	t.Show("difference", "%d", ledger.Counted-expected.Counted-own)
	t.Show("answers while it ran", "%d (%s): positions and totals never went back", len(t.watch.took), spread(t.watch.took))
	t.Show("looks after a kill", "%d, at %d files: each has its checkpoint; died with staged files %d, before publishing %d",
		t.dead.looks, t.dead.files, t.dead.staged, t.dead.unpublished)
	if t.kafka.Acknowledged != expected.Records {
		t.Find("%d records were acknowledged, the generator made %d", t.kafka.Acknowledged, expected.Records)
	}
	if d := ledger.Counted - expected.Counted - own; d != 0 {
		t.Find("counted %d, should be %d: a difference of %d", ledger.Counted, expected.Counted+own, d)
	}
	if ledger.First != 0 || ledger.Records != logged || ledger.Counted+ledger.Duplicate+ledger.Rejected != logged {
		t.Find("the ledger has %d records (counted %d + duplicate %d + rejected %d), the log %d",
			ledger.Records, ledger.Counted, ledger.Duplicate, ledger.Rejected, logged)
	}
	if ledger.Duplicate < expected.Duplicates || ledger.Rejected < expected.Rejected() {
		t.Find("duplicates %d and rejected %d must be at least %d and %d", ledger.Duplicate, ledger.Rejected, expected.Duplicates, expected.Rejected())
	}
	if t.killed > 0 && len(t.watch.took) == 0 {
		t.Find("nobody could read anything while it ran")
	}
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "never seen"
	}
	slices.Sort(all)
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("p50 %s, max %s", ms(all[len(all)/2]), ms(all[len(all)-1]))
}

// checkCommands runs verify and balance as a person would.
func (t *test) checkCommands(ctx context.Context) {
	for _, name := range []string{"verify", "balance"} {
		out, err := t.child.command(ctx, name).CombinedOutput()
		t.Show(name, "%s", lastLine(out))
		if err != nil {
			t.Find("%s: %v\n%s", name, err, out)
		}
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// outside is what bench/readers/count.py prints.
type outside struct {
	Rows     map[schemas.Topic]int64 // events that are left, without refused records
	Distinct map[schemas.Topic]int64 // identities of events and corrections
	Own      int64                   // of source httpSource
	Bytes    int64                   // of the others, those of corrections taken off
	Refused  int64                   // records
}

// checkOutside counts the Parquet files with a program that is not ours.
func (t *test) checkOutside(ctx context.Context, expected *producer.Expected, fixes *fixTotals, own, refused int64) error {
	if t.python == "" {
		t.Show("outside reader", "not run (-python names one with duckdb)")
		return nil
	}
	cmd := exec.CommandContext(ctx, t.python, "bench/readers/count.py", filepath.Join(t.data(), "archive"), httpSource)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("outside reader (run from the repository's top folder): %w", err)
	}
	var got outside
	if err := json.Unmarshal(out, &got); err != nil {
		return fmt.Errorf("outside reader says %q: %w", out, err)
	}
	var rows int64
	for _, topic := range schemas.Topics {
		want := expected.Topics[topic].Events
		records := want
		if topic == schemas.Usage {
			want += own + fixes.left.Events
			records += own + fixes.events + fixes.corrections
		}
		rows += got.Rows[topic]
		if got.Rows[topic] != want || got.Distinct[topic] != records {
			t.Find("outside reader: %s has %d events of %d records, should be %d of %d", topic, got.Rows[topic], got.Distinct[topic], want, records)
		}
	}
	bytes := expected.Topics[schemas.Usage].Bytes + fixes.left.Bytes
	if got.Own != own || got.Bytes != bytes || got.Refused != refused {
		t.Find("outside reader: %d events over HTTP, %d bytes, %d refused; should be %d, %d, %d",
			got.Own, got.Bytes, got.Refused, own, bytes, refused)
	}
	t.Show("outside reader", "%d events, all distinct, %d refused records", rows, got.Refused)
	return nil
}
