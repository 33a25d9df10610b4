package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"tallybook/schemas"
)

// TestStore is what every engine must do: it runs on SQLite, and with the build
// tag postgres on PostgreSQL, as every test does that has no tag of its own.
func TestStore(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s *Store)
	}{
		{"Secret", testSecret},
		{"AdmitTopic", testAdmitTopic},
		{"ChangePartitions", testChangePartitions},
		{"TakeOver", testTakeOver},
		{"Checkpoint", testCheckpoint},
		{"Fencing", testFencing},
		{"Batch", testBatch},
		{"Invalid", testInvalid},
		{"Overflow", testOverflow},
		{"Carry", testCarry},
		{"MinMax", testMinMax},
		{"Rollups", testRollups},
		{"HourRollups", testHourRollups},
		{"Files", testFiles},
		{"Ledger", testLedger},
		{"LedgerHours", testLedgerHours},
		{"Errors", testErrors},
		{"Imports", testImports},
		{"BuildDays", testBuildDays},
		{"BuildMonths", testBuildMonths},
		{"BuildChunks", testBuildChunks},
		{"BuildBesideCheckpoints", testBuildBesideCheckpoints},
		{"BuildOverflow", testBuildOverflow},
		{"Unbuilt", testUnbuilt},
		{"Corrections", testCorrections},
		{"Stale", testStale},
		{"ApplyCatalog", testApplyCatalog},
		{"FirstAdminKey", testFirstAdminKey},
		{"Keys", testKeys},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, openNew(t)) })
	}
}

var ctx = context.Background()

func testSecret(t *testing.T, s *Store) {
	first, err := s.Secret(ctx)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Secret(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if first == [16]byte{} || first != again {
		t.Errorf("got %x, then %x, want the same random bytes", first, again)
	}
}

func testAdmitTopic(t *testing.T, s *Store) {
	for range 2 {
		if err := s.AdmitTopic(ctx, schemas.Usage, 4); err != nil {
			t.Fatal(err)
		}
	}
	err := s.AdmitTopic(ctx, schemas.Usage, 8)
	if !errors.Is(err, ErrPartitionsChanged) {
		t.Fatalf("got %v, want ErrPartitionsChanged", err)
	}
	if got, want := err.Error(), "the number of partitions changed: topic usage has 8, 4 were admitted"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := s.AdmitTopic(ctx, schemas.Emails, 8); err != nil {
		t.Error(err)
	}
}

func testTakeOver(t *testing.T, s *Store) {
	if _, err := s.Position(ctx, usage1); !errors.Is(err, ErrNotFound) {
		t.Fatalf("got %v, want ErrNotFound", err)
	}
	got, err := s.TakeOver(ctx, usage1, 17)
	if err != nil {
		t.Fatal(err)
	}
	want := Position{Partition: usage1, Epoch: 1, Next: 17, LastOffset: -1}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	got, err = s.TakeOver(ctx, usage1, 99)
	if err != nil {
		t.Fatal(err)
	}
	want.Epoch = 2 // the position stays
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err = s.Position(ctx, usage1); err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	takeOver(t, s, email0)
	takeOver(t, s, usage0)
	names := func(topics ...schemas.Topic) string {
		text := ""
		for _, p := range viewed(t, s, func(v *View) ([]Position, error) { return v.Positions(topics...) }) {
			text += fmt.Sprintf("%s/%d ", p.Topic, p.ID)
		}
		return text
	}
	if got, want := names(), "emails/0 usage/0 usage/1 "; got != want {
		t.Errorf("all positions: got %s, want %s", got, want)
	}
	if got, want := names(schemas.Usage), "usage/0 usage/1 "; got != want {
		t.Errorf("positions of usage: got %s, want %s", got, want)
	}
}

func testCheckpoint(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	want := fold{}
	for i := range 3 {
		rows := []Rollup{request(day0.Hour(), "a", "x"), request(day0.Hour()+schemas.Hour(i), "b", "y")}
		o.apply(o.next(2, rows...))
		want.add(t, rows...)
		got, err := s.Position(ctx, usage0)
		if err != nil || got != o.pos {
			t.Fatalf("got %+v, %v, want %+v", got, err, o.pos)
		}
	}
	q := RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: day0.Hour() + 24}
	wantLines(t, "rollups", rollups(t, s, q), want.lines())
}

