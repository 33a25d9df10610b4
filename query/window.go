package query

import (
	"time"
	_ "time/tzdata" // zones on machines that have none

	"tallybook/api"
	"tallybook/schemas"
)

// WindowSize is the length of an answer's windows, as the API names it; ""
// asks for one window over the whole range.
type WindowSize string

const (
	windowHour  WindowSize = "HOUR"
	windowDay   WindowSize = "DAY"
	windowMonth WindowSize = "MONTH"
)

// span is a half-open window.
type span struct{ start, end schemas.Hour }

// windows finds the window of an hour: a day or month of a zone, whatever the
// zone's clock does in it. It knows a zone only by the local date of each hour,
// so days of 23 or 25 hours, days without a midnight and skipped days need no
// rule of their own. Hours it has met are remembered.
type windows struct {
	size WindowSize
	zone *time.Location
	days map[schemas.Hour]span // by each hour of the day
	full map[schemas.Hour]span // by a day's first hour: its month
}

func newWindows(size WindowSize, zone *time.Location) *windows {
	return &windows{size: size, zone: zone,
		days: make(map[schemas.Hour]span), full: make(map[schemas.Hour]span)}
}

// of is the window that the hour lies in.
func (w *windows) of(h schemas.Hour) (span, error) {
	switch w.size {
	case windowDay:
		return w.day(h)
	case windowMonth:
		day, err := w.day(h)
		if err != nil {
			return span{}, err
		}
		return w.month(day)
	}
	return span{h, h + 1}, nil
}

func (w *windows) day(h schemas.Hour) (span, error) {
	if s, ok := w.days[h]; ok {
		return s, nil
	}
	y, m, d := h.Time().In(w.zone).Date()
	same := func(h schemas.Hour) bool {
		yy, mm, dd := h.Time().In(w.zone).Date()
		return yy == y && mm == m && dd == d
	}
	s := span{h, h + 1}
	for same(s.start - 1) {
		s.start--
	}
	for same(s.end) {
		s.end++
	}
	if err := wholeHours(w.zone, s.start.Time(), s.end.Time()); err != nil {
		return span{}, err
	}
	for i := s.start; i < s.end; i++ {
		w.days[i] = s
	}
	return s, nil
}

func (w *windows) month(day span) (span, error) {
	if s, ok := w.full[day.start]; ok {
		return s, nil
	}
	y, m, _ := day.start.Time().In(w.zone).Date()
	same := func(h schemas.Hour) bool {
		yy, mm, _ := h.Time().In(w.zone).Date()
		return yy == y && mm == m
	}
	s := day
	starts := []schemas.Hour{day.start}
	for same(s.start - 1) {
		before, err := w.day(s.start - 1)
		if err != nil {
			return span{}, err
		}
		s.start = before.start
		starts = append(starts, before.start)
	}
	for same(s.end) {
		after, err := w.day(s.end)
		if err != nil {
			return span{}, err
		}
		s.end = after.end
		starts = append(starts, after.start)
	}
	for _, start := range starts {
		w.full[start] = s
	}
	return s, nil
}

// wholeHours refuses a zone whose clock differs from UTC by other than whole
// hours anywhere in [from, to), or changes within an hour: its days do not
// begin where rollups do.
func wholeHours(zone *time.Location, from, to time.Time) error {
	for t := from.In(zone); t.Before(to); {
		if _, offset := t.Zone(); offset%3600 != 0 {
			return api.Invalid("windowTimeZone", "%s is not whole hours from UTC at %s; in this version the zone must be, over the whole range",
				zone, t.UTC().Format(time.RFC3339))
		}
		_, end := t.ZoneBounds()
		if end.IsZero() {
			return nil
		}
		if !end.After(t) { // Go 1.26 answers so on 31 December of leap years to come
			t = t.Add(24 * time.Hour)
			continue
		}
		if end.Before(to) && end.Unix()%3600 != 0 {
			return api.Invalid("windowTimeZone", "%s changes its clock at %s, within an hour; in this version it must not, over the whole range",
				zone, end.UTC().Format(time.RFC3339))
		}
		t = end
	}
	return nil
}
