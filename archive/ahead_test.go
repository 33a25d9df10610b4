package archive

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"tallybook/archive/s3test"
	"tallybook/schemas"
)

// A scan over S3 gives the rows that a plain filter gives.
func TestScanS3(t *testing.T) {
	for name, rows := range map[string]*Rows{"small": mixedRows(schemas.Usage, 700, false), "row groups": denseRows(maxGroupRows + 50_000)} {
		a, index := New(openBlob(t, s3test.New(t))), ByDay(rows)[0].Index
		file := mustWrite(t, a, rows, index)
		rnd := rand.New(rand.NewPCG(7, 8))
		for range 20 {
			q := randomQuery(rnd, rows)
			if err := checkScan(a, file, rows, index, q); err != nil {
				t.Fatalf("%s: %+v: %v", name, q, err)
			}
		}
	}
}

// How many requests a question costs: a small file is one, with its footer kept
// or not; of a large one columns that lie together are read together, and a row
// group that bounds exclude is not read.
func TestRequestsS3(t *testing.T) {
	s := s3test.New(t)
	b := openBlob(t, s)
	ctx := context.Background()
	rows := denseRows(maxGroupRows + 50_000)
	small, large := denseRows(1000), ByDay(rows)[0].Index
	writer := New(b)
	if err := b.Move(ctx, mustWrite(t, writer, small, ByDay(small)[0].Index), "usage/small"); err != nil {
		t.Fatal(err)
	}
	largeFile := mustWrite(t, writer, rows, large)
	everything := ScanQuery{Columns: Columns(schemas.Usage), From: math.MinInt64, To: math.MaxInt64}
	few := ScanQuery{Columns: []string{"quantity", "bytes"}, From: math.MinInt64, To: math.MaxInt64}
	oneAccount := few
	oneAccount.Accounts = []string{"account-0001"}
	nobody := few
	nobody.Accounts = []string{"nobody"}
	for _, test := range []struct {
		name, file string
		q          ScanQuery
		most       int // requests: one to open, and some for each of two row groups
	}{
		{"small file, all columns", "usage/small", everything, 2}, // 1; gofakes3 refuses to give the last bytes of fewer
		{"large file, all columns", largeFile, everything, 1 + 2*3},
		{"large file, two columns", largeFile, few, 1 + 2*2},
		{"large file, an account", largeFile, oneAccount, 1 + 2*3},
		{"large file, nobody", largeFile, nobody, 1},
	} {
		a := New(b)
		for range 2 {
			s.Requests()
			if err := a.Scan(ctx, test.file, test.q, func(*Rows) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := s.Requests()["get"]; got < 1 || got > test.most {
				t.Errorf("%s: got %d requests, want at most %d", test.name, got, test.most)
			}
		}
	}
}