func testFencing(t *testing.T, s *Store) {
	slow := takeOver(t, s, usage0)
	slow.apply(slow.next(1, request(day0.Hour(), "a", "x")))
	quick := takeOver(t, s, usage0)
	if quick.pos.Next != slow.pos.Next || quick.pos.Epoch != slow.pos.Epoch+1 {
		t.Fatalf("got %+v after %+v", quick.pos, slow.pos)
	}
	before := everything(t, s)
	c := slow.next(1, request(day0.Hour(), "new", "new"))
	c.Errors = []ErrorRow{{ID: "1"}}
	if r := slow.try(c); r.Outcome != Fenced || r.Err != nil {
		t.Errorf("an owner of before: got %+v, want Fenced", r)
	}
	nobody := &owner{t, s, Position{Partition: usage1, Epoch: 1}}
	if r := nobody.try(nobody.next(1)); r.Outcome != Fenced {
		t.Errorf("a partition that nobody took over: got %+v, want Fenced", r)
	}
	ahead := &owner{t, s, quick.pos}
	ahead.pos.Next++
	if r := ahead.try(ahead.next(1)); r.Outcome != Fenced {
		t.Errorf("from an offset ahead: got %+v, want Fenced", r)
	}
	if after := everything(t, s); after != before {
		t.Errorf("a fenced checkpoint left something:\n%s\nwas\n%s", after, before)
	}
	done := quick.next(1, request(day0.Hour(), "a", "x"))
	quick.apply(done)
	before = everything(t, s)
	if r := quick.try(done); r.Outcome != Applied {
		t.Errorf("the same checkpoint again: got %+v, want Applied", r)
	}
	other := *done
	other.To.LastHash[5]++
	if r := quick.try(&other); r.Outcome != Fenced {
		t.Errorf("another checkpoint of the same offsets: got %+v, want Fenced", r)
	}
	if after := everything(t, s); after != before {
		t.Errorf("a repeated checkpoint left something:\n%s\nwas\n%s", after, before)
	}
}

// testBatch: one refused and one fenced do not harm the others of the batch.
func testBatch(t *testing.T, s *Store) {
	good, refused, fenced := takeOver(t, s, usage0), takeOver(t, s, usage1), takeOver(t, s, email0)
	takeOver(t, s, email0)
	batch := []*Checkpoint{
		refused.next(1, request(day0.Hour(), "b", "x")),
		good.next(1, request(day0.Hour(), "a", "x")),
		fenced.next(1, request(day0.Hour(), "c", "x")),
	}
	batch[0].Ledger.Counted = 7
	results, err := s.Checkpoint(ctx, batch)
	if err != nil {
		t.Fatal(err)
	}
	got := []Outcome{results[0].Outcome, results[1].Outcome, results[2].Outcome}
	if want := []Outcome{Refused, Applied, Fenced}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	if results[0].Err == nil || results[1].Err != nil || results[2].Err != nil {
		t.Errorf("got errors %v, want one of the refused", results)
	}
	q := RollupQuery{Family: schemas.FamilyRequest, From: day0.Hour(), To: day0.Hour() + 1}
	want := fold{}
	want.add(t, request(day0.Hour(), "a", "x"))
	wantLines(t, "rollups", rollups(t, s, q), want.lines())
	// Its series was rolled back with it, and is inserted when it comes again.
	batch[0].Ledger.Counted = 1
	refused.apply(batch[0])
	want.add(t, request(day0.Hour(), "b", "x"))
	wantLines(t, "rollups", rollups(t, s, q), want.lines())
	if results, err := s.Checkpoint(ctx, nil); err != nil || len(results) != 0 {
		t.Errorf("an empty batch: got %v, %v", results, err)
	}
}

