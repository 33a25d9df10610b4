package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"

	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

func importCommand() *cobra.Command {
	var format string
	cfg := producer.ImportConfig{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "import FILE",
		Short: "send the requests of a log, or CloudEvents, to Kafka; the same file twice counts once",
		Example: "  tallybook import access.log.gz --format combined --account web\n" +
			"  tallybook import nova.log.gz --format openstack --account-from tenant",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("import takes one file, got %d", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Path, cfg.Format = args[0], producer.Format(format)
			return withConfig(cmd, func(ctx context.Context, c *config) error { return importFile(ctx, c, cfg) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&format, "format", "", "combined, openstack, apache-error or ndjson")
	f.StringVar(&cfg.Account, "account", "", "account of the events; openstack: of lines without a tenant")
	f.StringVar(&cfg.AccountFrom, "account-from", "", `"tenant": openstack lines go to their tenant's account`)
	f.StringVar(&cfg.API, "api", "", "api of the events (default web; openstack: compute)")
	f.BoolVar(&cfg.Again, "again", false, "also when this content was imported before")
	return cmd
}

// importFile is the command: it needs a running broker, and the store to
// remember what was imported.
func importFile(ctx context.Context, c *config, cfg producer.ImportConfig) error {
	if err := reachable(ctx, c); err != nil {
		return err
	}
	st, err := store.Open(ctx, c.storeURL(), store.Options{Log: c.logger()})
	if err != nil {
		return usageError{err}
	}
	defer st.Close()
	k, err := c.kafka()
	if err != nil {
		return usageError{err}
	}
	defer k.Close()
	if _, err := k.EnsureTopics(ctx, c.Partitions, c.Replication); err != nil {
		return usageError{err}
	}
	w := k.Writer("")
	defer w.Close()
	cfg.Writer, cfg.Journal = w, st
	done := showProgress(&cfg, c.logger())
	report, err := producer.Import(ctx, cfg)
	done()
	var file *fs.PathError
	if errors.Is(err, producer.ErrOptions) || errors.As(err, &file) && file.Op == "open" {
		return usageError{err}
	}
	if err != nil {
		return fmt.Errorf("%w; run the same command again to go on", err)
	}
	printImport(cfg.Path, report)
	if report.OtherFormat() {
		return usageError{fmt.Errorf("import %s: no line of it is of the format %s; the formats are %v", cfg.Path, cfg.Format, producer.Formats)}
	}
	if report.Resumed && report.Interrupted > c.DedupeSpan {
		fmt.Printf("warning: the import was interrupted for %s, longer than the dedupe window of %s: up to one batch of 5,000 events may count twice\n",
			report.Interrupted.Round(time.Second), c.DedupeSpan)
	}
	return nil
}

// showProgress draws a bar while the file is read, where standard error is a
// terminal; done ends its line.
func showProgress(cfg *producer.ImportConfig, log *slog.Logger) (done func()) {
	var bar *progressbar.ProgressBar // none for a file of which nothing is sent
	if to, err := os.Stderr.Stat(); err != nil || to.Mode()&os.ModeCharDevice == 0 {
		return func() {}
	}
	cfg.OnProgress = func(p producer.Progress) {
		if bar == nil {
			bar = progressbar.DefaultBytes(p.TotalBytes, "import "+filepath.Base(cfg.Path))
		}
		if err := bar.Set64(p.Bytes); err != nil {
			log.Debug("progress bar", "error", err)
		}
	}
	return func() {
		if bar != nil {
			fmt.Fprintln(os.Stderr)
		}
	}
}

func printImport(path string, r producer.Report) {
	if r.AlreadyDone {
		account := ""
		if r.Known.Account != "" {
			account = ", account " + r.Known.Account
		}
		fmt.Printf("%s: imported before, on %s as %q%s; nothing was sent (--again overrides)\n",
			path, r.Known.Finished.UTC().Format(time.RFC3339), r.Known.Name, account)
		return
	}
	fmt.Printf("%s: %d lines, %d events", path, r.Lines, r.Events)
	if r.Events > 0 {
		fmt.Printf(" from %s to %s", r.FirstTime.UTC().Format(time.RFC3339), r.LastTime.UTC().Format(time.RFC3339))
	}
	for _, reason := range r.Reasons() {
		fmt.Printf(", skipped %d (%s)", r.Skipped[reason], reason)
	}
	fmt.Println()
}

// reachable says in words what to do where no broker answers.
func reachable(ctx context.Context, c *config) error {
	var err error
	for _, addr := range c.brokerAddrs() {
		var conn net.Conn
		if conn, err = (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", addr); err == nil {
			return conn.Close()
		}
	}
	return usageError{fmt.Errorf("no Kafka answers at %v: %w; start 'tallybook run' first, or name another Kafka with --brokers",
		c.brokerAddrs(), err)}
}

func generateCommand() *cobra.Command {
	var shape, start string
	var seed, from, events int64
	var totals string
	cfg := producer.GenerateConfig{Now: time.Now}
	cmd := &cobra.Command{
		Use:   "generate",
		Short: "send seeded synthetic events with known totals to Kafka; prints the totals as JSON",
		Example: "  tallybook generate --events 1000000 --duplicates 0.01 --late 0.01 --malformed 0.001\n" +
			"  tallybook generate --shape live --rate 20000 --events 600000",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Shape, cfg.Seed, cfg.From, cfg.Events = producer.Shape(shape), uint64(seed), from, events
			if start != "" {
				t, err := time.Parse(time.RFC3339, start)
				if err != nil {
					return usageError{fmt.Errorf("--start %q: not an RFC 3339 time", start)}
				}
				cfg.Start = t
			} else if cfg.Shape == producer.Live {
				cfg.Start = time.Now()
			}
			return withConfig(cmd, func(ctx context.Context, c *config) error { return generate(ctx, c, cfg, totals) })
		},
	}
	f := cmd.Flags()
	f.Int64Var(&seed, "seed", 1, "what the events are made from; the same seed makes the same events")
	f.Int64Var(&from, "from", 0, "first event, to go on where an earlier run ended")
	f.Int64Var(&events, "events", 100_000, "number of the event to end at; 0: until interrupted")
	f.Float64Var(&cfg.Rate, "rate", 0, "events a second; 0: as fast as they are taken")
	f.StringVar(&shape, "shape", "dense", "dense (one hour), wide (30 days) or live (now)")
	f.StringVar(&start, "start", "", "time of the first event (default 2026-01-01T00:00:00Z; live: now)")
	f.IntVar(&cfg.Accounts, "accounts", 0, "number of accounts (default 100)")
	f.IntVar(&cfg.Routes, "routes", 0, "number of routes (default 40; wide 60)")
	f.Float64Var(&cfg.ErrorShare, "errors", 0, "share of API errors")
	f.Float64Var(&cfg.EmailShare, "emails", 0, "share of e-mail events")
	f.Float64Var(&cfg.DuplicateShare, "duplicates", 0, "share of repeats")
	f.Float64Var(&cfg.LateShare, "late", 0, "share of events that are 1 to 72 hours late")
	f.Float64Var(&cfg.MalformedShare, "malformed", 0, "share of records that must be refused")
	f.StringVar(&totals, "totals", "-", "`file` for the totals; - is standard output")
	return cmd
}

func generate(ctx context.Context, c *config, cfg producer.GenerateConfig, totals string) error {
	if err := reachable(ctx, c); err != nil {
		return err
	}
	k, err := c.kafka()
	if err != nil {
		return usageError{err}
	}
	defer k.Close()
	if _, err := k.EnsureTopics(ctx, c.Partitions, c.Replication); err != nil {
		return usageError{err}
	}
	w := k.Writer("")
	defer w.Close()
	var sent atomic.Int64
	began := time.Now()
	expected, err := producer.Generate(ctx, cfg, func(records []kafka.Message) error {
		err := producer.Send(ctx, w, records)
		if err == nil {
			sent.Add(int64(len(records)))
		}
		return err
	})
	if errors.Is(err, producer.ErrGenerate) {
		return usageError{err}
	}
	took := time.Since(began)
	fmt.Fprintf(os.Stderr, "%d records acknowledged in %s, %.0f a second\n", sent.Load(), took.Round(time.Millisecond), float64(sent.Load())/took.Seconds())
	if expected != nil {
		if werr := writeTotals(totals, expected); werr != nil {
			return werr
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w; go on with --from %d", err, cfg.From+sent.Load())
	}
	return nil
}

// totals are Expected as JSON: keys are topic/account, topic/hour, topic/status.
type totals struct {
	From, Next, Records, Counted, Late, Duplicates, Rejected int64
	Malformed                                                map[schemas.Reason]int64
	Topics                                                   map[schemas.Topic]producer.Totals
	Accounts, Hours, Statuses                                map[string]producer.Totals
}

func totalsOf(e *producer.Expected) totals {
	t := totals{From: e.From, Next: e.Next, Records: e.Records, Counted: e.Counted, Late: e.Late, Duplicates: e.Duplicates,
		Rejected: e.Rejected(), Malformed: e.Malformed, Topics: e.Topics,
		Accounts: map[string]producer.Totals{}, Hours: map[string]producer.Totals{}, Statuses: map[string]producer.Totals{}}
	for k, v := range e.Accounts {
		t.Accounts[string(k.Topic)+"/"+k.Account] = v
	}
	for k, v := range e.Hours {
		t.Hours[string(k.Topic)+"/"+k.Hour.Time().Format(time.RFC3339)] = v
	}
	for k, v := range e.Statuses {
		t.Statuses[fmt.Sprintf("%s/%d", k.Topic, k.Status)] = v
	}
	return t
}

func writeTotals(path string, expected *producer.Expected) error {
	b, err := json.MarshalIndent(totalsOf(expected), "", "  ")
	if err != nil {
		return err
	}
	if path == "-" {
		_, err = fmt.Println(string(b))
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
