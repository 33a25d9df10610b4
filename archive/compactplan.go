package archive

// MergeLimits bound what compaction makes one file of. Zero fields have defaults.
type MergeLimits struct {
	Rows  int64 // 1,048,576, eight row groups: some hundred MiB while they are merged
	Bytes int64 // 256 MiB
	Files int   // 5,000: a transaction retires them
}

func (l MergeLimits) orDefault() MergeLimits {
	if l.Rows == 0 {
		l.Rows = 8 * maxGroupRows
	}
	if l.Bytes == 0 {
		l.Bytes = 256 << 20
	}
	if l.Files == 0 {
		l.Files = 5_000
	}
	return l
}

// manySmall is how many small files beside a large one make it worth writing again.
const manySmall = 8

// PlanMerges says which files of one dataset, date and partition are to be made
// one: neighbours in the order of their first offsets, in which files must be
// given. A file that is half as large as is allowed stays what it is, so that
// the ranges of offsets of merged files do not reach into each other, and a row
// is written again a few times at most, however many late files there are.
func PlanMerges(files []FileInfo, limits MergeLimits) [][]FileInfo {
	l := limits.orDefault()
	var plan [][]FileInfo
	var run []FileInfo
	var rows, bytes int64
	end := func() {
		if worthMerging(run) {
			plan = append(plan, run)
		}
		run, rows, bytes = nil, 0, 0
	}
	for _, f := range files {
		if f.Rows >= l.Rows/2 || f.Bytes >= l.Bytes/2 {
			end()
			continue
		}
		if rows+f.Rows > l.Rows || bytes+f.Bytes > l.Bytes || len(run) == l.Files {
			end()
		}
		run, rows, bytes = append(run, f), rows+f.Rows, bytes+f.Bytes
	}
	end()
	return plan
}

// worthMerging: what comes to the largest file is a tenth of it, or many files.
// Else a date that gets a late event each day would be written again each day.
func worthMerging(run []FileInfo) bool {
	var rows, largest int64
	for _, f := range run {
		rows += f.Rows
		largest = max(largest, f.Rows)
	}
	return len(run) > manySmall || len(run) > 1 && (rows-largest)*10 >= largest
}
