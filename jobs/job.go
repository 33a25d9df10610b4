package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"tallybook/store"
)

// Job is a piece of work with a schedule, in cron's five fields or as
// "@every 5m", in UTC. Run does it once, as of now; it may be cut off by ctx.
// Leased stands in place of Run where the job's transactions check its lease.
type Job struct {
	Name     string
	Schedule string
	Run      func(ctx context.Context, now time.Time, progress func(string)) error
	Leased   func(ctx context.Context, l store.Lease, now time.Time, progress func(string)) error
}

var (
	// ErrNoJob: there is no job of that name.
	ErrNoJob = errors.New("no such job")
	// ErrRunning: the job still runs from the time before.
	ErrRunning = errors.New("the job is still running")
)

// RunnerConfig of a Runner. Jobs and Registry are required.
type RunnerConfig struct {
	Jobs     []Job
	Registry prometheus.Registerer
	Store    *store.Store     // whose leases keep other processes from running a job too; nil: no others
	Holder   string           // of leases; "": host, process and a random part
	LeaseFor time.Duration    // 0: 30 s
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default()
}

// Runner runs jobs when they are due, and by name. No job overlaps itself; with
// a Store not in other processes either, and each time of a schedule is served
// by one of them.
type Runner struct {
	cfg     RunnerConfig
	cron    *cron.Cron
	byName  map[string]*runnable
	runs    *prometheus.CounterVec
	seconds *prometheus.GaugeVec
	success *prometheus.GaugeVec
}

type runnable struct {
	Job
	running sync.Mutex
}

// NewRunner checks names and schedules; it starts nothing.
func NewRunner(cfg RunnerConfig) (*Runner, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Holder == "" {
		cfg.Holder = holderName()
	}
	if cfg.LeaseFor == 0 {
		cfg.LeaseFor = leaseFor
	}
	r := &Runner{cfg: cfg, cron: cron.New(cron.WithLocation(time.UTC)), byName: make(map[string]*runnable),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tallybook_job_runs_total",
			Help: "Runs of a job by outcome: ok, error, skipped (it still ran, or another process ran it)."}, []string{"job", "outcome"}),
		seconds: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tallybook_job_last_run_seconds",
			Help: "How long the last run of a job took."}, []string{"job"}),
		success: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tallybook_job_last_success_timestamp_seconds",
			Help: "When a job last ended well."}, []string{"job"}),
	}
	for _, job := range cfg.Jobs {
		if r.byName[job.Name] != nil {
			return nil, fmt.Errorf("two jobs are named %q", job.Name)
		}
		r.byName[job.Name] = &runnable{Job: job}
		if _, err := cron.ParseStandard(job.Schedule); err != nil {
			return nil, fmt.Errorf("schedule of job %s: %w", job.Name, err)
		}
	}
	for _, c := range []prometheus.Collector{r.runs, r.seconds, r.success} {
		if err := cfg.Registry.Register(c); err != nil {
			return nil, fmt.Errorf("register job metrics: %w", err)
		}
	}
	return r, nil
}

// Run runs the jobs on their schedules until ctx ends, and returns when the
// last of them has returned. A job's error is logged and counted. Call it once.
func (r *Runner) Run(ctx context.Context) error {
	for _, job := range r.cfg.Jobs {
		schedule, err := cron.ParseStandard(job.Schedule)
		if err != nil {
			return fmt.Errorf("schedule of job %s: %w", job.Name, err)
		}
		r.cron.Schedule(schedule, cron.FuncJob(func() { r.serve(ctx, job.Name, lastDue(schedule, r.cfg.Now())) }))
	}
	r.cron.Start()
	r.serveRequests(ctx)
	<-r.cron.Stop().Done()
	return nil
}

// record has the store list the jobs, so that they can be asked for.
func (r *Runner) record(ctx context.Context) error {
	for _, job := range r.cfg.Jobs {
		if err := r.cfg.Store.ScheduleJob(ctx, job.Name, job.Schedule); err != nil {
			return err
		}
	}
	return nil
}

// serve runs a job for a time of its schedule, or for a request; what goes wrong
// is logged.
func (r *Runner) serve(ctx context.Context, job string, due time.Time) {
	log := r.cfg.Log.With("job", job)
	err := r.run(ctx, job, due, func(text string) { log.Debug("job progress", "text", text) })
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, store.ErrLeaseDone) || errors.Is(err, store.ErrLeaseHeld):
		log.Debug("job", "err", err)
	default:
		log.Error("job", "err", err)
	}
}

// RunOnce runs a job now, out of turn. ErrRunning where it still runs.
func (r *Runner) RunOnce(ctx context.Context, name string, progress func(string)) error {
	return r.run(ctx, name, time.Time{}, progress)
}

// run serves a time of the job's schedule; due is zero out of turn.
func (r *Runner) run(ctx context.Context, name string, due time.Time, progress func(string)) (err error) {
	job := r.byName[name]
	if job == nil {
		return fmt.Errorf("%w: %q", ErrNoJob, name)
	}
	if !job.running.TryLock() {
		r.runs.WithLabelValues(name, "skipped").Inc()
		return fmt.Errorf("job %s: %w", name, ErrRunning)
	}
	defer job.running.Unlock()
	began := r.cfg.Now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("job %s: panic: %v\n%s", name, p, debug.Stack())
		}
		ended, outcome := r.cfg.Now(), "ok"
		if errors.Is(err, store.ErrLeaseDone) || errors.Is(err, store.ErrLeaseHeld) {
			r.runs.WithLabelValues(name, "skipped").Inc()
			return
		}
		if err != nil {
			outcome = "error"
		} else {
			r.success.WithLabelValues(name).Set(float64(ended.UnixMilli()) / 1000)
		}
		r.runs.WithLabelValues(name, outcome).Inc()
		r.seconds.WithLabelValues(name).Set(ended.Sub(began).Seconds())
	}()
	err = r.leased(ctx, name, due, func(ctx context.Context, l store.Lease) error {
		progress, stop := r.noted(ctx, l, progress)
		defer stop()
		if job.Leased != nil {
			return job.Leased(ctx, l, began, progress)
		}
		return job.Run(ctx, began, progress)
	})
	if err != nil {
		return fmt.Errorf("job %s: %w", name, err)
	}
	return nil
}
