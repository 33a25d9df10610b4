package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// latencies adds a pack of sketches of random values to a checkpoint and to
// what the store must hold.
func latencies(rnd *rand.Rand, c *Checkpoint, sums map[string]schemas.Sketch) {
	for _, account := range []string{"a", "b", "c"} {
		hour := day0.Hour() + schemas.Hour(rnd.IntN(5))
		var all []schemas.Series
		for api := range 4 {
			all = append(all, makeSeries(schemas.FamilyLatency, account, fmt.Sprint("api", api)))
		}
		slices.SortFunc(all, func(x, y schemas.Series) int { return slices.Compare(x.ID[:], y.ID[:]) })
		p := SketchPack{Account: account, Hour: hour}
		for _, s := range all {
			var counts []schemas.SketchCount
			for range 1 + rnd.IntN(20) {
				counts = append(counts, schemas.SketchCount{Bucket: schemas.BucketOf(rnd.ExpFloat64()), Count: int64(rnd.IntN(4) - 1)})
			}
			sketch := schemas.SketchOf(counts)
			p.Pack = AppendSketch(p.Pack, s.ID, sketch)
			key := fmt.Sprintf("%s %s %d", account, s.Dims[0], hour)
			sums[key] = sums[key].Merge(sketch)
			if !slices.ContainsFunc(c.Series, func(x schemas.Series) bool { return x.ID == s.ID }) {
				c.Series = append(c.Series, s)
			}
		}
		c.Sketches = append(c.Sketches, p)
	}
}

func sketchesOf(t *testing.T, s *Store, q SketchQuery) map[string]schemas.Sketch {
	t.Helper()
	got := map[string]schemas.Sketch{}
	err := s.View(context.Background(), func(v *View) error {
		return v.Sketches(q, func(hour schemas.Hour, series *schemas.Series, x schemas.Sketch) error {
			key := fmt.Sprintf("%s %s %d", series.Account, series.Dims[0], hour)
			got[key] = got[key].Merge(x)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func wantSketches(t *testing.T, what string, got, want map[string]schemas.Sketch) {
	t.Helper()
	for key := range want {
		if !slices.Equal(got[key], want[key]) {
			t.Errorf("%s: %s is %v, want %v", what, key, got[key], want[key])
		}
	}
	for key, s := range got {
		if _, ok := want[key]; !ok && len(s) > 0 {
			t.Errorf("%s: %s is there", what, key)
		}
	}
}

func TestSketches(t *testing.T) {
	s := openNew(t)
	rnd := rand.New(rand.NewPCG(5, 6))
	want := map[string]schemas.Sketch{}
	o := takeOver(t, s, usage0)
	for range 30 {
		c := o.next(1)
		latencies(rnd, c, want)
		o.apply(c)
	}
	all := SketchQuery{Family: schemas.FamilyLatency, From: day0.Hour(), To: day0.Hour() + 24}
	wantSketches(t, "as appended", sketchesOf(t, s, all), want)
	for {
		n, err := s.MergeSketches(context.Background(), 7)
		if err != nil {
			t.Fatal(err)
		}
		wantSketches(t, "while merged", sketchesOf(t, s, all), want)
		if n < 7 {
			break
		}
	}
	var deltas, merged int
	if err := s.read.QueryRow(`SELECT (SELECT count(*) FROM sketch_deltas), (SELECT count(*) FROM sketches)`).Scan(&deltas, &merged); err != nil {
		t.Fatal(err)
	}
	if deltas != 0 || merged != 15 {
		t.Errorf("%d deltas and %d merged rows, want 0 and one for each of 3 accounts and 5 hours", deltas, merged)
	}
	c := o.next(1) // late ones join what was merged
	latencies(rnd, c, want)
	o.apply(c)
	wantSketches(t, "merged and appended", sketchesOf(t, s, all), want)

	some := all
	some.Accounts, some.From, some.To, some.Filter = []string{"b", "nobody"}, day0.Hour()+1, day0.Hour()+3, map[int][]string{0: {"api1", "api2"}}
	part := map[string]schemas.Sketch{}
	for key, x := range want {
		var account, api string
		var hour schemas.Hour
		if _, err := fmt.Sscan(key, &account, &api, &hour); err != nil {
			t.Fatal(err)
		}
		if account == "b" && (api == "api1" || api == "api2") && hour > day0.Hour() && hour < day0.Hour()+3 {
			part[key] = x
		}
	}
	if len(part) < 2 {
		t.Fatal("the filter leaves next to nothing")
	}
	wantSketches(t, "filtered", sketchesOf(t, s, some), part)
	other := all
	other.Family = schemas.FamilyRequest
	wantSketches(t, "of another family", sketchesOf(t, s, other), nil)
}

// Two that merge and one that appends, at once: every value is counted once.
func TestMergeSketchesBesideCheckpoints(t *testing.T) {
	path := storetest.URL(t)
	a, b := openFile(t, path, Options{}), openFile(t, path, Options{})
	rnd := rand.New(rand.NewPCG(7, 8))
	want := map[string]schemas.Sketch{}
	o := takeOver(t, a, usage0)
	done := make(chan struct{})
	var merging sync.WaitGroup
	for _, s := range []*Store{a, b} {
		merging.Go(func() {
			for {
				if _, err := s.MergeSketches(context.Background(), 5); err != nil {
					t.Error(err)
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	for range 40 {
		c := o.next(1)
		latencies(rnd, c, want)
		o.apply(c)
	}
	close(done)
	merging.Wait()
	wantSketches(t, "in the end", sketchesOf(t, a, SketchQuery{Family: schemas.FamilyLatency, From: 0, To: 1 << 30}), want)
}

func TestDamagedPack(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	c := o.next(1)
	latencies(rand.New(rand.NewPCG(1, 1)), c, map[string]schemas.Sketch{})
	for i := range c.Sketches {
		c.Sketches[i].Pack = c.Sketches[i].Pack[:len(c.Sketches[i].Pack)-1]
	}
	o.apply(c)
	if _, err := s.MergeSketches(context.Background(), 10); !errors.Is(err, errPack) {
		t.Errorf("merging a damaged pack: %v", err)
	}
	err := s.View(context.Background(), func(v *View) error {
		return v.Sketches(SketchQuery{Family: schemas.FamilyLatency, From: 0, To: 1 << 30},
			func(schemas.Hour, *schemas.Series, schemas.Sketch) error { return nil })
	})
	if !errors.Is(err, errPack) {
		t.Errorf("reading a damaged pack: %v", err)
	}
}
