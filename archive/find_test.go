package archive

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tallybook/schemas"
)

// Every row is found by its id, in any file; of one without the id no page is
// read.
func TestFind(t *testing.T) {
	ctx := context.Background()
	rows := denseRows(maxGroupRows + 50_000)
	watched := &watchedBucket{Bucket: NewMem()}
	a, index := New(watched), ByDay(rows)[0].Index
	name := mustWrite(t, a, rows, index)
	byID := slices.SortedFunc(slices.Values(index), func(x, y int32) int {
		return bytes.Compare(rows.ID.At(int(x)), rows.ID.At(int(y)))
	})
	for i := 0; i < len(byID); i += (len(byID) - 1) / 8 { // the first and the last too
		r, found := int(byID[i]), 0
		err := a.Find(ctx, name, string(rows.ID.At(r)), func(got *Rows) error {
			found += got.Len()
			for k := range columnsOf[rows.Dataset] {
				c := &columnsOf[rows.Dataset][k]
				if g, w := cell(c, got, 0), cell(c, rows, r); g != w {
					return fmt.Errorf("%s: got %#v, want %#v", c.name, g, w)
				}
			}
			return nil
		})
		if err != nil || found != 1 {
			t.Errorf("row %d: got %d rows, %v", r, found, err)
		}
	}
	filters := 0
	rnd := rand.New(rand.NewPCG(7, 7))
	watched.reads = nil
	for range 100 {
		if err := a.Find(ctx, name, uuid(rnd), func(*Rows) error { return errFault }); err != nil {
			t.Fatal(err)
		}
	}
	for _, read := range watched.reads {
		if read.to-read.from < maxGroupRows*bloomBitsPerValue/8+100 {
			filters++
		}
	}
	// 200 filters say no, but for about one in a hundred.
	if more := len(watched.reads) - filters; filters < 190 || more > 10 {
		t.Errorf("got %d reads of filters and %d of columns for 100 unknown ids", filters, more)
	}
	watched.reads = nil
	for _, id := range []string{"", "~"} { // outside the bounds
		if err := a.Find(ctx, name, id, func(*Rows) error { return errFault }); err != nil || len(watched.reads) > 0 {
			t.Errorf("id %q: got %v and %d reads", id, err, len(watched.reads))
		}
	}
}

// An id may be there several times, in several accounts.
func TestFindSeveral(t *testing.T) {
	rows := mixedRows(schemas.Errors, 40, false)
	rows.ID = Texts{}
	for i := range 40 {
		rows.ID.Append(fmt.Appendf(nil, "id-%d", i%4))
	}
	a := New(NewMem())
	name := mustWrite(t, a, rows, ByDay(rows)[0].Index)
	found := 0
	err := a.Find(context.Background(), name, "id-2", func(got *Rows) error {
		found += got.Len()
		return nil
	})
	if err != nil || found != 10 {
		t.Errorf("got %d rows, %v, want 10", found, err)
	}
}
