package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestLeases(t *testing.T) {
	s, clock := catalogStore(t)
	due := closedAt.Truncate(time.Minute)
	a, err := s.TakeLease(t.Context(), "invoices", "a", due, time.Minute)
	if err != nil || a.Token != 1 {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, err := s.TakeLease(t.Context(), "invoices", "b", due.Add(time.Minute), time.Minute); !errors.Is(err, ErrLeaseHeld) {
		t.Errorf("while it is held: got %v, want ErrLeaseHeld", err)
	}
	if err := s.EndLease(t.Context(), a, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.TakeLease(t.Context(), "invoices", "b", due, time.Minute); !errors.Is(err, ErrLeaseDone) {
		t.Errorf("the same time of the schedule: got %v, want ErrLeaseDone", err)
	}
	// Out of turn it may run at any time.
	b, err := s.TakeLease(t.Context(), "invoices", "b", time.Time{}, time.Minute)
	if err != nil || b.Token != 2 {
		t.Fatalf("out of turn: got %+v, %v", b, err)
	}
	clock.Add(int64(30 * time.Second / time.Microsecond))
	if err := s.RenewLease(t.Context(), b, time.Minute); err != nil {
		t.Error(err)
	}
	clock.Add(int64(59 * time.Second / time.Microsecond))
	inTransaction := func(l Lease) error {
		return s.transact(t.Context(), func(w *writeTx) error { return s.checkLease(t.Context(), w, l) })
	}
	if err := inTransaction(b); err != nil {
		t.Errorf("a lease that was renewed: %v", err)
	}
	clock.Add(int64(time.Second / time.Microsecond))
	for name, err := range map[string]error{"check": inTransaction(b), "renew": s.RenewLease(t.Context(), b, time.Minute)} {
		if !errors.Is(err, ErrLeaseLost) {
			t.Errorf("%s past its end: got %v, want ErrLeaseLost", name, err)
		}
	}
	c, err := s.TakeLease(t.Context(), "invoices", "c", due.Add(time.Minute), time.Minute)
	if err != nil || c.Token != 3 {
		t.Fatalf("got %+v, %v", c, err)
	}
	// Whoever was stopped past its lease ends nothing of the next.
	if err := s.EndLease(t.Context(), b, nil); err != nil {
		t.Error(err)
	}
	if err := inTransaction(c); err != nil {
		t.Errorf("the lease of the next: %v", err)
	}
	if err := s.EndLease(t.Context(), c, errors.New("broken")); err != nil {
		t.Error(err)
	}
	states, err := s.JobStates(t.Context(), 10)
	if err != nil || len(states) != 1 || len(states[0].Runs) != 3 {
		t.Fatalf("got %+v, %v", states, err)
	}
	for i, want := range []string{"error", "lost", "ok"} {
		if r := states[0].Runs[i]; r.Outcome != want || r.EndedAt.IsZero() {
			t.Errorf("run %d: got %+v, want %s", r.Number, r, want)
		}
	}
	if got := states[0].Runs[0].Error; got != "broken" {
		t.Errorf("got error %q", got)
	}
}

// Of many that take the same time of a schedule at once, one gets it.
func TestLeaseIsTakenOnce(t *testing.T) {
	s, _ := catalogStore(t)
	var taken atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			l, err := s.TakeLease(context.Background(), "verify", "x", closedAt, time.Minute)
			switch {
			case err == nil:
				taken.Add(1)
				if err := s.EndLease(context.Background(), l, nil); err != nil {
					t.Error(err)
				}
			case !errors.Is(err, ErrLeaseHeld) && !errors.Is(err, ErrLeaseDone):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if taken.Load() != 1 {
		t.Errorf("taken %d times", taken.Load())
	}
}

func TestJobRunsAreBounded(t *testing.T) {
	s, _ := catalogStore(t)
	if err := s.ScheduleJob(t.Context(), "rollups", "*/5 * * * *"); err != nil {
		t.Fatal(err)
	}
	for range keptRuns + 5 {
		l, err := s.TakeLease(t.Context(), "rollups", "x", time.Time{}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.EndLease(t.Context(), l, nil); err != nil {
			t.Fatal(err)
		}
	}
	states, err := s.JobStates(t.Context(), 1000)
	if err != nil || len(states) != 1 || len(states[0].Runs) != keptRuns || states[0].Schedule != "*/5 * * * *" {
		t.Errorf("got %d jobs, %d runs, %v", len(states), len(states[0].Runs), err)
	}
}
