package store

import (
	"slices"

	"tallybook/schemas"
)

// segment is a range of windows of one resolution.
type segment struct {
	res      Resolution
	from, to schemas.Hour
}

// windowEnd is where a built window ends.
func windowEnd(res Resolution, start schemas.Hour) schemas.Hour {
	if res == Monthly {
		return start.Day().MonthEnd().Hour()
	}
	return start + 24
}

// segments covers [From, To) without overlap: built months and days where the
// query allows them and they are whole within the range, hours elsewhere. It is
// decided in the snapshot that the rows are read from.
func (v *View) segments(q RollupQuery) ([]segment, error) {
	if q.From >= q.To {
		return nil, nil
	}
	var built []segment // by start, months before days
	if q.Resolution > Hourly {
		var err error
		built, err = collect(v, scanBuilt, `SELECT resolution, window_start FROM built_windows
			WHERE state = 1 AND dirty = 0 AND resolution <= ? AND window_start >= ? AND window_start < ?
			ORDER BY window_start, resolution DESC`, int64(q.Resolution), q.From, q.To)
		if err != nil {
			return nil, err
		}
	}
	return cover(q.From, q.To, built), nil
}

func scanBuilt(row scanner) (segment, error) {
	var s segment
	err := row.Scan(&s.res, &s.from)
	s.to = windowEnd(s.res, s.from)
	return s, err
}

// cover fills [from, to) with the built windows, greedily by their order, and
// with hours between them; neighbours of one resolution become one segment.
func cover(from, to schemas.Hour, built []segment) []segment {
	var all []segment
	add := func(s segment) {
		if n := len(all); n > 0 && all[n-1].res == s.res && all[n-1].to == s.from {
			all[n-1].to = s.to
		} else if s.from < s.to {
			all = append(all, s)
		}
	}
	at := from
	for _, b := range built {
		if b.from < at || b.to > to {
			continue // inside a month that is taken, or not whole
		}
		add(segment{Hourly, at, b.from})
		add(b)
		at = b.to
	}
	add(segment{Hourly, at, to})
	return slices.Clip(all)
}
