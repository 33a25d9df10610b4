package jobs

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/store"
	"tallybook/store/storetest"
)

// A run that is asked for happens once, in one of two processes, and what it says
// is kept while it goes on.
func TestRequestsAreServedOnce(t *testing.T) {
	var runs atomic.Int64
	noted := make(chan struct{})
	r := newLeaseRig(t, Job{Name: "asked", Schedule: "0 0 1 1 *", Run: func(ctx context.Context, _ time.Time, progress func(string)) error {
		runs.Add(1)
		progress("half of it")
		select {
		case <-noted:
		case <-ctx.Done():
		}
		return ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for _, runner := range []*Runner{r.a, r.b} {
		go func() { ended <- runner.Run(ctx) }()
	}
	state := func() store.JobState {
		states, err := r.store.JobStates(t.Context(), 5)
		if err != nil || len(states) == 0 {
			return store.JobState{}
		}
		return states[0]
	}
	wait(t, "the schedule is recorded", func() bool { return state().Schedule != "" })
	if _, err := r.store.AskJob(t.Context(), "asked"); err != nil {
		t.Fatal(err)
	}
	wait(t, "its progress is noted", func() bool { s := state(); return len(s.Runs) == 1 && s.Runs[0].Progress == "half of it" })
	close(noted)
	wait(t, "it has ended", func() bool { s := state(); return s.Runs[0].Outcome == "ok" })
	if s := state(); !s.Asked.IsZero() || len(s.Runs) != 1 || runs.Load() != 1 {
		t.Errorf("got %+v and %d runs, want one run and nothing that waits", s, runs.Load())
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// A store that is away when schedules begin is waited for.
func TestSchedulesBeginWithoutStore(t *testing.T) {
	r := newLeaseRig(t, Job{Name: "asked", Schedule: "0 0 1 1 *", Run: func(context.Context, time.Time, func(string)) error { return nil }})
	storetest.Exec(t, r.path, `ALTER TABLE job_leases RENAME TO away`)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.a.Run(ctx) }()
	wait(t, "the store was asked in vain", func() bool { return r.log.Load() > 0 })
	storetest.Exec(t, r.path, `ALTER TABLE away RENAME TO job_leases`)
	wait(t, "the job can be asked for", func() bool { _, err := r.store.AskJob(t.Context(), "asked"); return err == nil })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}
