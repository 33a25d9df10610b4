package engine

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/api"
	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// Questions between checkpoints and builds: what is in memory from before must
// not show.
func TestAnswersFollowCheckpoints(t *testing.T) {
	for _, blockBytes := range []int64{0, 1, 5_000} { // all in memory, nothing, some
		seed := uint64(time.Now().UnixNano())
		rng := rand.New(rand.NewPCG(seed, 2))
		r := newRigOf(t, store.Options{BlockBytes: blockBytes})
		for n := range 40 {
			switch rng.IntN(5) {
			case 0:
				r.write(usage0, r.corrections(rng)...)
			case 1:
				r.build(rng)
			default:
				r.write(schemas.Partition{Topic: schemas.Usage, ID: int32(n % 2)}, randomEvent(rng), randomEvent(rng), randomEvent(rng))
			}
			for range 5 {
				q := randomQuestion(rng)
				if want, got := expected(q, r.events), got(q, r.ask(q)); !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d, %+v\n got %s\nwant %s", seed, n, q, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
			}
		}
	}
}

// Whoever asks while checkpoints are written gets exactly the events below the
// positions that the answer names, from rollups and archive together.
func TestOneState(t *testing.T) {
	r := newRig(t)
	base := at("2026-03-29T00:00:00Z")
	g, ctx := errgroup.WithContext(t.Context())
	var written atomic.Bool
	g.Go(func() error {
		defer written.Store(true)
		for n := range 60 {
			var events []event
			for i := range 1 + n%7 {
				e := randomEvent(rand.New(rand.NewPCG(uint64(n), uint64(i))))
				e.kind, e.time = "api.request", base+10*minute+int64(n*7+i)*7*minute
				events = append(events, e)
			}
			for _, f := range r.commit(usage0, events...) { // published behind the commit, as workers do
				if err := r.archive.Publish(ctx, f); err != nil {
					return err
				}
			}
		}
		return nil
	})
	for range 2 {
		g.Go(func() error {
			// The first hour begins within an hour and the last ends so: both halves.
			q := &Question{Family: schemas.FamilyRequest, From: base + 5*minute, To: base + 30*24*hour + 90*minute}
			for last := false; !last; {
				last = written.Load()
				a, err := r.engine.Ask(ctx, q)
				if err != nil {
					return err
				}
				var want, got int64
				for _, p := range a.Positions {
					want += p.Next
				}
				for _, group := range a.Groups[0] {
					got += group.Count
				}
				if got != want {
					t.Errorf("got %d events from %s, the positions say %d", got, a.Source, want)
					return nil
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
}

// A file that is gone means asking again, not for ever.
func TestLostFile(t *testing.T) {
	r := newRig(t)
	e := randomEvent(rand.New(rand.NewPCG(1, 1)))
	e.kind, e.time = "api.request", at("2026-03-29T10:10:00Z")
	files := r.commit(usage0, e)
	q := &Question{Family: schemas.FamilyRequest, From: at("2026-03-29T10:05:00Z"), To: at("2026-03-29T10:55:00Z")}
	if groups := r.ask(q); len(groups) != 1 || groups[0].Count != 1 {
		t.Fatalf("a committed file that is not yet published: got %+v", groups)
	}
	if err := r.archive.Discard(t.Context(), files[0].Staged); err != nil {
		t.Fatal(err)
	}
	if _, err := r.engine.Ask(t.Context(), q); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that the file is not there", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.engine.Ask(ctx, q); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestLimits(t *testing.T) {
	r := newRig(t)
	rng := rand.New(rand.NewPCG(1, 3))
	var events []event
	for range 100 {
		events = append(events, randomEvent(rng))
	}
	r.write(usage0, events...)
	wide := Question{Family: schemas.FamilyRequest, From: at("2026-03-01T00:00:00Z"), To: at("2026-05-01T00:00:00Z")}
	with := func(change func(q *Question)) *Question {
		q := wide
		change(&q)
		return &q
	}
	small := New(Config{Store: r.store, Archive: r.archive, MaxGroups: 2, MaxScanRows: 50, MaxValues: 2})
	for name, c := range map[string]struct {
		question *Question
		status   int
	}{
		"groups":  {with(func(q *Question) { q.GroupBy = []string{"endpoint", "status"} }), 422},
		"windows": {with(func(q *Question) { q.Window.Size = Hour }), 422},
		"rows":    {with(func(q *Question) { q.GroupBy = []string{"client_ip"} }), 422},
		"name":    {with(func(q *Question) { q.GroupBy = []string{"nope"} }), 400},
		"filter":  {with(func(q *Question) { q.Filters = map[string][]string{"domain": {"x"}} }), 400},
		"window":  {with(func(q *Question) { q.Window.Size = "DECADE" }), 400},
	} {
		_, err := small.Ask(t.Context(), c.question)
		var f *api.Failure
		if !errors.As(err, &f) || f.Status != c.status || f.Detail == "" {
			t.Errorf("%s: got %v, want a %d", name, err, c.status)
		}
	}
	few := New(Config{Store: r.store, Archive: r.archive, MaxValues: 2})
	if _, err := few.Ask(t.Context(), with(func(q *Question) { q.Distinct = "client_ip"; q.GroupBy = []string{"customer"} })); err == nil {
		t.Error("more values than are kept: no error")
	}
	if _, err := r.engine.Ask(t.Context(), &Question{}); err == nil {
		t.Error("a question without a family: no error")
	}
}

// newRigOf is newRig with options of the store.
func newRigOf(t testing.TB, o store.Options) *rig {
	t.Helper()
	r := &rig{t: t, bucket: archive.NewMem()}
	r.archive = archive.New(r.bucket)
	var err error
	r.store, err = store.Open(t.Context(), storetest.URL(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.store.Close(); err != nil {
			t.Error(err)
		}
	})
	r.engine = New(Config{Store: r.store, Archive: r.archive})
	return r
}

// Large answers are bounded together, small ones are free, and what an answer
// took is given back when its request ends.
func TestAllAnswersShareTheRoom(t *testing.T) {
	e := New(Config{MaxGroups: 10_000, MaxAll: 3000})
	q := &Question{}
	fill := func(s *share, n int) (err error) {
		table := newTable(q, e.cfg.MaxGroups, s)
		for i := 0; i < n && err == nil; i++ {
			_, err = table.cell(&place{key: int64(i)}, 0)
		}
		return err
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := &share{engine: e}, &share{engine: e}
	if err := fill(first, 3500); err != nil {
		t.Fatal(err)
	}
	var f *api.Failure
	if err := fill(second, 3500); !errors.As(err, &f) || f.Status != 503 || f.RetryAfter == 0 {
		t.Errorf("a second large answer: got %v, want a 503", err)
	}
	if err := fill(second, 1000); err != nil {
		t.Errorf("a small answer: %v", err)
	}
	first.again()
	second.again()
	if err := fill(first, 3500); err != nil {
		t.Errorf("another attempt at the first: %v", err)
	}
	context.AfterFunc(ctx, first.end)
	cancel()
	for e.room.Load() != 3000 {
		runtime.Gosched()
	}
}

// A question that waits for its turn gives up with its request.
func TestReadsWait(t *testing.T) {
	r := newRig(t)
	e := New(Config{Store: r.store, Archive: r.archive, Reads: 1})
	e.reads <- struct{}{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := e.Ask(ctx, &Question{Family: schemas.FamilyRequest, From: 0, To: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the request's deadline", err)
	}
	<-e.reads
	if _, err := e.Ask(t.Context(), &Question{Family: schemas.FamilyRequest, From: 0, To: 1}); err != nil || len(e.reads) != 0 {
		t.Errorf("its turn: %v, %d reads are under way", err, len(e.reads))
	}
}
