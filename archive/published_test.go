package archive

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"tallybook/schemas"
)

// Whatever the archive has, PublishedFrom finds what going through all of it
// finds; of a date with thousands of files it lists few.
func TestPublishedFrom(t *testing.T) {
	ctx, rnd := context.Background(), rand.New(rand.NewPCG(7, 8))
	lists := 0
	b := &Faulty{Bucket: NewMem(), Fault: func(op, _ string) (error, error) {
		if op == "list" {
			lists++
		}
		return nil, nil
	}}
	a := New(b)
	files := map[schemas.Partition][]string{}
	add := func(dataset schemas.Topic, day schemas.Day, src schemas.Partition, first int64) {
		name := FileName
		if rnd.IntN(3) == 0 {
			name = MergedName
		}
		final, _ := name(dataset, day, src, rnd.Int64N(99), "r", first)
		files[src] = append(files[src], final)
		mustPut(t, b, final, "")
	}
	const busy = schemas.Day(20460)
	partitions := []schemas.Partition{{Topic: schemas.Errors}, {Topic: schemas.Usage, ID: 1}, {Topic: schemas.Usage, ID: 10}, {Topic: schemas.Usage, ID: 2}, {Topic: schemas.Usage, ID: 7}}
	for i, src := range partitions {
		for offset := range int64(2200) {
			add(schemas.Usage, busy, src, offset*100+int64(i))
		}
		for range 200 {
			add(schemas.Topics[rnd.IntN(len(schemas.Topics))], busy+schemas.Day(rnd.IntN(40)-20), src, rnd.Int64N(220_000))
		}
	}
	for day := range 40 {
		name := fmt.Sprintf("usage/date=%s/manifest.json", busy+schemas.Day(day-20))
		if err := b.Put(ctx, name, func(io.Writer) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range partitions {
		for _, first := range []int64{0, 1, 150_000, 219_901, 300_000} {
			var want []string
			for _, name := range files[src] {
				if offset, err := FirstOffset(name); err != nil {
					t.Fatal(err)
				} else if offset >= first {
					want = append(want, name)
				}
			}
			lists = 0
			got, err := a.PublishedFrom(ctx, src, first)
			slices.Sort(want)
			slices.Sort(got)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%v from %d: got %d files, %v, want %d", src, first, len(got), err, len(want))
			}
			if first == 300_000 && lists > 10 {
				t.Errorf("%v: got %d listings of 12,000 names, want a few", src, lists)
			}
		}
	}
	seen := 0
	err := a.EachPublished(ctx, schemas.Usage, func(name string, src schemas.Partition) error {
		seen++
		if !slices.Contains(files[src], name) {
			t.Errorf("%s is not of %v", name, src)
		}
		return nil
	})
	if err != nil || seen < 5*2200 {
		t.Errorf("got %d, %v", seen, err)
	}
}
