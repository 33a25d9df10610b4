package store

import (
	"errors"
	"fmt"
	"reflect"
	"testing"

	"tallybook/schemas"
)

func fix(key EventKey, revision int64, rows, by string) Correction {
	c := Correction{Event: key, Revision: revision, Source: "fix", ID: by, Reason: "r", LogTime: 5}
	if rows != "" {
		c.Rows = []byte(rows)
	}
	return c
}

// testCorrections: state and history, and that one revision is taken once.
func testCorrections(t *testing.T, s *Store) {
	one, two := takeOver(t, s, usage0), takeOver(t, s, schemas.Partition{Topic: schemas.Usage, ID: 1})
	a, b := EventKey{"acct", "s", "a"}, EventKey{"acct", "s", "b"}
	with := func(o *owner, fixes ...Correction) *Checkpoint {
		c := o.next(int64(max(len(fixes), 1)))
		c.Corrections = fixes
		return c
	}
	if _, err := s.CorrectionState(ctx, schemas.Usage, a); !errors.Is(err, ErrNotFound) {
		t.Errorf("before any: got %v, want ErrNotFound", err)
	}
	one.apply(with(one, fix(a, 1, `[{"x":1}]`, "1"), fix(a, 2, `[{"x":2}]`, "2"), fix(b, 1, "", "3")))
	wantCorrected(t, s, CorrectedEvent{a, schemas.Usage, 2, false, []byte(`[{"x":2}]`)})
	wantCorrected(t, s, CorrectedEvent{b, schemas.Usage, 1, true, nil})
	if _, err := s.CorrectionState(ctx, schemas.Errors, a); !errors.Is(err, ErrNotFound) {
		t.Errorf("on another topic: got %v, want ErrNotFound", err)
	}
	for by, want := range map[string]int64{"1": 1, "2": 2, "3": 1} {
		if got, err := s.AppliedCorrection(ctx, "acct", "fix", by); got != want || err != nil {
			t.Errorf("correction %s: got revision %d, %v; want %d", by, got, err, want)
		}
	}
	if _, err := s.AppliedCorrection(ctx, "acct", "s", "a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an event is no correction: got %v", err)
	}
	// A revision that was taken refuses the checkpoint, whole.
	row := Rollup{day0.Hour(), makeSeries(schemas.FamilyRequest, "acct"), schemas.Measures{Count: -1}}
	late := two.next(1, row)
	late.Corrections = []Correction{fix(EventKey{"acct", "s", "c"}, 1, "", "8"), fix(a, 2, "", "9")}
	if r := two.try(late); r.Outcome != Refused || !errors.Is(r.Err, ErrRevisionTaken) {
		t.Errorf("taken: got %+v, want Refused for ErrRevisionTaken", r)
	}
	wantCorrected(t, s, CorrectedEvent{a, schemas.Usage, 2, false, []byte(`[{"x":2}]`)})
	if _, err := s.CorrectionState(ctx, schemas.Usage, EventKey{"acct", "s", "c"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("of a refused checkpoint: got %v, want ErrNotFound", err)
	}
	// At once too: one of them has it.
	batch := []*Checkpoint{with(one, fix(a, 3, `[{"x":3}]`, "10")), with(two, fix(a, 3, `[{"x":3}]`, "11"))}
	results, err := s.Checkpoint(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	first, winner := 0, one
	if results[1].Outcome == Applied {
		first, winner = 1, two
	}
	if results[first].Outcome != Applied || !errors.Is(results[1-first].Err, ErrRevisionTaken) {
		t.Errorf("at once: got %+v", results)
	}
	winner.pos = batch[first].To
	wantCorrected(t, s, CorrectedEvent{a, schemas.Usage, 3, false, []byte(`[{"x":3}]`)})
	two.apply(with(two, fix(a, 4, "", "12")))
	wantCorrected(t, s, CorrectedEvent{a, schemas.Usage, 4, true, nil})
}

func wantCorrected(t *testing.T, s *Store, want CorrectedEvent) {
	t.Helper()
	if got, err := s.CorrectionState(ctx, want.Topic, want.EventKey); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
}

// testStale: what a retraction marks, and how the mark goes.
func testStale(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	value := func(v, n int64) schemas.Measures {
		d := schemas.Decimal{Units: v}
		return schemas.Measures{Count: n, ValueCount: n, ValueSum: schemas.Decimal{Units: v * n}, ValueMin: d, ValueMax: d}
	}
	x, y := makeSeries(schemas.FamilyRequest, "a", "x"), makeSeries(schemas.FamilyRequest, "b", "y")
	hour := day0.Hour()
	o.apply(o.next(3, Rollup{hour, x, value(5, 2)}, Rollup{hour, y, value(7, 1)}, Rollup{hour + 30, x, value(1, 1)}))
	taken := o.next(3, Rollup{hour, x, value(5, -1)}, Rollup{hour, y, value(7, -1)}, Rollup{hour + 30, x, value(1, -1)})
	for i := range taken.Deltas {
		taken.Deltas[i].Stale = true
	}
	o.apply(taken)
	stale := func(q StaleQuery) (found []string) {
		t.Helper()
		for _, r := range viewed(t, s, func(v *View) ([]StaleRow, error) { return v.Stale(q) }) {
			found = append(found, fmt.Sprintf("%d %s %s %d %s", r.Window-hour, r.Series.Account, r.Series.Dims[0], r.ValueCount, r.Series.Family))
		}
		return found
	}
	all := StaleQuery{From: hour, To: hour + 100}
	for _, is := range []struct {
		q    StaleQuery
		want []string
	}{
		{all, []string{"0 a x 1 request", "0 b y 0 request", "30 a x 0 request"}},
		{StaleQuery{From: hour, To: hour + 30}, []string{"0 a x 1 request", "0 b y 0 request"}},
		{StaleQuery{From: hour, To: hour + 100, Accounts: []string{"a"}}, []string{"0 a x 1 request", "30 a x 0 request"}},
		{StaleQuery{From: hour, To: hour + 100, Limit: 1}, []string{"0 a x 1 request"}},
		{StaleQuery{From: hour, To: hour + 100, Family: "error"}, nil},
	} {
		if got := stale(is.q); fmt.Sprint(got) != fmt.Sprint(is.want) {
			t.Errorf("%+v: got %v, want %v", is.q, got, is.want)
		}
	}
	left := fold{}
	left.add(t, Rollup{hour, x, value(5, 1)})
	wantLines(t, "rows of nothing are absent",
		rollups(t, s, RollupQuery{Family: schemas.FamilyRequest, From: hour, To: hour + 100}), left.lines())
	marks := viewed(t, s, func(v *View) ([]StaleRow, error) { return v.Stale(all) })
	done := []Extremes{{StaleRow: marks[0], Min: schemas.Decimal{Units: 5}, Max: schemas.Decimal{Units: 5}}, {StaleRow: marks[1]}}
	if n, err := s.SetExtremes(ctx, done); n != 2 || err != nil {
		t.Errorf("got %d set, %v; want 2", n, err)
	}
	if got := stale(all); len(got) != 1 {
		t.Errorf("got %v, want the mark of hour 30 alone", got)
	}
	if n, err := s.SetExtremes(ctx, done); n != 0 || err != nil {
		t.Errorf("without marks: got %d set, %v; want none", n, err)
	}
}
