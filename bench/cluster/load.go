package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/bench/servers"
	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// load is events on a Kafka, and the runs that work them off.
type load struct {
	*cluster
	dir, shape string
	kafka      *servers.Server
	sent       totals
	rate       float64 // events a second that the last of them came at
	opened     bool    // by a fleet: Kafka knows the group
}

// totals are what the generator says of what it sent.
type totals struct{ Records, Counted, Duplicates int64 }

// run works the events off once, by processes that start with nothing.
func (l *load) run(ctx context.Context, how setup) (*result, error) {
	fleet, err := l.open(ctx, how)
	if err != nil {
		return nil, err
	}
	defer fleet.close()
	open, err := fleet.startTogether(ctx)
	if err != nil {
		return nil, err
	}
	before, err := fleet.costs()
	if err != nil {
		return nil, err
	}
	if l.statements {
		if err := fleet.database.forget(ctx); err != nil {
			return nil, err
		}
	}
	touched, err := fleet.database.touched(ctx)
	if err != nil {
		return nil, err
	}
	began := time.Now()
	open()
	if err := fleet.drained(ctx); err != nil {
		return nil, err
	}
	r := &result{setup: how, took: time.Since(began), records: l.sent.Records}
	after, err := fleet.costs()
	if err != nil {
		return nil, err
	}
	r.costs = after.minus(before)
	if r.steps, err = fleet.readMetrics(); err != nil {
		return nil, err
	}
	if err := fleet.stop(); err != nil {
		return nil, err
	}
	if r.touched, err = fleet.database.touched(ctx); err != nil {
		return nil, err
	}
	r.touched = r.touched.minus(touched)
	if l.statements {
		if r.statements, err = fleet.database.statements(ctx); err != nil {
			return nil, err
		}
	}
	if r.shares, err = fleet.shares(l.profiles); err != nil {
		return nil, err
	}
	return r, fleet.balance(ctx, l.sent)
}

// throughput works a shape's events off with SQLite, then with PostgreSQL.
func (c *cluster) throughput(ctx context.Context, l *load) error {
	if err := l.generate(ctx, c.events, 1); err != nil {
		return err
	}
	fmt.Printf("%s: %d records on %d partitions, %d of them repeats; log first, then worked off, all durable\n",
		l.shape, l.sent.Records, partitions, l.sent.Duplicates)
	printHead()
	setups := []setup{{store: "sqlite", workers: 1}}
	for _, n := range c.workers {
		setups = append(setups, setup{store: "postgres", workers: n})
	}
	for _, how := range setups {
		r, err := l.run(ctx, how)
		if err != nil {
			return fmt.Errorf("%s: %w", how, err)
		}
		r.print()
	}
	fmt.Println()
	return nil
}

var rateLine = regexp.MustCompile(`records acknowledged in .*, (\d+) a second`)

// generate puts events into Kafka and adds them to what was sent.
func (l *load) generate(ctx context.Context, events int64, seed int, more ...string) error {
	args := append([]string{"generate", "--brokers", l.kafka.Address, "--events", fmt.Sprint(events), "--seed", fmt.Sprint(seed),
		"--duplicates", "0.01", "--partitions", fmt.Sprint(partitions), "--data", filepath.Join(l.dir, "none")}, more...)
	if len(more) == 0 {
		args = append(args, "--shape", l.shape)
	}
	cmd := l.command(ctx, args...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("generate: %w: %s", err, &said)
	}
	if rate := rateLine.FindStringSubmatch(said.String()); rate != nil {
		l.rate, _ = strconv.ParseFloat(rate[1], 64) // digits
	}
	var sent totals
	if err := json.Unmarshal(out, &sent); err != nil {
		return fmt.Errorf("generate: %w", err)
	}
	l.sent.Records += sent.Records
	l.sent.Counted += sent.Counted
	l.sent.Duplicates += sent.Duplicates
	return nil
}

// open makes a fleet with an empty store and an empty archive, unknown to Kafka.
func (l *load) open(ctx context.Context, how setup) (_ *fleet, err error) {
	l.runs++
	f := &fleet{load: l, setup: how, dir: filepath.Join(l.dir, fmt.Sprint("run-", l.runs)), brokers: broker.NewKafka(l.kafka.Address)}
	defer func() {
		if err != nil {
			f.close()
		}
	}()
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, err
	}
	if l.opened {
		deleted, err := f.brokers.Client().DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
		if err == nil {
			err = deleted.Errors[group]
		}
		if err != nil {
			return nil, fmt.Errorf("delete group %s: %w", group, err)
		}
	}
	l.opened = true
	f.archive = filepath.Join(f.dir, "archive")
	if l.s3 != nil {
		f.archive = inFolder(l.s3.Address, fmt.Sprint("run-", l.runs))
	}
	f.url = filepath.Join(f.dir, "tallybook.db")
	if how.store == "postgres" {
		if f.database, err = l.createDatabase(ctx, fmt.Sprint("run_", l.runs)); err != nil {
			return nil, err
		}
		f.url = f.database.url
	}
	// With its tables, so that the processes begin alike.
	if f.store, err = store.Open(ctx, f.url, store.Options{}); err != nil {
		return nil, err
	}
	if how.prepare != nil {
		return f, how.prepare(ctx, f.database)
	}
	return f, nil
}

// drained waits until each partition's position is at its log's end.
func (f *fleet) drained(ctx context.Context) error {
	end := map[int32]int64{}
	for id := range int32(partitions) {
		tp := schemas.Partition{Topic: schemas.Usage, ID: id}
		var err error
		if _, end[id], err = f.brokers.Offsets(ctx, tp); err != nil {
			return err
		}
	}
	return f.until(ctx, "all is worked off", func() (bool, error) {
		behind := len(end)
		err := f.store.View(ctx, func(v *store.View) error {
			positions, err := v.Positions(schemas.Usage)
			for _, p := range positions {
				if p.Next >= end[p.ID] {
					behind--
				}
			}
			return err
		})
		return behind == 0, err
	})
}

var totalLine = regexp.MustCompile(`(?m)^total: records (\d+) = counted (\d+) \+ duplicate (\d+) \+ rejected 0;`)

// balance holds what was counted against what was sent.
func (f *fleet) balance(ctx context.Context, sent totals) error {
	out, err := f.command(ctx, "balance", "--data", f.dir, "--store", f.url, "--archive", f.archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("balance: %w: %s", err, out)
	}
	line := totalLine.FindSubmatch(out)
	if line == nil {
		return fmt.Errorf("balance does not say what was counted: %s", out)
	}
	var got [3]int64
	for i := range got {
		got[i], _ = strconv.ParseInt(string(line[i+1]), 10, 64) // digits
	}
	if want := [3]int64{sent.Records, sent.Counted, sent.Duplicates}; got != want {
		return fmt.Errorf("records, counted, duplicates: got %d, want %d", got, want)
	}
	return nil
}
