package query

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
)

// maxValues bounds the values of one parameter, names that are grouped by too:
// each costs work on every row, or a place in a statement.
const maxValues = 500

// bySubject is the account's name in this API.
const bySubject = "subject"

// meterParams are the parameters of a meter query, checked.
type meterParams struct {
	meter    schemas.Meter
	from, to time.Time // from < to; from is zero where none was given
	size     engine.Size
	zone     *time.Location
	subjects []string
	bySubject,
	subjectImplied bool // one subject asked for: its rows name it
	groupBy []string // dimensions, in request order
	filter  map[string][]string
}

// parseMeterParams holds the parameters against meters.md. now is the default
// of to, rounded up to the hour.
func parseMeterParams(m schemas.Meter, values url.Values, now time.Time) (*meterParams, error) {
	p := &meterParams{meter: m, zone: time.UTC, filter: make(map[string][]string)}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // of several mistakes always the same one is named
	for _, name := range names {
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
	if dim == bySubject {
		return api.Invalid(name, "filter by subject with the parameter subject")
	}
	if err := p.dimension(name, dim); err != nil {
		return err
	}
	if p.filter[dim] = append(p.filter[dim], values...); len(p.filter) > maxGroupBy {
		return api.Invalid(name, "at most %d dimensions may be filtered by", maxGroupBy)
	}
	return nil
}

// dimension refuses names that the meter's events cannot have.
func (p *meterParams) dimension(param, name string) error {
	if name != engine.Account && engine.Known(p.meter.Family, name) {
		return nil
	}
	return api.Invalid(param, "meter %s has no dimension %q; it has subject, %s, and what the archive keeps of its events: columns such as client_ip and customer, dimensions.NAME and data.PATH",
		p.meter.Slug, name, strings.Join(p.meter.GroupBy, ", "))
}

func (p *meterParams) parseRange(values url.Values, now time.Time) (err error) {
	if p.from, err = instant("from", values.Get("from")); err != nil {
		return err
	}
	if p.to, err = instant("to", values.Get("to")); err != nil {
		return err
	}
	if p.to.IsZero() {
		p.to = now.UTC().Truncate(time.Hour)
		if p.to.Before(now) {
			p.to = p.to.Add(time.Hour)
		}
	}
	if !p.from.IsZero() && !p.from.Before(p.to) {
		return api.Invalid("from", "from (%s) must be before to (%s)", p.from.Format(time.RFC3339Nano), p.to.Format(time.RFC3339Nano))
	}
	return nil
}

// instant reads a time, cut to µs, the finest that events have.
func instant(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, api.Invalid(name, "%s must be an RFC 3339 time such as 2026-01-01T00:00:00Z (write + as %%2B)", name)
	}
	if t = t.UTC().Truncate(time.Microsecond); t.Year() < 1 || t.Year() > 9999 {
		return t, api.Invalid(name, "%s must lie in the years 1 to 9999", name)
	}
	return t, nil
}

func (p *meterParams) parseWindow(values url.Values) (err error) {
	p.size = engine.Size(values.Get("windowSize"))
	switch p.size {
	case "", engine.Minute, engine.Hour, engine.Day, engine.Month:
	default:
		return api.Invalid("windowSize", "windowSize must be MINUTE, HOUR, DAY or MONTH")
	}
	name := values.Get("windowTimeZone")
	if name == "" {
		return nil
	}
	// "Local" is this machine's zone, which is no caller's business.
	if p.zone, err = time.LoadLocation(name); err != nil || name == "Local" {
		return api.Invalid("windowTimeZone", "unknown time zone %q; use an IANA name such as Europe/Berlin", name)
	}
	return nil
}

func (p *meterParams) parseGroups(values url.Values) error {
	p.subjects = dedupe(values["subject"])
	for _, name := range dedupe(values["groupBy"]) {
		if name == bySubject {
			p.bySubject = true
			continue
		}
		if err := p.dimension("groupBy", name); err != nil {
			return err
		}
		if p.groupBy = append(p.groupBy, name); len(p.groupBy) > maxGroupBy {
			return api.Invalid("groupBy", "groupBy has more than %d names", maxGroupBy)
		}
	}
	if len(p.subjects) > 1 && !p.bySubject {
		return api.Invalid("subject", "several subjects need groupBy=subject")
	}
	p.subjectImplied = len(p.subjects) == 1 && !p.bySubject
	return nil
}

// scope keeps the question to the account that the caller may see.
func (p *meterParams) scope(c api.Caller) error {
	own := c.Accounts()
	switch {
	case own == nil:
		return nil
	case len(p.subjects) == 0:
		p.subjects = own
		return nil
	case slices.Equal(p.subjects, own):
		return nil
	}
	return api.Forbidden("subject may only be the account that the key or X-Account-ID names")
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

// question is what is asked of the engine.
func (p *meterParams) question() *engine.Question {
	q := &engine.Question{Family: p.meter.Family, From: oldestEvent, To: p.to.UnixMicro(), Accounts: p.subjects,
		Filters: p.filter, Window: engine.Window{Size: p.size, Zone: p.zone}}
	if p.meter.Definition != nil {
		q.Meter = &p.meter
	}
	if !p.from.IsZero() {
		q.From = p.from.UnixMicro()
	}
	if p.bySubject || p.subjectImplied {
		q.GroupBy = append(q.GroupBy, engine.Account)
	}
	q.GroupBy = append(q.GroupBy, p.groupBy...)
	q.Need = p.need()
	if p.meter.Aggregation == schemas.UniqueCount {
		q.Distinct = engine.Value
	}
	return q
}

// oldestEvent is before every event, in µs: the first instant of the year 1.
const oldestEvent = -62135596800_000_000

func (p *meterParams) need() (need engine.Need) {
	switch p.meter.Measure {
	case schemas.MeasureQuantity:
		return engine.Quantity
	case schemas.MeasureBytes:
		return engine.Bytes
	case schemas.MeasureCount:
		return 0
	}
	need = engine.Values
	switch p.meter.Aggregation {
	case schemas.Avg, schemas.Min, schemas.Max:
		need |= engine.Extremes
	case schemas.Latest:
		need |= engine.Latest
	case schemas.Percentile:
		need |= engine.Quantiles
	}
	if p.percentiles() != nil {
		need |= engine.Quantiles
	}
	return need
}

// percentiles are those that a row shows: of the built-in latency too, where
// its rollups have them.
func (p *meterParams) percentiles() []float64 {
	own := func(name string) bool { return slices.Contains(p.meter.GroupBy, name) }
	if p.meter.Aggregation != schemas.Percentile {
		for _, name := range p.groupBy {
			if !own(name) {
				return nil
			}
		}
		for name := range p.filter {
			if !own(name) {
				return nil
			}
		}
	}
	return p.meter.Percentiles
}
