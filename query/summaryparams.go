package query

import (
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallybook/api"
)

const maxGroupBy = 32 // names; each is a column of every row, or a filter

// summaryParams are the parameters of /v2/summary, checked.
type summaryParams struct {
	offset, limit int64
	begin, end    time.Time
	groupBy       []string            // in request order, each once
	filters       map[string][]string // AND across keys, OR among values
	object        bool
	scoped        bool // project_id is the caller's own
}

// parseSummaryParams holds the parameters against summary-v2.md.
func parseSummaryParams(values url.Values, now time.Time) (*summaryParams, error) {
	now = now.UTC()
	p := &summaryParams{
		limit:   100,
		begin:   time.Date(now.Year(), now.Month(), 1, 0, 0, 0, 0, time.UTC),
		end:     time.Date(now.Year(), now.Month()+1, 1, 0, 0, 0, 0, time.UTC),
		filters: make(map[string][]string),
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names) // of several mistakes always the same one is named
	for _, name := range names {
		if err := p.set(name, values[name]); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *summaryParams) set(name string, values []string) (err error) {
	switch name {
	case "groupby":
		return p.setGroupBy(values)
	case "filters", "filter":
		return p.setFilters(name, values)
	case "offset", "limit", "begin", "end", "response_format":
	default:
		return api.Invalid(name, "unknown parameter %q; allowed are offset, limit, begin, end, groupby, filters, filter and response_format", name)
	}
	if len(values) != 1 {
		return api.Invalid(name, "%s may be given once", name)
	}
	text := values[0]
	switch name {
	case "offset":
		p.offset, err = wholeNumber(name, text, 0)
	case "limit":
		p.limit, err = wholeNumber(name, text, 1)
	case "begin":
		if p.begin, err = parseISODate(text); err != nil {
			return api.Invalid(name, "%s: %q %v", name, text, err)
		}
	case "end":
		if p.end, err = parseISODate(text); err != nil {
			return api.Invalid(name, "%s: %q %v", name, text, err)
		}
	case "response_format":
		if text != "table" && text != "object" {
			return api.Invalid(name, "response_format must be table or object, not %q", text)
		}
		p.object = text == "object"
	}
	return err
}

func wholeNumber(name, text string, least int64) (int64, error) {
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return 0, api.Invalid(name, "%s must be a whole number, not %q", name, text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil { // beyond 64 bits: as good as the greatest
		n = math.MaxInt64
	}
	if n < least || text[0] == '-' && err != nil {
		return 0, api.Invalid(name, "%s must be at least %d", name, least)
	}
	return n, nil
}

func (p *summaryParams) setGroupBy(values []string) error {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name == "" {
				return api.Invalid("groupby", "groupby has an empty name")
			}
			if slices.Contains(p.groupBy, name) {
				continue
			}
			if p.groupBy = append(p.groupBy, name); len(p.groupBy) > maxGroupBy {
				return api.Invalid("groupby", "groupby has more than %d names", maxGroupBy)
			}
		}
	}
	return nil
}

func (p *summaryParams) setFilters(param string, values []string) error {
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			key, want, ok := strings.Cut(item, ":")
			if !ok || strings.Contains(want, ":") {
				return api.Invalid(param, "%s: %q must be key:value with exactly one colon", param, item)
			}
			if p.filters[key] = append(p.filters[key], want); len(p.filters[key]) > maxValues {
				return api.Invalid(param, "%s has more than %d values of %q", param, maxValues, key)
			}
			if len(p.filters) > maxGroupBy {
				return api.Invalid(param, "%s has more than %d keys", param, maxGroupBy)
			}
		}
	}
	return nil
}
