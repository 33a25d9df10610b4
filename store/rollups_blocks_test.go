package store

import (
	"errors"
	"testing"

	"tallybook/schemas"
)

// blocksCount is the events that the blocks of a query say.
func blocksCount(t *testing.T, v *View, q BlockQuery, held *Held) (int64, error) {
	t.Helper()
	blocks, err := v.Blocks(q, held)
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, list := range blocks.Ranges {
		for _, b := range list {
			for row := range b.Series {
				sum += b.Count.At(row)
			}
		}
	}
	return sum, nil
}

func wantCount(t *testing.T, what string, v *View, q BlockQuery, want int64) {
	t.Helper()
	for range 2 { // the second time from memory, where it may
		if got, err := blocksCount(t, v, q, &Held{}); err != nil || got != want {
			t.Errorf("%s: got %d events, %v; want %d", what, got, err, want)
		}
	}
}

// A snapshot is answered from its own state, also when others have read newer
// rollups meanwhile, and when older ones are in memory.
func TestBlocksOfOldSnapshot(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	from, to := day0.Hour(), (day0 + 2).Hour()
	event := func(h schemas.Hour) { o.apply(o.next(1, request(h, "a1", "web"))) }
	for h := from; h < to; h++ {
		event(h)
	}
	build1(t, s, Daily, day0)
	for name, accounts := range map[string][]string{"all accounts": nil, "one account": {"a1"}, "some accounts": {"a1", "a2"}} {
		q := BlockQuery{Family: schemas.FamilyRequest, Accounts: accounts, Ranges: []HourRange{{from, to}}}
		was := o.pos.Next
		err := s.View(ctx, func(old *View) error {
			wantCount(t, name+", before", old, q, was)
			event(from + 3) // the built day is dirty
			event(to - 1)
			err := s.View(ctx, func(v *View) error {
				wantCount(t, name+", dirty", v, q, was+2)
				return nil
			})
			if err != nil {
				return err
			}
			build1(t, s, Daily, day0)
			err = s.View(ctx, func(v *View) error {
				wantCount(t, name+", built again", v, q, was+2)
				return nil
			})
			wantCount(t, name+", the old snapshot", old, q, was)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(ctx, func(v *View) error {
			wantCount(t, name+", behind it", v, q, was+2)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What one view has no time for the next ones read on, while checkpoints go on,
// and the answer is of the last one's state.
func TestBlocksOverSeveralViews(t *testing.T) {
	s := openFile(t, t.TempDir()+"/store.db", Options{BlockBytes: 1}) // nothing is kept but by the question
	o := takeOver(t, s, usage0)
	from, to := day0.Hour(), (day0 + 20).Hour()
	for h := from; h < to; h++ {
		o.apply(o.next(1, request(h, "a1", "web")))
	}
	q, held := BlockQuery{Family: schemas.FamilyRequest, Ranges: []HourRange{{from, to}}}, &Held{}
	for n := 1; ; n++ {
		var got int64
		err := s.View(ctx, func(v *View) (err error) {
			v.budget = -1 // spent at once
			got, err = blocksCount(t, v, q, held)
			return err
		})
		if err == nil {
			if n < 3 || got != o.pos.Next {
				t.Errorf("got %d events after %d views, want %d after several", got, n, o.pos.Next)
			}
			return
		}
		if !errors.Is(err, ErrViewSpent) || n > 100_000 {
			t.Fatalf("view %d: %v", n, err)
		}
		if n == 2 {
			o.apply(o.next(1, request(from+1, "a1", "web"))) // read already
		}
	}
}

// What was read ahead is answered from memory: also when the tables have lost it.
func TestWarmBlocks(t *testing.T) {
	for blockBytes, kept := range map[int64]bool{0: true, 1: false} {
		s := openFile(t, t.TempDir()+"/store.db", Options{BlockBytes: blockBytes})
		o := takeOver(t, s, usage0)
		from, to := day0.Hour(), (day0 + 3).Hour()
		for h := from; h < to; h += 5 {
			o.apply(o.next(1, request(h, "a1", "web")))
		}
		build1(t, s, Daily, day0)
		if err := s.WarmBlocks(ctx, ColQuantity, HourRange{day0.Hour() + 24, to}, HourRange{from, day0.Hour() + 24}); err != nil {
			t.Fatal(err)
		}
		want := int64(0)
		if kept {
			want = o.pos.Next
		}
		if _, err := s.write.Exec(`DELETE FROM rollup_hours; DELETE FROM rollup_days`); err != nil {
			t.Fatal(err)
		}
		err := s.View(ctx, func(v *View) error {
			for _, accounts := range [][]string{nil, {"a1"}} {
				wantCount(t, "read ahead", v, BlockQuery{Family: schemas.FamilyRequest, Accounts: accounts, Columns: ColQuantity, Ranges: []HourRange{{from, to}}}, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
