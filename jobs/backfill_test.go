package jobs

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

func (r *rig) declare(d schemas.MeterDefinition) store.DeclaredMeter {
	r.t.Helper()
	m, err := r.store.CreateMeter(r.t.Context(), "test", d)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

func (r *rig) backfill(st *store.Store, slug string) error {
	return Backfill(r.t.Context(), BackfillConfig{Store: st, Archive: r.archive, Meter: slug, Now: later})
}

// later is when every partition without a worker is taken for idle.
func later() time.Time { return time.Now().Add(time.Hour) }

// rows are a declared meter's hours and sketches as lines.
func (r *rig) rows(slug string) (lines []string, complete bool) {
	r.t.Helper()
	err := r.store.View(r.t.Context(), func(v *store.View) error {
		m, err := v.Meter(slug)
		if err != nil {
			return err
		}
		complete = m.Complete
		err = v.Rollups(store.RollupQuery{Family: m.Family, From: 0, To: 1 << 30}, func(x *store.Rollup) error {
			lines = append(lines, fmt.Sprintf("%s %s %q: %d, %d %v %v %v", x.Window.Time().Format("02T15"), x.Series.Account,
				x.Series.Dims, x.Count, x.ValueCount, x.ValueSum, x.ValueMin, x.ValueMax))
			return nil
		})
		if err != nil {
			return err
		}
		sketches := map[string]int64{}
		err = v.Sketches(store.SketchQuery{Family: m.Family, From: 0, To: 1 << 30}, func(h schemas.Hour, s *schemas.Series, x schemas.Sketch) error {
			sketches[fmt.Sprintf("%s %s %q: sketch of", h.Time().Format("02T15"), s.Account, s.Dims)] += x.Count()
			return nil
		})
		for text, n := range sketches {
			lines = append(lines, fmt.Sprint(text, " ", n))
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	slices.Sort(lines)
	return lines, complete
}

func (r *rig) wantRows(slug string, want ...string) {
	r.t.Helper()
	got, complete := r.rows(slug)
	slices.Sort(want)
	if !slices.Equal(got, want) || !complete {
		r.t.Errorf("meter %s, complete %v:\ngot  %s\nwant %s", slug, complete, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

var byEndpoint = map[string]string{"endpoint": "$.endpoint", "region": "$.dimensions.region"}

func TestBackfill(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.declare(schemas.MeterDefinition{Slug: "slow", EventType: "api.request", Aggregation: schemas.Max, ValueProperty: "$.latency_ms", GroupBy: byEndpoint})
	r.declare(schemas.MeterDefinition{Slug: "spread", EventType: "api.request", Aggregation: schemas.Percentile, ValueProperty: "$.latency_ms", Percentiles: []float64{50}})
	r.declare(schemas.MeterDefinition{Slug: "mails", EventType: "email.*", Aggregation: schemas.Count, GroupBy: map[string]string{"event": "$.event"}})
	r.declare(schemas.MeterDefinition{Slug: "none", EventType: "nothing", Aggregation: schemas.Count})
	if err := r.backfill(r.store, ""); err != nil {
		t.Fatal(err)
	}
	r.wantRows("slow",
		`01T23 acme ["/a" "eu"]: 3, 3 111.85 0.1 99.25`,
		`02T00 acme ["/a" "eu"]: 1, 0 0 0 0`,
		`02T00 bolt ["/b" "eu"]: 1, 1 7 7 7`)
	r.wantRows("spread",
		`01T23 acme []: 3, 3 111.85 0.1 99.25`, `01T23 acme []: sketch of 3`,
		`02T00 acme []: 1, 0 0 0 0`,
		`02T00 bolt []: 1, 1 7 7 7`, `02T00 bolt []: sketch of 1`)
	r.wantRows("mails", `01T10 acme [""]: 1, 0 0 0 0`, `01T10 acme ["failed"]: 1, 0 0 0 0`)
	r.wantRows("none")
	before, _ := r.rows("spread")
	if err := MergeSketches(t.Context(), r.store, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.backfill(r.store, "spread"); err != nil { // complete: nothing to do
		t.Fatal(err)
	}
	r.wantRows("spread", before...)
	if err := r.backfill(r.store, "unknown"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("backfill of an unknown meter: %v", err)
	}
}

// What was folded live is not folded again, and what came before is.
func TestBackfillBelowLive(t *testing.T) {
	r := newRig(t)
	r.fill()
	m := r.declare(schemas.MeterDefinition{Slug: "requests_all", EventType: "api.request", Aggregation: schemas.Count})
	ids := []store.MeterID{store.MeterIDOf(&m.Meter)}
	pos, err := r.store.Position(t.Context(), usage0)
	if err != nil {
		t.Fatal(err)
	}
	older := store.Position{Partition: usage0, Epoch: pos.Epoch - 1, Next: pos.Next}
	if marked, err := r.store.MarkLive(t.Context(), older, ids); marked || err != nil {
		t.Errorf("an older owner marked a meter live: %v, %v", marked, err)
	}
	if marked, err := r.store.MarkLive(t.Context(), pos, ids); !marked || err != nil {
		t.Fatalf("marked live: %v, %v", marked, err)
	}
	// These count as folded live, by a worker that knows the meter; it is the
	// test that does not add their deltas.
	r.metering = store.Metering{Folded: ids}
	r.fill()
	if err := r.backfill(r.store, ""); err != nil {
		t.Fatal(err)
	}
	r.wantRows("requests_all", `01T23 acme []: 3, 0 0 0 0`, `02T00 acme []: 1, 0 0 0 0`, `02T00 bolt []: 1, 0 0 0 0`)
}

// A worker that does not know a live meter is fenced.
func TestUnknownLiveMeterFences(t *testing.T) {
	r := newRig(t)
	r.fill()
	m := r.declare(schemas.MeterDefinition{Slug: "x", EventType: "api.request", Aggregation: schemas.Count})
	if err := r.store.AdoptIdle(t.Context(), &m.Meter); err != nil {
		t.Fatal(err)
	}
	from, err := r.store.Position(t.Context(), usage0)
	if err != nil {
		t.Fatal(err)
	}
	c := &store.Checkpoint{From: from, To: from, Ledger: store.Ledger{First: from.Next, Next: from.Next + 1, Records: 1, Counted: 1}}
	c.To.Next++
	r.wantOutcome(c, store.Metering{}, store.Fenced)
	r.wantOutcome(c, store.Metering{Folded: []store.MeterID{{Slug: "x", Version: m.Version + 1}}}, store.Fenced)
	r.wantOutcome(c, store.Metering{Folded: []store.MeterID{store.MeterIDOf(&m.Meter)}}, store.Applied)
	if err := r.store.DeleteMeter(t.Context(), "test", "x"); err != nil {
		t.Fatal(err)
	}
	c.From = c.To
	c.To.Next++
	c.Ledger.First, c.Ledger.Next = c.From.Next, c.To.Next
	r.wantOutcome(c, store.Metering{}, store.Applied)
}

func (r *rig) wantOutcome(c *store.Checkpoint, m store.Metering, want store.Outcome) {
	r.t.Helper()
	c.Metering = m
	results, err := r.store.Checkpoint(r.t.Context(), []*store.Checkpoint{c})
	if err != nil || results[0].Outcome != want {
		r.t.Errorf("folded with %v: got %v, %v, want %v", m.Folded, results, err, want)
	}
}

// TestBackfillTwice: two processes at once, whose steps fail or fail to be
// answered, and which are started again, count everything once.
func TestBackfillTwice(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	d := schemas.MeterDefinition{Slug: "spread", EventType: "api.request", Aggregation: schemas.Percentile,
		ValueProperty: "$.latency_ms", Percentiles: []float64{50}, GroupBy: byEndpoint}
	r.declare(d)
	if err := r.backfill(r.store, ""); err != nil {
		t.Fatal(err)
	}
	want, _ := r.rows("spread")
	if len(want) == 0 {
		t.Fatal("no rows to compare with")
	}
	boom := errors.New("boom")
	for _, step := range []string{"note", "series", "rollups", "sketches", "fill"} {
		for _, applied := range []bool{false, true} {
			d.Slug = fmt.Sprintf("spread_%s_%v", step, applied)
			r.declare(d)
			var running sync.WaitGroup
			for range 2 {
				failed := false
				st, err := store.Open(t.Context(), r.path, store.Options{Fault: func(at string) (before, after error) {
					if at != step || failed {
						return nil, nil
					}
					failed = true
					if applied {
						return nil, boom
					}
					return boom, nil
				}})
				if err != nil {
					t.Fatal(err)
				}
				running.Go(func() {
					defer st.Close()
					for range 2 { // the first ends at the fault, if it gets there before the other process
						if err := r.backfill(st, d.Slug); err != nil && !errors.Is(err, boom) {
							t.Error(err)
						}
					}
				})
			}
			running.Wait()
			r.wantRows(d.Slug, want...)
		}
	}
}

// A file that is lost keeps a meter from being complete.
func TestBackfillLostFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.declare(schemas.MeterDefinition{Slug: "x", EventType: "email.*", Aggregation: schemas.Count})
	if err := r.bucket.Delete(t.Context(), r.file("emails/")); err != nil {
		t.Fatal(err)
	}
	if err := r.backfill(r.store, "x"); err == nil {
		t.Error("a lost file is no error")
	}
	if rows, complete := r.rows("x"); complete || len(rows) > 0 {
		t.Errorf("complete %v with %q", complete, rows)
	}
}
