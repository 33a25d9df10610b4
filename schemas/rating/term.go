package rating

import (
	"errors"
	"time"
)

// Span is [Start, End).
type Span struct{ Start, End time.Time }

// Term says for which part of a billing period a price held. The zero Term is
// a whole period.
type Term struct {
	Period Span
	Held   Span           // what lies outside Period does not count
	Zone   *time.Location // the customer's, for days; nil: UTC
}

// Share is a part of a period, in days or seconds.
type Share struct {
	Part  int64 `json:"part"`
	Whole int64 `json:"of"`
}

var errNoPeriod = errors.New("period must have an end behind its start, by days where it is shared by days")

// share of the period by the price's rule; ok is false for a whole period.
func (t Term) share(by proration) (s Share, ok bool, err error) {
	if t.Period == (Span{}) && t.Held == (Span{}) || by == prorateNothing {
		return Share{}, false, nil
	}
	held := t.Held
	if held.Start.Before(t.Period.Start) {
		held.Start = t.Period.Start
	}
	if held.End.After(t.Period.End) {
		held.End = t.Period.End
	}
	count := func(span Span) int64 { return int64(span.End.Sub(span.Start) / time.Second) }
	if by == prorateDays {
		count = t.days
	}
	s = Share{Part: max(0, count(held)), Whole: count(t.Period)}
	if s.Whole <= 0 {
		return Share{}, false, errNoPeriod
	}
	return s, s.Part != s.Whole, nil
}

// days counts the dates from the one that the span starts on up to the one that
// it ends on, which is not counted. So spans that join share no date, and those
// of a period add up to it, however long a day was.
func (t Term) days(span Span) int64 {
	zone := t.Zone
	if zone == nil {
		zone = time.UTC
	}
	date := func(at time.Time) int64 {
		y, m, d := at.In(zone).Date()
		return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
	}
	return date(span.End) - date(span.Start)
}
