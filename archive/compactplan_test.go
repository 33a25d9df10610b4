package archive

import (
	"fmt"
	"slices"
	"testing"
)

func TestPlanMerges(t *testing.T) {
	limits := MergeLimits{Rows: 100, Bytes: 1000, Files: 12}
	for name, c := range map[string]struct {
		rows []int64
		want [][]int // indexes
	}{
		"nothing":                    {nil, nil},
		"one file":                   {[]int64{10}, nil},
		"two":                        {[]int64{10, 10}, [][]int{{0, 1}}},
		"more than fits":             {[]int64{40, 40, 40, 40, 10}, [][]int{{0, 1}, {2, 3, 4}}},
		"large ones end a run":       {[]int64{10, 10, 50, 10, 10}, [][]int{{0, 1}, {3, 4}}},
		"a late event is not enough": {[]int64{40, 1, 1}, nil},
		"a tenth is":                 {[]int64{40, 2, 2}, [][]int{{0, 1, 2}}},
		"many are":                   {[]int64{49, 0, 0, 0, 0, 0, 0, 0, 0}, [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8}}},
		"as many as may retire":      {[]int64{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, {12, 13}}},
		"a large one alone":          {[]int64{10, 80, 10}, nil},
	} {
		var files []FileInfo
		for i, n := range c.rows {
			files = append(files, FileInfo{Name: fmt.Sprint(i), Rows: n, Bytes: n})
		}
		var got [][]int
		for _, run := range PlanMerges(files, limits) {
			var indexes []int
			for _, f := range run {
				indexes = append(indexes, slices.IndexFunc(files, func(x FileInfo) bool { return x.Name == f.Name }))
			}
			got = append(got, indexes)
		}
		if !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
	bytes := []FileInfo{{Rows: 1, Bytes: 400}, {Rows: 1, Bytes: 400}, {Rows: 1, Bytes: 400}, {Rows: 1, Bytes: 500}}
	if got := PlanMerges(bytes, limits); len(got) != 1 || len(got[0]) != 2 {
		t.Errorf("by bytes: got %v", got)
	}
}

// A file grows by merging until it is half of what is allowed: a row is written
// again a bounded number of times, however small the files come in.
func TestPlanMergesWritesRowsAFewTimes(t *testing.T) {
	limits := MergeLimits{Rows: 4096, Bytes: 1 << 40, Files: 1000}
	var files []FileInfo
	var written, rows int64
	for range 20_000 { // a file of one row comes, and what is planned is done
		files = append(files, FileInfo{Rows: 1, Bytes: 1})
		rows++
		for _, run := range PlanMerges(files, limits) {
			var sum FileInfo
			for _, f := range run {
				sum.Rows, sum.Bytes = sum.Rows+f.Rows, sum.Bytes+f.Bytes
			}
			written += sum.Rows
			files = append(files[:len(files)-len(run)], sum) // the run is the tail here
		}
	}
	// The worst case: a file of each size up to 2,048 is written again for nine others.
	if times := written / rows; times > 130 || len(files) > 30 {
		t.Errorf("each row was written %d times, %d files are left", times, len(files))
	}
}
