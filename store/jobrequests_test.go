package store

import (
	"errors"
	"testing"
	"time"
)

func TestJobRequests(t *testing.T) {
	s, clock := catalogStore(t)
	if _, err := s.AskJob(t.Context(), "rollups"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a job without a schedule: got %v, want ErrNotFound", err)
	}
	if err := s.ScheduleJob(t.Context(), "rollups", "* * * * *"); err != nil {
		t.Fatal(err)
	}
	asked := func(want int) []JobRequest {
		t.Helper()
		list, err := s.AskedJobs(t.Context())
		if err != nil || len(list) != want {
			t.Fatalf("got %v, %v, want %d requests", list, err, want)
		}
		return list
	}
	asked(0)
	// A process with a clock ahead of ours has served a later time.
	due := closedAt.Add(time.Hour)
	l, err := s.TakeLease(t.Context(), "rollups", "a", due, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.AskJob(t.Context(), "rollups")
	if err != nil || !r.At.After(due) {
		t.Errorf("got %v, %v, want a time after %v", r, err, due)
	}
	asked(0) // it runs
	if states, err := s.JobStates(t.Context(), 1); err != nil || !states[0].Asked.Equal(r.At) {
		t.Errorf("got %+v, %v, want that it was asked for at %v", states, err, r.At)
	}
	if err := s.NoteProgress(t.Context(), l, "half"); err != nil {
		t.Fatal(err)
	}
	if err := s.EndLease(t.Context(), l, nil); err != nil {
		t.Fatal(err)
	}
	// Asked again it is one request, which one of two takes on.
	if _, err := s.AskJob(t.Context(), "rollups"); err != nil {
		t.Fatal(err)
	}
	at := asked(1)[0].At
	if l, err = s.TakeLease(t.Context(), "rollups", "b", at, time.Minute); err == nil {
		err = s.EndLease(t.Context(), l, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.TakeLease(t.Context(), "rollups", "a", at, time.Minute); !errors.Is(err, ErrLeaseDone) {
		t.Errorf("the same request again: got %v, want ErrLeaseDone", err)
	}
	asked(0)
	states, err := s.JobStates(t.Context(), 2)
	if err != nil || len(states[0].Runs) != 2 || states[0].Runs[1].Progress != "half" || states[0].Runs[0].Progress != "" || !states[0].Asked.IsZero() {
		t.Errorf("got %+v, %v", states, err)
	}
	clock.Add(int64(2 * time.Hour / time.Microsecond))
	if r, err = s.AskJob(t.Context(), "rollups"); err != nil || r.At.UnixMicro() != clock.Load() {
		t.Errorf("got %v, %v, want the clock's %v", r, err, clock.Load())
	}
}
