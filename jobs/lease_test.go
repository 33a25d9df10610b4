package jobs

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/robfig/cron/v3"

	"tallybook/store"
	"tallybook/store/storetest"
)

// leaseRig is two processes with jobs on one store, whose clock the test moves.
type leaseRig struct {
	path  string
	store *store.Store
	clock atomic.Int64
	a, b  *Runner
	log   lineCount // of both
}

type lineCount struct{ atomic.Int64 }

func (n *lineCount) Write(line []byte) (int, error) {
	n.Add(1)
	return len(line), nil
}

func newLeaseRig(t *testing.T, job Job) *leaseRig {
	r := &leaseRig{path: storetest.URL(t)}
	r.clock.Store(micros("2026-03-01T00:00:00Z"))
	now := func() time.Time { return time.UnixMicro(r.clock.Load()).UTC() }
	st, err := store.Open(t.Context(), r.path, store.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r.store = st
	for _, to := range []**Runner{&r.a, &r.b} {
		*to, err = NewRunner(RunnerConfig{Jobs: []Job{job}, Registry: prometheus.NewRegistry(), Store: st, Now: now, LeaseFor: 40 * time.Millisecond,
			Log: slog.New(slog.NewTextHandler(&r.log, nil))})
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// Two processes serve each time of a schedule once between them.
func TestTwoRunnersServeAScheduleOnce(t *testing.T) {
	var runs atomic.Int64
	r := newLeaseRig(t, Job{Name: "once", Schedule: "* * * * *", Run: func(context.Context, time.Time, func(string)) error {
		runs.Add(1)
		return nil
	}})
	schedule, err := cron.ParseStandard("* * * * *")
	if err != nil {
		t.Fatal(err)
	}
	for minute := range int64(3) {
		r.clock.Store(micros("2026-03-01T00:00:00.1Z") + minute*60_000_000)
		errs := make(chan error)
		for _, runner := range []*Runner{r.a, r.b} {
			go func() {
				errs <- runner.run(context.Background(), "once", lastDue(schedule, runner.cfg.Now()), func(string) {})
			}()
		}
		for range 2 {
			if err := <-errs; err != nil && !errors.Is(err, store.ErrLeaseDone) && !errors.Is(err, store.ErrLeaseHeld) {
				t.Error(err)
			}
		}
		if runs.Load() != minute+1 {
			t.Errorf("minute %d: %d runs", minute, runs.Load())
		}
	}
	if err := r.b.RunOnce(t.Context(), "once", func(string) {}); err != nil || runs.Load() != 4 {
		t.Errorf("out of turn: %d runs, %v", runs.Load(), err)
	}
	states, err := r.store.JobStates(t.Context(), 10)
	if err != nil || len(states) != 1 || len(states[0].Runs) != 4 || states[0].Runs[0].Outcome != "ok" {
		t.Errorf("got %+v, %v", states, err)
	}
}

func TestRunnersDoNotOverlap(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	r := newLeaseRig(t, Job{Name: "slow", Schedule: "* * * * *", Leased: func(_ context.Context, l store.Lease, _ time.Time, _ func(string)) error {
		if l.Token != 1 {
			return errors.New("another token")
		}
		close(started)
		<-release
		return nil
	}})
	done := make(chan error)
	go func() { done <- r.a.RunOnce(context.Background(), "slow", func(string) {}) }()
	<-started
	if err := r.b.RunOnce(t.Context(), "slow", func(string) {}); !errors.Is(err, ErrRunning) {
		t.Errorf("got %v, want ErrRunning", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A job whose lease is over is told, and its run is not noted as a good one.
func TestLostLeaseEndsTheJob(t *testing.T) {
	var r *leaseRig
	r = newLeaseRig(t, Job{Name: "stopped", Schedule: "* * * * *", Leased: func(ctx context.Context, _ store.Lease, _ time.Time, _ func(string)) error {
		r.clock.Add(60_000_000) // the process slept past its lease
		<-ctx.Done()
		return ctx.Err()
	}})
	if err := r.a.RunOnce(t.Context(), "stopped", func(string) {}); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("got %v, want ErrLeaseLost", err)
	}
	states, err := r.store.JobStates(t.Context(), 10)
	if err != nil || states[0].Runs[0].Outcome != "error" || !strings.Contains(states[0].Runs[0].Error, "lease") {
		t.Errorf("got %+v, %v", states, err)
	}
}

func TestPanicIsNotedInTheRun(t *testing.T) {
	r := newLeaseRig(t, Job{Name: "panics", Schedule: "* * * * *", Run: func(context.Context, time.Time, func(string)) error { panic("oh") }})
	if err := r.a.RunOnce(t.Context(), "panics", func(string) {}); err == nil || !strings.Contains(err.Error(), "panic: oh") {
		t.Errorf("got %v", err)
	}
	states, err := r.store.JobStates(t.Context(), 1)
	if err != nil || states[0].Runs[0].Error != "panic: oh" || !states[0].Until.IsZero() {
		t.Errorf("got %+v, %v", states, err)
	}
}

func TestLastDue(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 17, 42, 5000, time.UTC)
	for spec, want := range map[string]string{"17 * * * *": "10:17:00", "@every 5s": "10:17:40", "@every 1m": "10:17:00"} {
		s, err := cron.ParseStandard(spec)
		if err != nil {
			t.Fatal(err)
		}
		if got := lastDue(s, at).Format(time.TimeOnly); got != want {
			t.Errorf("%s: got %s, want %s", spec, got, want)
		}
	}
}
