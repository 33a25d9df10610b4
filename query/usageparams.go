package query

import (
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

// interval is what intervalType may be: the windows, and how long a range may be.
type interval struct {
	size    engine.Size
	longest func(from time.Time) time.Time // the last toDate that is allowed
	words   string
}

var intervals = map[string]interval{
	"h": {engine.Hour, func(t time.Time) time.Time { return t.AddDate(0, 0, 7) }, "7 days"},
	"d": {engine.Day, func(t time.Time) time.Time { return t.AddDate(0, 0, 60) }, "60 days"},
	"m": {engine.Month, func(t time.Time) time.Time { return t.AddDate(5, 0, 0) }, "5 years"},
	"y": {engine.Year, func(t time.Time) time.Time { return t.AddDate(100, 0, 0) }, "100 years"},
}

// usageParams is what GET /v1/usage and GET /v1/errors are asked.
type usageParams struct {
	kind     string // h, d, m or y
	interval interval
	from, to time.Time
	filters  map[string][]string // dimension → value
	accounts []string            // nil: all
}

// usageParams reads the parameters that both have, in the order in which
// usage-v1.md names the errors; more are those that one has besides.
func (q *Server) usageParams(r *http.Request, more ...string) (*usageParams, url.Values, error) {
	values, err := parameters(r, append([]string{"intervalType", "endPointName", "fromDate", "toDate"}, more...)...)
	if err != nil {
		return nil, nil, err
	}
	caller := api.CallerOf(r.Context())
	p := &usageParams{kind: values.Get("intervalType"), filters: map[string][]string{}, accounts: caller.Accounts()}
	var known bool
	if p.interval, known = intervals[p.kind]; !known {
		if p.kind == "" {
			return nil, nil, api.Invalid("intervalType", "intervalType is required: h, d, m or y")
		}
		return nil, nil, api.Invalid("intervalType", "intervalType must be h, d, m or y")
	}
	if err := p.readRange(values, q.cfg.Now()); err != nil {
		return nil, nil, err
	}
	version := strings.TrimSpace(r.Header.Get("apiVersion"))
	if version != "" {
		p.filters["version"] = []string{version}
	}
	if endpoint := values.Get("endPointName"); endpoint != "" {
		registered, err := q.cfg.Store.HasRoute(r.Context(), q.catalogAccount(r, caller), version, endpoint)
		if err != nil {
			return nil, nil, err
		}
		if !registered {
			return nil, nil, api.Invalid("endPointName", "endPointName %q is not registered; GET /v1/routes lists the endpoints", endpoint)
		}
		p.filters["endpoint"] = []string{endpoint}
	}
	return p, values, nil
}

// catalogAccount is the account whose customers' API versions count as
// registered; "": every route does, for callers without any customer.
func (q *Server) catalogAccount(r *http.Request, caller api.Caller) string {
	if caller.Customer != "" || caller.Account == "" {
		return caller.Account
	}
	list, err := q.cfg.Store.Customers(r.Context(), store.CustomerFilter{Account: caller.Account, Limit: 1})
	if err != nil || len(list) == 0 {
		return ""
	}
	return caller.Account
}

func (p *usageParams) readRange(values url.Values, now time.Time) error {
	if values.Get("fromDate") == "" {
		return api.Invalid("fromDate", "fromDate is required: YYYY-MM-DD:HH:MM:SS or RFC 3339, in UTC")
	}
	from, err := usageDate("fromDate", values.Get("fromDate"))
	if err != nil {
		return err
	}
	to := now.UnixMicro()
	if text := values.Get("toDate"); text != "" {
		if to, err = usageDate("toDate", text); err != nil {
			return err
		}
	}
	if from > to {
		return api.Invalid("fromDate", "fromDate must not be after toDate")
	}
	p.from, p.to = time.UnixMicro(from).UTC(), time.UnixMicro(to).UTC()
	if p.to.After(p.interval.longest(p.from)) {
		return api.Invalid("", "Please provide a range less than %s", p.interval.words)
	}
	return nil
}

// usageDate reads YYYY-MM-DD:HH:MM:SS in UTC, or RFC 3339, as µs.
func usageDate(field, text string) (int64, error) {
	if micros, ok := schemas.ParseUsageTime(text); ok {
		return micros, nil
	}
	return 0, api.Invalid(field, "%s must be a date of the form YYYY-MM-DD:HH:MM:SS, such as 2026-01-31:23:59:59, or of RFC 3339", field)
}

// windowStarts are the starts of all intervals: the range cut at UTC hours,
// days, months or years, so that the first begins at fromDate and the last ends
// at toDate.
func (p *usageParams) windowStarts() []time.Time {
	var starts []time.Time
	for at := p.from; at.Before(p.to); {
		starts = append(starts, at)
		switch y, m, d := at.Date(); p.kind {
		case "h":
			at = at.Truncate(time.Hour).Add(time.Hour)
		case "d":
			at = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC)
		case "m":
			at = time.Date(y, m+1, 1, 0, 0, 0, 0, time.UTC)
		default:
			at = time.Date(y+1, 1, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return starts
}

// placeIn is the interval that a group's window lies in; there is one where
// there is a group.
func placeIn(starts []time.Time, g *engine.Group) int {
	after := sort.Search(len(starts), func(i int) bool { return starts[i].UnixMicro() > g.Start })
	return max(after-1, 0) // its window may begin before the range does
}
