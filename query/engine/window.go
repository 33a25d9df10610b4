package engine

import (
	"slices"
	"time"
	_ "time/tzdata" // zones on machines that have none

	"tallybook/api"
)

// Size is the length of windows; "" is one window over the whole question.
type Size string

const (
	Minute Size = "MINUTE"
	Hour   Size = "HOUR"
	Day    Size = "DAY"
	Week   Size = "WEEK" // from Monday
	Month  Size = "MONTH"
	Year   Size = "YEAR"
)

// Window says how time divides the groups of an answer.
type Window struct {
	Size Size
	Zone *time.Location // nil: UTC
	// Labels give values of a window's start. Where there are any, windows of
	// equal labels are one group, and the labels stand behind its names.
	Labels []func(start time.Time) string
	// Keep leaves windows out; nil keeps all.
	Keep func(start time.Time) bool
}

func (w *Window) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}

func (w *Window) check() error {
	switch w.Size {
	case "", Minute, Hour, Day, Week, Month, Year:
		return nil
	}
	return api.Invalid("window", "a window is MINUTE, HOUR, DAY, WEEK, MONTH or YEAR")
}

// span is a half-open range of time in µs.
type span struct{ start, end int64 }

const (
	second = int64(1_000_000)
	minute = 60 * second
	hour   = 60 * minute
)

// windows finds the window that an instant lies in. Windows of a zone are a
// partition of time: a day begins at the first instant whose local date is that
// day or a later one, so that days of 23 or 25 hours, days without a midnight
// and clocks that are set back over midnight need no rule of their own. It is
// used by one goroutine.
type windows struct {
	size Size
	zone *time.Location
	last span
	days []span // found before, in order; not of minutes and hours
}

func newWindows(size Size, zone *time.Location) *windows { return &windows{size: size, zone: zone} }

// of is the window of the instant.
func (w *windows) of(t int64) span {
	if t >= w.last.start && t < w.last.end {
		return w.last
	}
	switch w.size {
	case Minute:
		w.last = w.clock(t, minute)
		return w.last
	case Hour:
		w.last = w.clock(t, hour)
		return w.last
	}
	i, ok := find(w.days, 0, t)
	if ok {
		w.last = w.days[i]
		return w.last
	}
	w.last = w.calendar(t)
	w.days = slices.Insert(w.days, i, w.last)
	return w.last
}

// clock is a window of local wall-clock minutes or hours, cut where the clock
// changes.
func (w *windows) clock(t, size int64) span {
	e := eraOf(w.zone, t)
	local := t + e.offset
	start := t - (local - floor(local, size))
	return span{max(start, e.start), min(start+size, e.end)}
}

// calendar is the day, week, month or year.
func (w *windows) calendar(t int64) span {
	d := timeOf(t).In(w.zone)
	date := w.first(time.Date(d.Year(), d.Month(), d.Day(), 0, 0, 0, 0, time.UTC))
	for { // a clock that is set back over midnight shows an earlier date again
		next := w.next(date)
		s := span{firstInstant(w.zone, date), firstInstant(w.zone, next)}
		if t < s.end {
			return s
		}
		date = next
	}
}

// first is the first date of the window that the date lies in; dates are UTC
// midnights here.
func (w *windows) first(date time.Time) time.Time {
	switch w.size {
	case Week:
		return date.AddDate(0, 0, -(int(date.Weekday())+6)%7)
	case Month:
		return date.AddDate(0, 0, 1-date.Day())
	case Year:
		return time.Date(date.Year(), 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return date
}

func (w *windows) next(date time.Time) time.Time {
	switch w.size {
	case Week:
		return date.AddDate(0, 0, 7)
	case Month:
		return date.AddDate(0, 1, 0)
	case Year:
		return date.AddDate(1, 0, 0)
	}
	return date.AddDate(0, 0, 1)
}

// firstInstant is the first at which the zone's clock shows the date or later.
func firstInstant(zone *time.Location, date time.Time) int64 {
	midnight := date.UnixMicro()
	for at := midnight - 30*hour; ; {
		e := eraOf(zone, at)
		if first := max(midnight-e.offset, e.start); first < e.end {
			return first
		}
		at = e.end
	}
}

// era is a range of time with one offset from UTC.
type era struct{ start, end, offset int64 }

const (
	longAgo = -1 << 62
	farOff  = 1 << 62
)

func eraOf(zone *time.Location, t int64) era {
	if zone == time.UTC {
		return era{longAgo, farOff, 0}
	}
	local := time.UnixMicro(t).In(zone)
	_, seconds := local.Zone()
	e := era{longAgo, farOff, int64(seconds) * second}
	start, end := local.ZoneBounds()
	if !start.IsZero() {
		e.start = start.UnixMicro()
	}
	if !end.IsZero() {
		e.end = end.UnixMicro()
	}
	if e.start > t || e.end <= t { // Go 1.26 answers so on 31 December of leap years to come
		day := floor(t, 24*hour)
		e.start, e.end = day, day+24*hour
	}
	return e
}

func floor(t, unit int64) int64 {
	rest := t % unit
	if rest < 0 {
		rest += unit
	}
	return t - rest
}
