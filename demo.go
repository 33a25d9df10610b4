package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

//go:embed testdata/access.log testdata/api-errors.ndjson testdata/mail-events.ndjson testdata/plans.ndjson testdata/plans.yaml
var sampleFiles embed.FS

// sample is what the demo imports, and what an exact count of it for the demo's
// account is; no meter: it is of other accounts.
type sample struct {
	file   string
	format producer.Format
	meter  string
	events int64
}

var samples = []sample{
	{"access.log", producer.Combined, "requests", 500},
	{"api-errors.ndjson", producer.NDJSON, "errors", 40},
	{"mail-events.ndjson", producer.NDJSON, "emails", 120},
	{"plans.ndjson", producer.NDJSON, "", 300},
}

var errNotTheSample = errors.New("the totals are not those of the sample")

const (
	demoAccount  = "demo"
	demoPatience = 45 * time.Second // for the whole story: a newcomer waits a minute
)

// Days of the sample, whole ones.
var (
	sampleFrom = time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
	sampleTo   = time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
)

func demoCommand() *cobra.Command {
	var exit bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "run, with a sample imported and shown; goes on until Ctrl-C",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// The story is what is to be read here; environment, file and flag still win.
			if level := cmd.Root().PersistentFlags().Lookup("log-level"); !level.Changed {
				if err := level.Value.Set("warn"); err != nil {
					return err
				}
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error { return runDemo(ctx, c, exit) })
		},
	}
	cmd.Flags().BoolVar(&exit, "exit", false, "end after the story; exit code 1 if a number is not what it should be")
	return cmd
}

// runDemo serves like run does, and tells its story meanwhile.
func runDemo(ctx context.Context, c *config, exit bool) error {
	p, err := openAll(ctx, c)
	if err != nil {
		return err
	}
	defer p.close()
	p.announce()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.serve(ctx) })
	g.Go(func() error {
		patience, cancel := context.WithTimeout(ctx, demoPatience)
		defer cancel()
		key, err := demoKey(ctx, p.store)
		if err != nil {
			return err
		}
		d := &demo{parts: p, out: os.Stdout, base: "http://" + p.listener.Addr().String(), key: key}
		if err := d.tell(patience); err != nil {
			if ctx.Err() != nil { // Ctrl-C in the middle of it
				return nil
			}
			return fmt.Errorf("demo: %w", err)
		}
		if exit {
			stop()
			return nil
		}
		d.say("\nServing until Ctrl-C. The dashboard, signed in:\n\n  %s/#key=%s\n", d.base, d.key)
		return nil
	})
	return g.Wait()
}

// demoKey makes the key that the printed lines use, and ends those of demos before.
func demoKey(ctx context.Context, st *store.Store) (string, error) {
	const name = "demo"
	for after := ""; ; {
		keys, err := st.Keys(ctx, "", after, 1000)
		if err != nil {
			return "", err
		}
		for _, k := range keys {
			if k.Name == name && k.Role == store.RoleAdmin {
				if err := st.RevokeKey(ctx, commandLine, "", k.ID); err != nil {
					return "", err
				}
			}
			after = k.ID
		}
		if len(keys) < 1000 {
			break
		}
	}
	text := store.NewKeyText()
	_, err := st.CreateKey(ctx, commandLine, text, store.Key{Role: store.RoleAdmin, Name: name})
	return text, err
}

// demo is the story; it asks its own process over HTTP as anybody would.
type demo struct {
	*parts
	out  io.Writer
	base string // of the HTTP API
	key  string // an administrator's

	balanced jobs.BalanceReport
}

func (d *demo) tell(ctx context.Context) error {
	began := time.Now()
	d.say("tallybook: broker, collector, workers, store, archive and queries in one process, data in %s", d.cfg.Data)
	for _, step := range []func(context.Context) error{d.ready, d.catalog, d.importSamples, d.visit, d.counted, d.balance, d.totals, d.hours, d.files, d.checks, d.invoices} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	d.say("\nAll of it in %s.", time.Since(began).Round(100*time.Millisecond))
	d.next()
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

// until asks every 50 ms until done, or ctx ends.
func until(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (d *demo) ready(ctx context.Context) error {
	last := "no answer"
	err := until(ctx, func() (bool, error) {
		body, status, err := d.get(ctx, "/readyz")
		if err != nil {
			return false, nil // the server is about to listen; the time limit is ctx's
		}
		last = string(body)
		return status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("not ready (%s): %w", last, err)
	}
	return nil
}

// importSamples writes the embedded files into the data folder, where the
// reader finds them, and imports them like any other.
func (d *demo) importSamples(ctx context.Context) error {
	d.say("\nImport of the sample, a shop's three days (account %s)", demoAccount)
	dir := filepath.Join(d.cfg.Data, "sample")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w := d.kafka.Writer("")
	defer w.Close()
	for _, s := range samples {
		content, err := sampleFiles.ReadFile("testdata/" + s.file)
		if err != nil {
			return err
		}
		path := filepath.Join(dir, s.file)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return err
		}
		cfg := producer.ImportConfig{Path: path, Format: s.format, Account: demoAccount, Writer: w, Journal: d.store, Now: time.Now}
		done := showProgress(&cfg, d.log)
		report, err := producer.Import(ctx, cfg)
		done()
		if err != nil {
			return err
		}
		printImport(path, report)
	}
	return nil
}

// counted waits until everything in the log is processed.
func (d *demo) counted(ctx context.Context) error {
	ends := map[schemas.Partition]int64{}
	for _, topic := range schemas.Topics {
		for id := range d.broker.Partitions(topic) {
			tp := schemas.Partition{Topic: topic, ID: int32(id)}
			_, end, err := d.kafka.Offsets(ctx, tp)
			if err != nil {
				return err
			}
			ends[tp] = end
		}
	}
	var behind schemas.Partition
	err := until(ctx, func() (bool, error) {
		left := 0
		err := d.store.View(ctx, func(v *store.View) error {
			positions, err := v.Positions()
			reached := map[schemas.Partition]int64{}
			for _, pos := range positions {
				reached[pos.Partition] = pos.Next
			}
			for tp, end := range ends {
				if reached[tp] < end {
					left, behind = left+1, tp
				}
			}
			return err
		})
		return left == 0, err
	})
	if err != nil {
		return fmt.Errorf("%s/%d is not counted to its end: %w; %w", behind.Topic, behind.ID, err, d.ready(ctx))
	}
	return nil
}

// checks are verify and balance, in short unless something differs.
func (d *demo) checks(ctx context.Context) error {
	d.say("\nChecks")
	verified, err := jobs.Verify(ctx, jobs.VerifyConfig{Store: d.store, Archive: d.archive, Hashes: true})
	if err != nil {
		return err
	}
	if !verified.OK() || !d.balanced.OK() {
		d.say("%s%s", verified, d.balanced)
		return errCheckFailed
	}
	var files, rows, rollups int64
	for _, t := range verified.Topics {
		files, rows, rollups = files+t.Files, rows+t.Rows, rollups+t.RollupRows
	}
	d.say("  verify   good: the fold of %d archive rows in %d files equals all %d rollup rows", rows, files, rollups)
	t := d.balanced.Total
	d.say("  balance  good: %d records of the log = %d counted + %d duplicates + %d refused, in %d checkpoints without hole or overlap",
		t.Records, t.Counted, t.Duplicate, t.Rejected, t.Checkpoints)
	return nil
}
