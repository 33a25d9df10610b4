package schemas

import (
	"fmt"
	"time"

	"github.com/robfig/cron/v3"
)

// QuotaPeriods divides all time into the periods of a quota, in a time zone.
//
// Days, months and cron expressions are read off the wall clock: a period begins
// when the clock first shows the time that it begins at, or a later one. So where
// the clock is put forward over that time it begins then, and where it is put back
// the time that comes twice belongs to one period. Hours are those that pass: the
// two between 2 and 3 o'clock of such a night are two periods.
type QuotaPeriods struct {
	schedule cron.Schedule // in a UTC that stands for the wall clock; nil: hours
	zone     *time.Location
}

// NewQuotaPeriods takes a quota's period: hour, day, month or a cron expression.
func NewQuotaPeriods(period string, zone *time.Location) (*QuotaPeriods, error) {
	switch period {
	case "hour":
		return &QuotaPeriods{zone: zone}, nil
	case "day", "month":
		return &QuotaPeriods{calendar(period), zone}, nil
	}
	schedule, err := cron.ParseStandard(period)
	if err != nil {
		return nil, fmt.Errorf("period %q: %w", period, err)
	}
	return &QuotaPeriods{schedule, zone}, nil
}

// Period is half-open; End is zero where it never ends.
type Period struct{ Start, End time.Time }

// Has reports whether t lies within.
func (p Period) Has(t time.Time) bool {
	return !t.Before(p.Start) && (p.End.IsZero() || t.Before(p.End))
}

// At is the period that t lies in.
func (p *QuotaPeriods) At(t time.Time) Period {
	if p.schedule == nil {
		return p.hour(t)
	}
	wall := p.wall(t)
	next := p.schedule.Next(wall)
	for !next.IsZero() && !p.instant(next).After(t) { // the clock was put back since
		wall, next = next, p.schedule.Next(next)
	}
	period := Period{Start: time.Unix(0, 0).UTC()}
	if !next.IsZero() {
		period.End = p.instant(next)
		wall = next.Add(-time.Second)
	}
	if last, ok := p.last(wall); ok {
		period.Start = p.instant(last)
	}
	return period
}

// hour ends where the zone changes its offset, also by half an hour.
func (p *QuotaPeriods) hour(t time.Time) Period {
	local := t.In(p.zone)
	_, offset := local.Zone()
	unix := t.Unix() + int64(offset)
	start := time.Unix(unix-(unix%3600+3600)%3600-int64(offset), 0)
	end := start.Add(time.Hour)
	from, to := local.ZoneBounds()
	if !from.IsZero() && from.After(start) {
		start = from
	}
	if !to.IsZero() && to.Before(end) {
		end = to
	}
	return Period{start.UTC(), end.UTC()}
}

// wall is what the clock shows at t, as a time in UTC.
func (p *QuotaPeriods) wall(t time.Time) time.Time {
	_, offset := t.In(p.zone).Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

// instant is the first moment when the clock shows wall or a later time.
func (p *QuotaPeriods) instant(wall time.Time) time.Time {
	const most = 26 * time.Hour // that a zone is ahead of or behind UTC
	for t := wall.Add(-most); ; {
		local := t.In(p.zone)
		_, offset := local.Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if !at.After(t) {
			return t
		}
		_, end := local.ZoneBounds()
		if end.IsZero() || at.Before(end) {
			return at
		}
		t = end.UTC()
	}
}

// calendar is the schedule of days or months.
type calendar string

func (c calendar) last(wall time.Time) time.Time {
	year, month, day := wall.Date()
	if c == "month" {
		day = 1
	}
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Next is that of cron.Schedule.
func (c calendar) Next(wall time.Time) time.Time {
	if c == "month" {
		return c.last(wall).AddDate(0, 1, 0)
	}
	return c.last(wall).AddDate(0, 0, 1)
}

// longestPeriod is as far as cron.Schedule looks ahead.
const longestPeriod = 5 * 366 * 24 * time.Hour

// last is the schedule's greatest time up to wall.
func (p *QuotaPeriods) last(wall time.Time) (time.Time, bool) {
	if c, ok := p.schedule.(calendar); ok {
		return c.last(wall), true
	}
	wall = wall.Truncate(time.Second)
	within := func(from time.Time) bool {
		next := p.schedule.Next(from)
		return !next.IsZero() && !next.After(wall)
	}
	step := time.Minute
	for !within(wall.Add(-step)) {
		if step == longestPeriod {
			return time.Time{}, false
		}
		step = min(2*step, longestPeriod)
	}
	low, high := wall.Add(-step), wall // the schedule has a time in (low, wall], none in (high, wall]
	for high.Sub(low) > time.Second {
		middle := low.Add((high.Sub(low) / 2).Truncate(time.Second))
		if within(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return high, true
}