func testInvalid(t *testing.T, s *Store) {
	o := takeOver(t, s, usage0)
	o.apply(o.next(5, request(day0.Hour(), "a", "x")))
	before := everything(t, s)
	for name, spoil := range map[string]func(c *Checkpoint){
		"no step":          func(c *Checkpoint) { c.To.Next, c.Ledger.Next, c.Ledger.Records, c.Ledger.Counted = 5, 5, 0, 0 },
		"ledger elsewhere": func(c *Checkpoint) { c.Ledger.First = 1 },
		"records lost":     func(c *Checkpoint) { c.Ledger.Records--; c.Ledger.Counted-- },
		"clock back":       func(c *Checkpoint) { c.To.Clock = 0 },
		"no such series":   func(c *Checkpoint) { c.Deltas[0].Series = 1 },
		"unknown family":   func(c *Checkpoint) { c.Series[0].Family = "none" },
		"other partition":  func(c *Checkpoint) { c.To.Partition = usage1 },
		"error row twice":  func(c *Checkpoint) { c.Errors = []ErrorRow{{ID: "1"}, {ID: "1"}} },
		"file twice":       func(c *Checkpoint) { c.Files = []ArchiveFile{{Name: "1"}, {Name: "1"}} },
	} {
		c := o.next(3, request(day0.Hour(), "new", name))
		spoil(c)
		if r := o.try(c); r.Outcome != Refused || r.Err == nil {
			t.Errorf("%s: got %+v, want Refused", name, r)
		}
	}
	if after := everything(t, s); after != before {
		t.Errorf("a refused checkpoint left something:\n%s\nwas\n%s", after, before)
	}
}

func testImports(t *testing.T, s *Store) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	s.opts.Now = func() time.Time { return now }
	begin := func(imp Import) Import {
		t.Helper()
		got, err := s.ImportBegin(ctx, imp)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	imp := Import{ID: "abc", Name: "a.log", Format: "combined", Account: "acme", Bytes: 1000}
	want := imp
	want.Counts, want.Begun = map[string]int64{}, now
	if got := begin(imp); !reflect.DeepEqual(got, want) {
		t.Errorf("begun: got %+v, want %+v", got, want)
	}
	want.Offset, want.Counts = 500, map[string]int64{"accepted": 5, "skipped": 1}
	if err := s.ImportProgress(ctx, "abc", 500, want.Counts); err != nil {
		t.Fatal(err)
	}
	if err := s.ImportProgress(ctx, "abc", 400, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("progress backwards: got %v, want ErrNotFound", err)
	}
	began := now
	now = now.Add(time.Hour)
	if got := begin(imp); !reflect.DeepEqual(got, want) || !got.Begun.Equal(began) {
		t.Errorf("gone on with: got %+v, want %+v", got, want)
	}
	for range 2 {
		if err := s.ImportFinish(ctx, "abc"); err != nil {
			t.Fatal(err)
		}
	}
	want.Finished = now
	if got := begin(imp); !reflect.DeepEqual(got, want) {
		t.Errorf("finished: got %+v, want %+v", got, want)
	}
	if err := s.ImportProgress(ctx, "abc", 900, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("progress of a finished import: got %v, want ErrNotFound", err)
	}
	if err := s.ImportFinish(ctx, "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("finish of none: got %v, want ErrNotFound", err)
	}
	imp.Again = true
	if got := begin(imp); got.Offset != 0 || !got.Finished.IsZero() || !got.Begun.Equal(now) {
		t.Errorf("again: got %+v, want a fresh one", got)
	}
	now = now.Add(time.Hour)
	begin(Import{ID: "def"})
	all, err := s.Imports(ctx, 10)
	if err != nil || len(all) != 2 || all[0].ID != "def" || all[1].ID != "abc" {
		t.Errorf("got %+v, %v, want def, abc", all, err)
	}
}

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }
