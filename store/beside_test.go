package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// Owners that write at once, each through a store of its own as processes have,
// and their checkpoints.
const (
	owners      = 4
	checkpoints = 12
)

// crossed is a checkpoint of rows of few series in few hours, so that owners meet
// in them and in what is built of them: one event for each row.
func crossed(o *owner, rnd *rand.Rand) *Checkpoint {
	var rows []Rollup
	for _, i := range rnd.Perm(40)[:20] {
		rows = append(rows, request(day0.Hour()+schemas.Hour(i%30), fmt.Sprintf("a%d", i%3), fmt.Sprintf("api%d", i%7)))
	}
	return o.next(int64(len(rows)), rows...)
}

// Owners of several processes write the same rows, while days and months are
// built of them and sketches merged: every snapshot has exactly the events below
// the positions that it has, from tables and from memory.
func TestOwnersBesideEachOther(t *testing.T) {
	url := storetest.URL(t)
	s := openFile(t, url, Options{})
	makeQuota(t, s)
	var wait sync.WaitGroup
	for i := range owners {
		mine := openFile(t, url, Options{})
		wait.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 9))
			o := takeOver(t, mine, schemas.Partition{Topic: schemas.Usage, ID: int32(i)})
			for range checkpoints {
				c := crossed(o, rnd)
				c.Subscribed = usesOf(quotaOf(t, mine), 1)
				o.apply(c)
			}
		})
	}
	stop := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			res := []Resolution{Daily, Monthly}[i%2]
			if err := s.BuildRollups(ctx, res, day0); err != nil && !errors.Is(err, ErrTouched) {
				t.Error(err)
			}
			wantBelowPositions(t, s)
		}
	})
	wait.Wait()
	close(stop)
	beside.Wait()
	build1(t, s, Daily, day0)
	wantBelowPositions(t, s)
	if got, want := used(t, s, quotaOf(t, s)), fmt.Sprint(owners*checkpoints); got != want {
		t.Errorf("quota use: got %s, want %s", got, want)
	}
	alerts, err := s.DueAlerts(ctx, closedAt.AddDate(1, 0, 0), 100)
	if err != nil || len(alerts) != 2 {
		t.Errorf("got %d alerts, %v, want that of 80 percent and that of the limit", len(alerts), err)
	}
	for _, a := range alerts {
		if a.Count != 1 {
			t.Errorf("alert %s was told %d times", a.Kind, a.Count)
		}
	}
}

// wantBelowPositions: a snapshot's rollups count the events below its positions.
func wantBelowPositions(t *testing.T, s *Store) {
	t.Helper()
	err := s.View(ctx, func(v *View) error {
		positions, err := v.Positions()
		if err != nil {
			return err
		}
		want := int64(0)
		for _, p := range positions {
			want += p.Next
		}
		for range 2 { // the second time from memory, where it may
			q := BlockQuery{Family: schemas.FamilyRequest, Ranges: []HourRange{{day0.Hour(), (day0 + 2).Hour()}}}
			if got, err := blocksCount(t, v, q, &Held{}); err != nil || got != want {
				t.Errorf("blocks: got %d events, %v; want %d", got, err, want)
			}
		}
		got := int64(0)
		err = v.Rollups(RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: (day0 + 31).Hour(), Resolution: Monthly},
			func(r *Rollup) error { got += r.Count; return nil })
		if got != want {
			t.Errorf("rollups: got %d events, want %d", got, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Of two partitions that correct one event at once, one takes each revision.
func TestCorrectionsBesideEachOther(t *testing.T) {
	url := storetest.URL(t)
	openFile(t, url, Options{})
	var applied, taken atomic.Int64
	var wait sync.WaitGroup
	for i := range owners {
		s := openFile(t, url, Options{})
		wait.Go(func() {
			o := takeOver(t, s, schemas.Partition{Topic: schemas.Usage, ID: int32(i)})
			for n := range 20 {
				c := o.next(1)
				for k := range 3 { // in another order each
					id := fmt.Sprint((k + i) % 3)
					c.Corrections = append(c.Corrections, Correction{Event: EventKey{"acct", "s", id}, Revision: int64(n + 1), Source: "fix", ID: fmt.Sprint(i, n, k)})
				}
				switch r := o.try(c); {
				case r.Outcome == Applied:
					applied.Add(1)
					o.pos = c.To
				case errors.Is(r.Err, ErrRevisionTaken):
					taken.Add(1)
				default:
					t.Errorf("got %+v", r)
				}
			}
		})
	}
	wait.Wait()
	if applied.Load() != 20 || taken.Load() != 20*(owners-1) {
		t.Errorf("applied %d, taken %d; want each revision once", applied.Load(), taken.Load())
	}
}

// Changes of the catalog by several processes: audit ids are committed in their
// order, prices have versions of their own.
func TestCatalogBesideEachOther(t *testing.T) {
	url := storetest.URL(t)
	reader := openFile(t, url, Options{})
	var wait sync.WaitGroup
	for i := range owners {
		s := openFile(t, url, Options{})
		wait.Go(func() {
			for n := range 10 {
				r := Route{API: "api", Version: "v1", Endpoint: fmt.Sprintf("/%d/%d", i, n),
					Prices: []Price{{PricingModel: "plan", Model: "per_unit", Params: []byte(`{"unit_price":"1"}`)}}}
				if _, err := s.CreateRoute(ctx, "test", r); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	seen := map[int64]bool{}
	for last, more := int64(0), true; more; {
		select {
		case <-done:
			more = false
		default:
		}
		list, err := reader.AuditLog(ctx, "", 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range list {
			if a.ID <= last && !seen[a.ID] {
				t.Fatalf("audit row %d appeared behind %d", a.ID, last)
			}
			seen[a.ID] = true
		}
		if len(list) > 0 {
			last = list[0].ID
		}
	}
	if len(seen) != owners*10 {
		t.Errorf("got %d changes, want %d", len(seen), owners*10)
	}
}
