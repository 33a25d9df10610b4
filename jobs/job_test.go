package jobs

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/schemas"
	"tallybook/store"
)

func TestRunner(t *testing.T) {
	now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	started, release := make(chan struct{}), make(chan struct{})
	broken := errors.New("broken")
	registry := prometheus.NewRegistry()
	r, err := NewRunner(RunnerConfig{Registry: registry, Now: func() time.Time { return now }, Jobs: []Job{
		{Name: "good", Schedule: "@every 1h", Run: func(_ context.Context, at time.Time, progress func(string)) error {
			progress("half")
			if !at.Equal(now) {
				return errors.New("another time")
			}
			return nil
		}},
		{Name: "bad", Schedule: "* * * * *", Run: func(context.Context, time.Time, func(string)) error { return broken }},
		{Name: "panics", Schedule: "* * * * *", Run: func(context.Context, time.Time, func(string)) error { panic("oh") }},
		{Name: "slow", Schedule: "* * * * *", Run: func(context.Context, time.Time, func(string)) error {
			close(started)
			<-release
			return nil
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	say := func(text string) { said = append(said, text) }
	if err := r.RunOnce(t.Context(), "good", say); err != nil || len(said) != 1 {
		t.Errorf("good: %v, %v", err, said)
	}
	if err := r.RunOnce(t.Context(), "bad", say); !errors.Is(err, broken) {
		t.Errorf("bad: %v", err)
	}
	if err := r.RunOnce(t.Context(), "panics", say); err == nil || !strings.Contains(err.Error(), "panic: oh") {
		t.Errorf("panics: %v", err)
	}
	if err := r.RunOnce(t.Context(), "none", say); !errors.Is(err, ErrNoJob) {
		t.Errorf("none: %v", err)
	}
	done := make(chan error)
	go func() { done <- r.RunOnce(context.Background(), "slow", say) }()
	<-started
	if err := r.RunOnce(t.Context(), "slow", say); !errors.Is(err, ErrRunning) {
		t.Errorf("slow: got %v, want ErrRunning", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Errorf("slow: %v", err)
	}
	got := gather(t, registry)
	for name, want := range map[string]float64{"runs_total bad error": 1, "runs_total good ok": 1, "runs_total panics error": 1,
		"runs_total slow skipped": 1, "runs_total slow ok": 1, "last_success_timestamp_seconds good": float64(now.Unix())} {
		if got[name] != want {
			t.Errorf("%s: got %v, want %v", name, got[name], want)
		}
	}
}

// gather is every metric by its name behind tallybook_job_ and its labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := strings.TrimPrefix(f.GetName(), "tallybook_job_")
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func TestRunnerRunsOnSchedule(t *testing.T) {
	ran := make(chan struct{}, 16)
	r, err := NewRunner(RunnerConfig{Registry: prometheus.NewRegistry(), Jobs: []Job{{Name: "often", Schedule: "@every 1s",
		Run: func(ctx context.Context, _ time.Time, _ func(string)) error {
			ran <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	<-ran
	cancel()
	if err := <-done; err != nil { // only once the job has returned
		t.Error(err)
	}
}

func TestRunnerRefuses(t *testing.T) {
	for _, jobs := range [][]Job{{{Name: "a", Schedule: "soon"}}, {{Name: "a", Schedule: "@daily"}, {Name: "a", Schedule: "@daily"}}} {
		if _, err := NewRunner(RunnerConfig{Registry: prometheus.NewRegistry(), Jobs: jobs}); err == nil {
			t.Errorf("%v: got no error", jobs)
		}
	}
}

func TestStandardJobs(t *testing.T) {
	r := newRig(t)
	r.fill()
	runner, err := NewRunner(RunnerConfig{Registry: prometheus.NewRegistry(), Jobs: Standard(r.store, r.archive), Store: r.store,
		Now: func() time.Time { return time.UnixMicro(micros("2026-02-02T00:00:00Z")) }})
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, name := range []string{"rollups", "reconcile"} {
		if err := runner.RunOnce(t.Context(), name, func(text string) { said = append(said, text) }); err != nil {
			t.Error(err)
		}
	}
	for _, want := range []string{"built day of 2026-01-01", "built day of 2026-01-02", "built month of 2026-01-01", "balance usage/0"} {
		if !strings.Contains(strings.Join(said, "\n"), want) {
			t.Errorf("%q was not said: %q", want, said)
		}
	}
	err = r.store.View(t.Context(), func(v *store.View) error {
		for _, res := range []store.Resolution{store.Daily, store.Monthly} {
			days, err := v.Unbuilt(res, schemas.DayOf(micros("2026-02-02T00:00:00Z")), 10)
			if err != nil || len(days) != 0 {
				t.Errorf("unbuilt: %v, %v", days, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r.sql(`UPDATE rollup_hours SET count = 7 WHERE account = 'bolt'`)
	r.sql(`UPDATE ledger SET counted = counted - 1, duplicate = duplicate + 1 WHERE topic = 'emails'`)
	for range 2 { // one alert for each finding, however often it is found
		err := runner.RunOnce(t.Context(), "reconcile", func(string) {})
		if !errors.Is(err, ErrDiffers) || !strings.Contains(err.Error(), "account bolt") {
			t.Errorf("got %v, want the difference", err)
		}
		due, err := r.store.DueAlerts(t.Context(), time.Now(), 100)
		if err != nil {
			t.Fatal(err)
		}
		checks := map[string]int{}
		for i := range due {
			text, err := newAlertText(&due[i])
			if err != nil || due[i].Kind != store.AlertReconciliation || text.subject != "A check of the numbers failed" {
				t.Errorf("got %+v, %q, %v", due[i], text.subject, err)
			}
			check, _, _ := strings.Cut(due[i].Key, "/")
			checks[check]++
		}
		if checks["verify"] != 2 || checks["balance"] != 2 { // bolt's hour, and its day; a range, and the sum
			t.Errorf("got alerts %v", checks)
		}
	}
	states, err := r.store.JobStates(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range states {
		if j.Name == "reconcile" && (j.Runs[0].Outcome != "error" || !strings.Contains(j.Runs[0].Error, "account bolt")) {
			t.Errorf("the last run: got %+v", j.Runs[0])
		}
	}
}
