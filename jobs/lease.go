package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/robfig/cron/v3"

	"tallybook/store"
)

// leaseFor is how long a lease holds without being renewed: a process that died
// keeps others from its job for as long.
const leaseFor = 30 * time.Second

// holderName tells this process from others in lists of runs.
func holderName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), rand.Text()[:6])
}

// lastDue is the time of the schedule that a run at now serves. Fields of cron
// name whole minutes, and "@every" is counted from 1970, so that processes with
// timers of their own mean the same.
func lastDue(schedule cron.Schedule, now time.Time) time.Time {
	if every, ok := schedule.(cron.ConstantDelaySchedule); ok {
		return now.Truncate(every.Delay)
	}
	return now.Truncate(time.Minute)
}

// leased runs fn under a lease on the job that is renewed while it runs; due is
// zero out of turn. Where the lease is lost, fn's ctx ends, and what it still
// writes under the lease is refused by the store. store.ErrLeaseDone: another
// process served that time of the schedule.
func (r *Runner) leased(ctx context.Context, job string, due time.Time, fn func(context.Context, store.Lease) error) (err error) {
	if r.cfg.Store == nil {
		return fn(ctx, store.Lease{Job: job})
	}
	l, err := r.cfg.Store.TakeLease(ctx, job, r.cfg.Holder, due, r.cfg.LeaseFor)
	if errors.Is(err, store.ErrLeaseHeld) {
		return fmt.Errorf("%w, in another process: %w", ErrRunning, err)
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.renew(ctx, l, cancel)
	}()
	defer func() {
		if p := recover(); p != nil { // noted as the run's error, then as every panic of a job
			r.endLease(l, fmt.Errorf("panic: %v", p))
			panic(p)
		}
	}()
	defer func() {
		cancel(nil)
		<-stopped
	}()
	err = fn(ctx, l)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, store.ErrLeaseLost) {
		err = errors.Join(err, cause)
	}
	r.endLease(l, err)
	return err
}

// renew keeps the lease until ctx ends. A store that does not answer for a while
// is asked again: the lease tells by itself when it is over.
func (r *Runner) renew(ctx context.Context, l store.Lease, lost context.CancelCauseFunc) {
	tick := time.NewTicker(r.cfg.LeaseFor / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := r.cfg.Store.RenewLease(ctx, l, r.cfg.LeaseFor)
		if errors.Is(err, store.ErrLeaseLost) {
			lost(err)
			return
		}
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("renew a job's lease", "job", l.Job, "err", err)
		}
	}
}

// endLease is done also when the process is about to stop.
func (r *Runner) endLease(l store.Lease, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.cfg.Store.EndLease(ctx, l, err); err != nil {
		r.cfg.Log.Warn("end a job's lease", "job", l.Job, "err", err)
	}
}
