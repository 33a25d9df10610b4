package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

const staleHour = "2026-01-02T10"

// valued is a request of series /s with a latency.
func valued(latency float64, taken bool) event {
	v := dec(fmt.Sprint(latency))
	return event{kind: "api.request", account: "acme", at: staleHour + ":20:00Z", status: 200, quantity: "1", latency: latency, taken: taken,
		strings: map[schemas.Field]string{schemas.API: "web", schemas.Endpoint: "/s"},
		family:  schemas.FamilyRequest, dims: []string{"web", "", "/s", "", "200", ""},
		adds: schemas.Measures{Count: 1, Quantity: dec("1"), ValueCount: 1, ValueSum: v, ValueMin: v, ValueMax: v}}
}

// row is the hour row of series /s, and whether it is marked stale.
func (r *rig) staleRow() (m schemas.Measures, marks []store.StaleRow) {
	r.t.Helper()
	hour := schemas.HourOf(micros(staleHour + ":00:00Z"))
	err := r.store.View(r.t.Context(), func(v *store.View) (err error) {
		q := store.RollupQuery{Family: schemas.FamilyRequest, Accounts: []string{"acme"}, From: hour, To: hour + 1,
			Filter: map[int][]string{2: {"/s"}}}
		if err = v.Rollups(q, func(row *store.Rollup) error {
			m = row.Measures
			return nil
		}); err != nil {
			return err
		}
		marks, err = v.Stale(store.StaleQuery{Family: "request", From: hour, To: hour + 1, Accounts: []string{"acme"}})
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return m, marks
}

func (r *rig) wantExtremes(what, least, greatest string, marks int) {
	r.t.Helper()
	m, got := r.staleRow()
	if m.ValueMin != dec(least) || m.ValueMax != dec(greatest) || len(got) != marks {
		r.t.Errorf("%s: got %v to %v, %d marks; want %s to %s, %d", what, m.ValueMin, m.ValueMax, len(got), least, greatest, marks)
	}
}

func (r *rig) wantVerified(what string) {
	r.t.Helper()
	report, err := Verify(r.t.Context(), VerifyConfig{Store: r.store, Archive: r.archive})
	if err != nil || !report.OK() {
		r.t.Errorf("%s: %v\n%s", what, err, report)
	}
}

func (r *rig) recompute() {
	r.t.Helper()
	if err := RecomputeExtremes(r.t.Context(), r.store, r.archive, nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestRecomputeExtremes(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.write(usage0, []event{valued(5, false), valued(1, false), valued(9, false), valued(1, false)}, nil, 0)
	if err := r.store.BuildRollups(t.Context(), store.Daily, schemas.DayOf(micros(staleHour+":00:00Z"))); err != nil {
		t.Fatal(err)
	}
	r.wantExtremes("before", "1", "9", 0)
	r.write(usage0, []event{valued(9, true), valued(1, true), valued(7, false)}, nil, 0)
	r.wantExtremes("stale", "1", "9", 1)
	r.wantVerified("stale")
	r.recompute()
	r.wantExtremes("computed", "1", "7", 0) // one of the two 1 is left
	r.wantVerified("computed")
	if got := unbuilt(t, r); len(got) == 0 || got[len(got)-1] != schemas.DayOf(micros(staleHour+":00:00Z")) {
		t.Errorf("got unbuilt days %v, want that of the hour among them: its least and greatest changed", got)
	}
	r.write(usage0, []event{valued(1, true), valued(5, true), valued(7, true)}, nil, 0)
	r.wantVerified("nothing left, stale")
	r.recompute()
	r.wantExtremes("nothing left", "0", "0", 0)
	r.wantVerified("nothing left")
	r.write(usage0, []event{valued(3, false)}, nil, 0)
	r.wantExtremes("one more", "3", "3", 0)
	r.wantVerified("one more")
	wrong := dec("2").SortKey()
	r.sql(`UPDATE rollup_hours SET value_min = ? WHERE series = (SELECT id FROM series WHERE dims LIKE '%"/s"%' AND family = 'request')`, wrong[:])
	if report, err := Verify(t.Context(), VerifyConfig{Store: r.store, Archive: r.archive}); err == nil && report.OK() {
		t.Error("wrong extremes: got no difference")
	}
}

func unbuilt(t *testing.T, r *rig) (days []schemas.Day) {
	t.Helper()
	err := r.store.View(t.Context(), func(v *store.View) (err error) {
		days, err = v.Unbuilt(store.Daily, schemas.DayOf(micros("2026-03-01T00:00:00Z")), 100)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return days
}

// What was computed from a snapshot is not written where the row was touched
// since: neither by another value nor by another retraction.
func TestExtremesOfTouchedRow(t *testing.T) {
	r := newRig(t)
	r.write(usage0, []event{valued(5, false), valued(1, false), valued(9, false)}, nil, 0)
	r.write(usage0, []event{valued(9, true)}, nil, 0)
	old := func() store.Extremes {
		_, marks := r.staleRow()
		return store.Extremes{StaleRow: marks[0], Min: dec("1"), Max: dec("5")}
	}
	for _, touch := range [][]event{{valued(8, false)}, {valued(8, true)}, {valued(6, false), valued(5, true)}} {
		computed := old()
		r.write(usage0, touch, nil, 0)
		if n, err := r.store.SetExtremes(t.Context(), []store.Extremes{computed}); n != 0 || err != nil {
			t.Errorf("touched: got %d rows set, %v; want none", n, err)
		}
		r.wantVerified("touched")
	}
	r.recompute()
	r.wantExtremes("in the end", "1", "6", 0)
	r.wantVerified("in the end")
}

// A death before or after the write, and two runs at once, end alike.
func TestRecomputeFaults(t *testing.T) {
	for _, applied := range []bool{false, true} {
		r := newRig(t)
		r.write(usage0, []event{valued(5, false), valued(1, false)}, nil, 0)
		r.write(usage0, []event{valued(1, true)}, nil, 0)
		boom := errors.New("boom")
		broken, err := store.Open(t.Context(), r.path, store.Options{Fault: func(step string) (before, after error) {
			if step != "extremes" {
				return nil, nil
			}
			if applied {
				return nil, boom
			}
			return boom, nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		if err := RecomputeExtremes(t.Context(), broken, r.archive, nil); !errors.Is(err, boom) {
			t.Errorf("applied %v: got %v, want boom", applied, err)
		}
		if err := broken.Close(); err != nil {
			t.Error(err)
		}
		r.wantVerified("after the fault")
		done := make(chan error)
		for range 2 {
			go func() { done <- RecomputeExtremes(context.Background(), r.store, r.archive, nil) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.wantExtremes("again", "5", "5", 0)
		r.wantVerified("again")
	}
}

// A declared meter that is not filled yet keeps its marks, whatever its rows
// add up to: they lack values that the fill brings.
func TestExtremesOfUnfilledMeter(t *testing.T) {
	r := newRig(t)
	r.write(usage0, []event{valued(5, false)}, nil, 0)
	m := r.declare(schemas.MeterDefinition{Slug: "peak", EventType: "api.request", Aggregation: schemas.Max, ValueProperty: "$.latency_ms"})
	live := func(latency float64, taken bool) event {
		e := valued(latency, taken)
		e.live = m.Family
		return e
	}
	id := []store.MeterID{store.MeterIDOf(&m.Meter)}
	r.metering = store.Metering{Generation: 1, Folded: id, Fresh: id}
	r.write(usage0, []event{live(9, false)}, nil, 0)
	r.write(usage0, []event{live(5, true)}, nil, 0) // of the event before the meter
	r.recompute()
	if err := r.backfill(r.store, "peak"); err != nil {
		t.Fatal(err)
	}
	r.recompute()
	r.wantRows("peak", `02T10 acme []: 1, 1 9 9 9`)
	r.wantVerified("filled")
	set := func(value string) { // value_min
		key := dec(value).SortKey()
		r.sql(`UPDATE rollup_hours SET value_min = ? WHERE series = (SELECT id FROM series WHERE family = ?)`, key[:], m.Family.Name)
	}
	set("5")
	r.finds(DiffRollup, m.Family.Name, "value minimum is 5, the archive has 9") // also where values were taken away
	set("9")
	r.wantVerified("as it was")
}
