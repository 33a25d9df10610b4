package query

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
)

// errorCounts are the error events of an interval, by errorCode.
type errorCounts struct {
	Errors int64            `json:"errors"`
	Codes  map[string]int64 `json:"errorCodes"`
}

func (c *errorCounts) take(g *engine.Group) {
	if c.Codes == nil {
		c.Codes = map[string]int64{}
	}
	c.Errors += g.Count
	c.Codes[g.Names[0]] += g.Count
}

type errorInterval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	errorCounts
}

// errorPage answers GET /v1/errors.
type errorPage struct {
	IntervalType string          `json:"intervalType"`
	From         time.Time       `json:"fromDate"`
	To           time.Time       `json:"toDate"`
	Intervals    []errorInterval `json:"intervals"`
	Totals       errorCounts     `json:"totals"`
	Events       []errorEvent    `json:"events"`
	Next         string          `json:"next,omitempty"`
}

// listAPIErrors answers GET /v1/errors: counts by interval and errorCode, and a
// page of the error events themselves, newest first.
func (q *Server) listAPIErrors(w http.ResponseWriter, r *http.Request) error {
	p, values, err := q.usageParams(r, "internal", "errorCode", "limit", "cursor")
	if err != nil {
		return err
	}
	if code := values.Get("errorCode"); code != "" {
		p.filters["error_code"] = []string{code}
	}
	limit, err := limitOf(values, 100, 1000)
	if err != nil {
		return err
	}
	var after *eventPlace
	if text := values.Get("cursor"); text != "" {
		if after, err = parsePlace(text); err != nil {
			return err
		}
	}
	question := p.question(schemas.FamilyError, engine.Window{Size: p.interval.size})
	question.GroupBy = []string{"error_code"}
	answers, err := q.engine.Ask(r.Context(), question)
	if err != nil {
		return err
	}
	page := errorPage{IntervalType: p.kind, From: p.from, To: p.to, Totals: errorCounts{Codes: map[string]int64{}}}
	starts := p.windowStarts()
	page.Intervals = make([]errorInterval, len(starts))
	for i := range starts {
		page.Intervals[i] = errorInterval{Start: starts[i], End: p.to, errorCounts: errorCounts{Codes: map[string]int64{}}}
		if i > 0 {
			page.Intervals[i-1].End = starts[i]
		}
	}
	for _, g := range answers.Groups[0] {
		page.Intervals[placeIn(starts, g)].take(g)
		page.Totals.take(g)
	}
	page.Events = []errorEvent{}
	if page.Totals.Errors > 0 {
		list := eventList{params: p, limit: limit, after: after}
		if page.Events, page.Next, err = list.read(r.Context(), &q.cfg); err != nil {
			return err
		}
	}
	answers.SetHeaders(w.Header())
	if page.Totals.Errors > 0 { // the events themselves are the archive's
		w.Header().Set("X-Data-Source", withArchive(answers.Source))
	}
	api.WriteJSON(w, http.StatusOK, page)
	return nil
}

func withArchive(source string) string {
	if source == "rollups" {
		return "rollups+archive"
	}
	return source
}

// eventPlace is where an event stands in the list: by time, then by its address
// in the log.
type eventPlace struct {
	time      int64
	partition int32
	offset    int64
	row       int32
}

func (a *eventPlace) before(b *eventPlace) bool {
	switch {
	case a.time != b.time:
		return a.time < b.time
	case a.partition != b.partition:
		return a.partition < b.partition
	case a.offset != b.offset:
		return a.offset < b.offset
	}
	return a.row < b.row
}

func (a *eventPlace) String() string {
	return fmt.Sprintf("%d.%d.%d.%d", a.time, a.partition, a.offset, a.row)
}

// parsePlace reads a cursor.
func parsePlace(text string) (*eventPlace, error) {
	parts := strings.Split(text, ".")
	var n [4]int64
	for i := range n {
		var err error
		if len(parts) == len(n) {
			n[i], err = strconv.ParseInt(parts[i], 10, 64)
		}
		if len(parts) != len(n) || err != nil || i != 0 && n[i] < 0 || i%2 == 1 && n[i] > 1<<31-1 {
			return nil, api.Invalid("cursor", "cursor must be next of the page before")
		}
	}
	return &eventPlace{n[0], int32(n[1]), n[2], int32(n[3])}, nil
}
