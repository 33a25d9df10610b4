package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"tallybook/archive"
	"tallybook/jobs"
	"tallybook/store"
)

// jobOptions are what 'tallybook job NAME' may be told besides the job.
type jobOptions struct {
	now   string // RFC 3339
	meter string // of backfill
}

func jobCommand() *cobra.Command {
	var o jobOptions
	cmd := &cobra.Command{
		Use:   "job NAME",
		Short: "run a job once, also beside a running process; 'job list' shows their schedules",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{errors.New("job needs the name of one job; 'tallybook job list' shows them")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return runJob(ctx, c, args[0], o)
			})
		},
	}
	cmd.Flags().StringVar(&o.now, "now", "", "`time` (RFC 3339) that the job takes for now (default: the clock's)")
	cmd.Flags().StringVar(&o.meter, "meter", "", "`slug` of the one meter that backfill fills (default: all that are not complete)")
	list := &cobra.Command{Use: "list", Short: "the jobs, their schedules (UTC) and their last runs", Args: noArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return withConfig(cmd, func(ctx context.Context, c *config) error {
			return listJobs(ctx, c, cmd.OutOrStdout())
		})
	}}
	cmd.AddCommand(list)
	return cmd
}

// listJobs also works where there is no data yet.
func listJobs(ctx context.Context, c *config, out io.Writer) error {
	last := map[string]store.JobRun{}
	if _, err := os.Stat(c.storeURL()); c.Store != "" || err == nil {
		st, err := store.Open(ctx, c.storeURL(), store.Options{Log: c.logger(), ReadOnly: true})
		if err != nil {
			return usageError{err}
		}
		defer st.Close()
		states, err := st.JobStates(ctx, 1)
		if err != nil {
			return err
		}
		for _, j := range states {
			if len(j.Runs) > 0 {
				last[j.Name] = j.Runs[0]
			}
		}
	}
	for _, job := range slices.Concat(jobs.Standard(nil, nil), c.archiveJobs(nil, nil), []jobs.Job{jobs.Outbox(nil), jobs.Alerts(jobs.AlertConfig{}), c.invoiceJob(nil, nil, nil)}) {
		line := fmt.Sprintf("%-10s %-12s", job.Name, job.Schedule)
		if run, ok := last[job.Name]; ok {
			line += fmt.Sprintf(" %s, %s", run.BeganAt.Format(time.RFC3339), run.Outcome)
			if text, _, _ := strings.Cut(run.Error, "\n"); text != "" {
				line += ": " + text
			}
		}
		fmt.Fprintln(out, strings.TrimRight(line, " "))
	}
	return nil
}

func runJob(ctx context.Context, c *config, name string, o jobOptions) error {
	now := time.Now
	if o.now != "" {
		at, err := time.Parse(time.RFC3339, o.now)
		if err != nil {
			return usageError{fmt.Errorf("--now %q: not an RFC 3339 time such as 2026-01-31T00:00:00Z", o.now)}
		}
		now = func() time.Time { return at }
	}
	if o.meter != "" && name != "backfill" {
		return usageError{fmt.Errorf("--meter is for the job backfill, not for %s", name)}
	}
	if err := c.hasData(); err != nil {
		return err
	}
	st, err := store.Open(ctx, c.storeURL(), store.Options{Log: c.logger()})
	if err != nil {
		return usageError{err}
	}
	defer st.Close()
	ar, err := archive.Open(c.archiveURL())
	if err != nil {
		return usageError{err}
	}
	progress := func(text string) { fmt.Fprintln(os.Stderr, text) }
	if name == "backfill" {
		err := jobs.Backfill(ctx, jobs.BackfillConfig{Store: st, Archive: ar, Meter: o.meter, Wait: true, Now: now, Progress: progress})
		if errors.Is(err, store.ErrNotFound) {
			err = usageError{err}
		}
		return err
	}
	outbox, alerts, err := mailJobs(c, st, now)
	if err != nil {
		return err
	}
	kafka, err := c.runningKafka()
	if err != nil {
		return usageError{err}
	}
	if kafka != nil {
		defer kafka.Close()
	}
	runner, err := jobs.NewRunner(jobs.RunnerConfig{Jobs: slices.Concat(jobs.Standard(st, ar), c.archiveJobs(st, ar), []jobs.Job{outbox, alerts, c.invoiceJob(st, ar, kafka)}), Registry: prometheus.NewRegistry(), Store: st, Now: now, Log: c.logger()})
	if err != nil {
		return err
	}
	err = runInTurn(ctx, runner, name, progress)
	if errors.Is(err, jobs.ErrNoJob) {
		return usageError{fmt.Errorf("%w; 'tallybook job list' shows them", err)}
	}
	return err
}

// jobWait is how long a job waits for one that runs elsewhere: longer than the
// lease of a process that was killed.
const jobWait = 45 * time.Second

func runInTurn(ctx context.Context, runner *jobs.Runner, name string, progress func(string)) error {
	waited := time.After(jobWait)
	for told := false; ; told = true {
		err := runner.RunOnce(ctx, name, progress)
		if !errors.Is(err, jobs.ErrRunning) {
			return err
		}
		if !told {
			progress(fmt.Sprintf("waits for up to %v: %v", jobWait, err))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-waited:
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
