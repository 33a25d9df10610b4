package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallybook/schemas"
)

// wantedRows is what Scan must give, found the slow way.
func wantedRows(rows *Rows, index []int32, q ScanQuery) []int32 {
	var want []int32
	for _, r := range index {
		if rows.Time[r] >= q.From && rows.Time[r] < q.To &&
			(q.Accounts == nil || slices.Contains(q.Accounts, rows.String(rows.Account[r]))) {
			want = append(want, r)
		}
	}
	return want
}

// checkScan compares every cell that is asked for, and that the other columns
// are empty.
func checkScan(a *Archive, name string, rows *Rows, index []int32, q ScanQuery) error {
	want := wantedRows(rows, index, q)
	done := 0
	err := a.Scan(context.Background(), name, q, func(got *Rows) error {
		n := got.Len()
		if n == 0 || done+n > len(want) {
			return fmt.Errorf("%d rows behind %d, want %d in all", n, done, len(want))
		}
		for k := range columnsOf[rows.Dataset] {
			c := &columnsOf[rows.Dataset][k]
			if c.kind == kindPartition {
				continue
			}
			if !slices.Contains(q.Columns, c.name) {
				if m := columnLen(c.at(got)); m != 0 {
					return fmt.Errorf("%s has %d rows and was not asked for", c.name, m)
				}
				continue
			}
			if m := columnLen(c.at(got)); m != n {
				return fmt.Errorf("%s has %d rows, want %d", c.name, m, n)
			}
			for i := range n {
				if g, w := cell(c, got, i), cell(c, rows, int(want[done+i])); g != w {
					return fmt.Errorf("row %d, %s: got %#v, want %#v", done+i, c.name, g, w)
				}
			}
		}
		done += n
		return nil
	})
	if err == nil && done != len(want) {
		err = fmt.Errorf("%d rows, want %d", done, len(want))
	}
	return err
}

func columnLen(column any) int {
	switch col := column.(type) {
	case *[]Code:
		return len(*col)
	case *Texts:
		return len(col.Ends)
	case *[]int64:
		return len(*col)
	case *[]int32:
		return len(*col)
	case *[]int8:
		return len(*col)
	case *[]float64:
		return len(*col)
	case *[]schemas.Decimal:
		return len(*col)
	}
	return -1
}

// randomQuery asks for a few columns, and often for a window or accounts.
func randomQuery(rnd *rand.Rand, rows *Rows) ScanQuery {
	q := ScanQuery{From: math.MinInt64, To: math.MaxInt64}
	for _, name := range Columns(rows.Dataset) {
		if rnd.IntN(6) == 0 && name != "topic_partition" {
			q.Columns = append(q.Columns, name)
		}
	}
	moment := func() int64 { return rows.Time[rnd.IntN(rows.Len())] + rnd.Int64N(3) - 1 }
	if rnd.IntN(3) > 0 {
		q.From = moment()
	}
	if rnd.IntN(3) > 0 {
		q.To = moment()
	}
	switch rnd.IntN(4) {
	case 0:
		q.Accounts = []string{}
		for range rnd.IntN(4) {
			q.Accounts = append(q.Accounts, rows.String(rows.Account[rnd.IntN(rows.Len())]))
		}
	case 1:
		q.Accounts = []string{"", "~", rows.String(rows.Account[rnd.IntN(rows.Len())]), "account-0001"}
	}
	return q
}

// Whatever is asked, Scan gives the rows that a plain filter gives, of sorted
// files and of others, across pages and row groups.
func TestScan(t *testing.T) {
	sorted := func(rows *Rows) []int32 { return ByDay(rows)[0].Index }
	for _, test := range []struct {
		name    string
		rows    *Rows
		order   func(*Rows) []int32
		queries int
	}{
		{"usage", mixedRows(schemas.Usage, 700, false), sorted, 300},
		{"errors", mixedRows(schemas.Errors, 700, true), sorted, 300},
		{"emails, unsorted", mixedRows(schemas.Emails, 700, false), func(r *Rows) []int32 { return shuffled(r.Len()) }, 300},
		{"pages", mixedRows(schemas.Usage, 3*maxPageRows+7, false), sorted, 20},
		{"row groups", denseRows(maxGroupRows + 50_000), sorted, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(5, 6))
			a, index := New(NewMem()), test.order(test.rows)
			name := mustWrite(t, a, test.rows, index)
			for range test.queries {
				q := randomQuery(rnd, test.rows)
				if err := checkScan(a, name, test.rows, index, q); err != nil {
					t.Fatalf("%+v: %v", q, err)
				}
			}
		})
	}
}

// Windows are half-open, and an empty one has no rows.
func TestScanEdges(t *testing.T) {
	rows := mixedRows(schemas.Usage, 100, false)
	a, index := New(NewMem()), ByDay(rows)[0].Index
	name := mustWrite(t, a, rows, index)
	at := slices.Sorted(slices.Values(rows.Time))
	for _, test := range []struct {
		from, to int64
		want     int
	}{
		{at[0], at[99], 99}, {at[0], at[99] + 1, 100}, {at[0] + 1, math.MaxInt64, 99}, {math.MinInt64, at[50], 50},
		{math.MinInt64, at[0], 0}, {at[99] + 1, math.MaxInt64, 0}, {at[3], at[3], 0}, {at[9], at[3], 0}, {0, 0, 0},
		{at[99], math.MaxInt64, 1}, {math.MinInt64, at[0] + 1, 1},
		{math.MinInt64, math.MaxInt64, 100},
	} {
		got := 0
		err := a.Scan(context.Background(), name, ScanQuery{From: test.from, To: test.to}, func(r *Rows) error {
			got += r.Len()
			return nil
		})
		if err != nil || got != test.want {
			t.Errorf("[%d, %d): got %d rows, %v, want %d", test.from, test.to, got, err, test.want)
		}
	}
}

