package query

import (
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// maxValues bounds the values of one parameter, names that are grouped by too:
// each costs work on every row, or a place in a statement.
const maxValues = 500

// meterParams are the parameters of a meter query, checked.
type meterParams struct {
	meter    schemas.Meter
	from, to time.Time // whole hours, from < to; from is zero where none was given
	size     WindowSize
	zone     *time.Location
	subjects []string
	bySubject,
	subjectImplied bool // one subject asked for: its rows name it
	groupBy []string // dimensions, in request order
	filter  map[int][]string
}

// oldestEvent is the default from that a zone is checked over: the service
// takes no older event unless it is told to.
var oldestEvent = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// parseMeterParams holds the parameters against meters.md. now is the default
// of to, rounded up to the hour.
func parseMeterParams(m schemas.Meter, values url.Values, now time.Time) (*meterParams, error) {
	p := &meterParams{meter: m, zone: time.UTC, filter: make(map[int][]string)}
	for name := range values {
		if err := p.known(name, values[name]); err != nil {
			return nil, err
		}
	}
	if err := p.parseRange(values, now); err != nil {
		return nil, err
	}
	if err := p.parseWindow(values); err != nil {
		return nil, err
	}
	return p, p.parseGroups(values)
}

// known refuses what no rule below reads, so that a misspelt filter is not
// taken for none, and reads filterGroupBy[name].
func (p *meterParams) known(name string, values []string) error {
	if len(values) > maxValues {
		return api.Invalid(name, "%s is given %d times; at most %d are allowed", name, len(values), maxValues)
	}
	switch name {
	case "subject", "groupBy", "clientId": // clientId: sent by the SDK for progress reports
		return nil
	case "from", "to", "windowSize", "windowTimeZone":
		if len(values) > 1 {
			return api.Invalid(name, "%s may be given once", name)
		}
		return nil
	}
	dim, ok := strings.CutPrefix(name, "filterGroupBy[")
	if !ok || !strings.HasSuffix(dim, "]") {
		return api.Invalid(name, "unknown parameter %q; allowed are from, to, windowSize, windowTimeZone, subject, groupBy and filterGroupBy[name]", name)
	}
	dim = strings.TrimSuffix(dim, "]")
	if dim == "subject" {
		return api.Invalid(name, "filter by subject with the parameter subject")
	}
	if !slices.Contains(p.meter.GroupBy, dim) {
		return api.Invalid(name, "meter %s has no dimension %q; it has %s", p.meter.Slug, dim, strings.Join(p.meter.GroupBy, ", "))
	}
	at := p.meter.Family.Dim(dim)
	p.filter[at] = append(p.filter[at], values...)
	return nil
}

func (p *meterParams) parseRange(values url.Values, now time.Time) (err error) {
	if p.from, err = wholeHour("from", values.Get("from")); err != nil {
		return err
	}
	if p.to, err = wholeHour("to", values.Get("to")); err != nil {
		return err
	}
	if p.to.IsZero() {
		p.to = now.UTC().Truncate(time.Hour)
		if p.to.Before(now) {
			p.to = p.to.Add(time.Hour)
		}
	}
	if !p.from.IsZero() && !p.from.Before(p.to) {
		return api.Invalid("from", "from (%s) must be before to (%s)", p.from.Format(time.RFC3339), p.to.Format(time.RFC3339))
	}
	return nil
}

func wholeHour(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, api.Invalid(name, "%s must be an RFC 3339 time such as 2026-01-01T00:00:00Z (write + as %%2B)", name)
	}
	if t = t.UTC(); !t.Equal(t.Truncate(time.Hour)) {
		return t, api.Invalid(name, "%s must be a whole hour in this version; minutes and seconds need the archive, which it does not read yet", name)
	}
	if t.Year() < 1 || t.Year() > 9999 {
		return t, api.Invalid(name, "%s must lie in the years 1 to 9999", name)
	}
	return t, nil
}

func (p *meterParams) parseWindow(values url.Values) (err error) {
	p.size = WindowSize(values.Get("windowSize"))
	switch p.size {
	case "", windowHour, windowDay, windowMonth:
	case "MINUTE":
		return api.Invalid("windowSize", "MINUTE windows are answered from the archive, which is not yet available in this version; use HOUR, DAY or MONTH")
	default:
		return api.Invalid("windowSize", "windowSize must be HOUR, DAY or MONTH")
	}
	name := values.Get("windowTimeZone")
	if name == "" {
		return nil
	}
	// "Local" is this machine's zone, which is no caller's business.
	if p.zone, err = time.LoadLocation(name); err != nil || name == "Local" {
		return api.Invalid("windowTimeZone", "unknown time zone %q; use an IANA name such as Europe/Berlin", name)
	}
	from := p.from
	if from.IsZero() {
		from = oldestEvent
	}
	return wholeHours(p.zone, from, p.to)
}

func (p *meterParams) parseGroups(values url.Values) error {
	p.subjects = dedupe(values["subject"])
	for _, name := range dedupe(values["groupBy"]) {
		switch {
		case name == "subject":
			p.bySubject = true
		case slices.Contains(p.meter.GroupBy, name):
			p.groupBy = append(p.groupBy, name)
		default:
			return api.Invalid("groupBy", "meter %s has no dimension %q; it has subject, %s",
				p.meter.Slug, name, strings.Join(p.meter.GroupBy, ", "))
		}
	}
	if len(p.subjects) > 1 && !p.bySubject {
		return api.Invalid("subject", "several subjects need groupBy=subject")
	}
	p.subjectImplied = len(p.subjects) == 1 && !p.bySubject
	return nil
}

// dedupe keeps the first of equal strings, in order.
func dedupe(in []string) []string {
	var out []string
	for _, s := range in {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// rollups is the question to the store.
func (p *meterParams) rollups() store.RollupQuery {
	from := schemas.Hour(math.MinInt32)
	if !p.from.IsZero() {
		from = schemas.HourOf(p.from.UnixMicro())
	}
	res := store.Hourly
	switch {
	case p.size == "", p.size == windowMonth && p.zone == time.UTC:
		res = store.Monthly
	case p.size == windowDay && p.zone == time.UTC:
		res = store.Daily
	}
	return store.RollupQuery{Family: p.meter.Family, Accounts: p.subjects, From: from,
		To: schemas.HourOf(p.to.UnixMicro()), Filter: p.filter, Resolution: res}
}
