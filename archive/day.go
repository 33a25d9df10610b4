package archive

import (
	"math/bits"
	"slices"
	"strings"

	"tallybook/schemas"
)

const microsPerDay = 86_400_000_000

// DayRows are the rows of one event date, in the order of its file.
type DayRows struct {
	Day              schemas.Day
	Index            []int32 // rows of Rows, sorted by account text, time, offset
	MinTime, MaxTime int64   // event time, µs
	MaxLog           int64   // greatest log_time, µs
	First, Last      int64   // least and greatest offset
}

// sortKey is a row with what it is sorted by: the rank of its account, then
// its time of day.
type sortKey struct {
	key uint64
	row int32
}

// ByDay splits rows by the UTC date of their event time, earliest date first.
func ByDay(rows *Rows) []DayRows {
	days := splitDays(rows)
	rank := accountRanks(rows)
	var keys, spare []sortKey
	for i := range days {
		d := &days[i]
		d.summarize(rows)
		// A day has 2^37 µs, so that 2^27 accounts fit beside them.
		width := bits.Len64(uint64(d.MaxTime - d.MinTime))
		keys, spare = slices.Grow(keys[:0], len(d.Index)), slices.Grow(spare[:0], len(d.Index))
		for _, r := range d.Index {
			keys = append(keys, sortKey{rank[rows.Account[r]]<<width | uint64(rows.Time[r]-d.MinTime), r})
		}
		keys, spare = radixSort(keys, spare[:len(keys)])
		for k := range keys {
			d.Index[k] = keys[k].row
		}
	}
	return days
}

func splitDays(rows *Rows) []DayRows {
	var days []DayRows
	at := map[schemas.Day]int{}
	last, start := -1, int64(0) // most rows are of the day of the row before
	for r, t := range rows.Time {
		if last < 0 || t < start || t-start >= microsPerDay {
			day := schemas.DayOf(t)
			k, ok := at[day]
			if !ok {
				k = len(days)
				at[day] = k
				days = append(days, DayRows{Day: day})
			}
			last, start = k, int64(day)*microsPerDay
		}
		days[last].Index = append(days[last].Index, int32(r))
	}
	slices.SortFunc(days, func(a, b DayRows) int { return int(a.Day) - int(b.Day) })
	return days
}

func (d *DayRows) summarize(rows *Rows) {
	first := d.Index[0]
	d.MinTime, d.MaxTime, d.MaxLog = rows.Time[first], rows.Time[first], rows.LogTime[first]
	d.First, d.Last = rows.Offset[first], rows.Offset[first]
	for _, r := range d.Index {
		d.MinTime, d.MaxTime = min(d.MinTime, rows.Time[r]), max(d.MaxTime, rows.Time[r])
		d.MaxLog = max(d.MaxLog, rows.LogTime[r])
		d.First, d.Last = min(d.First, rows.Offset[r]), max(d.Last, rows.Offset[r])
	}
}

// accountRanks gives each account code its place among the account texts; two
// codes of one text share it.
func accountRanks(rows *Rows) []uint64 {
	rank := make([]uint64, max(len(rows.Dict), 1))
	var codes []Code
	for _, c := range rows.Account {
		if rank[c] == 0 {
			rank[c] = 1
			codes = append(codes, c)
		}
	}
	slices.SortFunc(codes, func(a, b Code) int { return strings.Compare(rows.String(a), rows.String(b)) })
	next := uint64(0)
	for i, c := range codes {
		if i > 0 && rows.String(c) != rows.String(codes[i-1]) {
			next++
		}
		rank[c] = next
	}
	return rank
}

const (
	digitBits = 11
	digits    = 1 << digitBits
)

// radixSort sorts keys, leaving equal ones in their order, which is that of
// the log. It returns the sorted slice and the other one.
func radixSort(keys, spare []sortKey) (sorted, other []sortKey) {
	if len(keys) < 256 {
		slices.SortStableFunc(keys, func(a, b sortKey) int {
			switch {
			case a.key < b.key:
				return -1
			case a.key > b.key:
				return 1
			}
			return 0
		})
		return keys, spare
	}
	var differ uint64
	for i := range keys {
		differ |= keys[i].key ^ keys[0].key
	}
	for shift := 0; shift < 64; shift += digitBits {
		if differ>>shift&(digits-1) == 0 {
			continue
		}
		var at [digits]int32
		for i := range keys {
			at[keys[i].key>>shift&(digits-1)]++
		}
		next := int32(0)
		for i, n := range at {
			at[i], next = next, next+n
		}
		for _, k := range keys {
			d := k.key >> shift & (digits - 1)
			spare[at[d]] = k
			at[d]++
		}
		keys, spare = spare, keys
	}
	return keys, spare
}