// watchedBucket notes what is read of its files.
type watchedBucket struct {
	Bucket
	mu    sync.Mutex
	reads []span
}

type watchedFile struct {
	File
	bucket *watchedBucket
}

func (b *watchedBucket) Open(ctx context.Context, name string) (File, error) {
	f, err := b.Bucket.Open(ctx, name)
	return watchedFile{f, b}, err
}

func (f watchedFile) ReadAt(b []byte, offset int64) (int, error) {
	f.bucket.mu.Lock()
	defer f.bucket.mu.Unlock()
	f.bucket.reads = append(f.bucket.reads, span{int(offset), int(offset) + len(b)})
	return f.File.ReadAt(b, offset)
}

// What bounds exclude is not read: each column of a row group is one read, and
// none where no row can be wanted.
func TestScanReads(t *testing.T) {
	rows := denseRows(maxGroupRows + 50_000)
	watched := &watchedBucket{Bucket: NewMem()}
	a, index := New(watched), ByDay(rows)[0].Index
	name := mustWrite(t, a, rows, index)
	first, last := rows.String(rows.Account[index[0]]), rows.String(rows.Account[index[len(index)-1]])
	all := ScanQuery{Columns: []string{"latency_ms", "sign"}, From: math.MinInt64, To: math.MaxInt64}
	with := func(change func(*ScanQuery)) ScanQuery {
		q := all
		change(&q)
		return q
	}
	for _, test := range []struct {
		name string
		q    ScanQuery
		want int
	}{
		{"footer", with(func(q *ScanQuery) { q.From = rows.Time[0] + microsPerDay }), 1},
		{"all", all, 4},
		{"nothing but rows", with(func(q *ScanQuery) { q.Columns = nil }), 0},
		{"later", with(func(q *ScanQuery) { q.From = rows.Time[0] + microsPerDay }), 0},
		{"earlier", with(func(q *ScanQuery) { q.To = rows.Time[0] - microsPerDay }), 0},
		{"first account", with(func(q *ScanQuery) { q.Accounts = []string{first} }), 3},
		{"last account", with(func(q *ScanQuery) { q.Accounts = []string{last} }), 3},
		{"unknown account", with(func(q *ScanQuery) { q.Accounts = []string{"~"} }), 0},
		{"wide window", with(func(q *ScanQuery) { q.From, q.To = rows.Time[0]-microsPerDay, rows.Time[0]+microsPerDay }), 4},
		{"window", with(func(q *ScanQuery) { q.From = rows.Time[1000] }), 6},
	} {
		watched.reads = nil
		if err := checkScan(a, name, rows, index, test.q); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if got := len(watched.reads); got != test.want {
			t.Errorf("%s: got %d reads, want %d", test.name, got, test.want)
		}
	}
}

// Several files at a time give the same sum as one after the other.
func TestScanFiles(t *testing.T) {
	ctx := context.Background()
	a := New(NewMem())
	var names []string
	want := map[string]int64{}
	for i := range 40 {
		rows := mixedRows(schemas.Usage, 10+i, false)
		name := fmt.Sprintf("usage/date=2026-01-01/%d.parquet", i)
		if err := put(a.bucket, name, fileOf(t, rows)); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
		for r, offset := range rows.Offset {
			want[rows.String(rows.Account[r])] += offset
		}
	}
	for _, workers := range []int{0, 1, 3, 100} {
		sums := make([]map[string]int64, 100)
		q := ScanQuery{Columns: []string{"account", "topic_offset"}, From: math.MinInt64, To: math.MaxInt64, Workers: workers}
		err := a.ScanFiles(ctx, names, q, func(worker int, name string, rows *Rows) error {
			if sums[worker] == nil {
				sums[worker] = map[string]int64{}
			}
			for i, offset := range rows.Offset {
				sums[worker][rows.String(rows.Account[i])] += offset
			}
			return nil
		})
		got := map[string]int64{}
		for _, s := range sums {
			for account, n := range s {
				got[account] += n
			}
		}
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d workers: %v, sums differ: %t", workers, err, fmt.Sprint(got) != fmt.Sprint(want))
		}
		gone := append(slices.Clone(names), "usage/date=2026-01-01/gone.parquet")
		err = a.ScanFiles(ctx, gone, q, func(int, string, *Rows) error { return nil })
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "gone.parquet") {
			t.Errorf("%d workers, a file that is gone: got %v", workers, err)
		}
		if err := a.ScanFiles(ctx, names, q, func(int, string, *Rows) error { return errFault }); !errors.Is(err, errFault) {
			t.Errorf("%d workers: got %v, want the function's error", workers, err)
		}
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if err := a.ScanFiles(ended, names, q, func(int, string, *Rows) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("%d workers: got %v, want %v", workers, err, context.Canceled)
		}
	}
}
