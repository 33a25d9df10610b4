package query

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) queryMeter(w http.ResponseWriter, r *http.Request) error {
	m, err := q.meterOf(r.Context(), mux.Vars(r)["slug"])
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.Invalid("", "the query string does not parse: %v", err)
	}
	p, err := parseMeterParams(m, values, q.cfg.Now())
	if err != nil {
		return err
	}
	if err := p.scope(api.CallerOf(r.Context())); err != nil {
		return err
	}
	answers, err := q.engine.Ask(r.Context(), p.question())
	if err != nil {
		return err
	}
	answers.SetHeaders(w.Header())
	return p.send(w, r, p.rows(answers))
}

// meterOf is a built-in or a declared meter.
func (q *Server) meterOf(ctx context.Context, slug string) (schemas.Meter, error) {
	if m, ok := schemas.MeterBySlug(slug); ok {
		return m, nil
	}
	var declared store.DeclaredMeter
	err := q.cfg.Store.View(ctx, func(v *store.View) (err error) {
		declared, err = v.Meter(slug)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return schemas.Meter{}, api.NotFound("there is no meter %q; GET /api/v1/meters lists them", slug)
	}
	return declared.Meter, err
}

// meterRow is one row of an answer.
type meterRow struct {
	value      schemas.Decimal
	start, end time.Time // start is zero where from is not known
	subject    *string
	names      []string // values of groupBy
	*engine.Group
}

// rows are the answer's rows: groups that have a value of the meter. Where from
// was not given it becomes the start of the month that the data begin in.
func (p *meterParams) rows(a *engine.Answers) []meterRow {
	if p.from.IsZero() && a.First != 0 {
		first := time.UnixMicro(a.First).UTC()
		p.from = time.Date(first.Year(), first.Month(), 1, 0, 0, 0, 0, time.UTC)
	}
	groups := a.Groups[0]
	if len(groups) == 0 && p.countsNothing() && p.size == "" && !p.bySubject && len(p.groupBy) == 0 {
		groups = []*engine.Group{{Names: p.subjects}} // nothing was counted: 0, said in a row
	}
	rows := make([]meterRow, 0, len(groups))
	for _, g := range groups {
		value, ok := p.value(g)
		if !ok && (p.size != "" || !p.countsNothing()) {
			continue
		}
		row := meterRow{value: value, start: p.from, end: p.to, names: g.Names, Group: g}
		if p.size != "" {
			row.start, row.end = time.UnixMicro(g.Start).UTC(), time.UnixMicro(g.End).UTC()
		}
		if p.bySubject || p.subjectImplied {
			row.subject, row.names = &g.Names[0], g.Names[1:]
		}
		rows = append(rows, row)
	}
	return rows
}

// countsNothing says that no events are a number, 0.
func (p *meterParams) countsNothing() bool {
	return p.meter.Aggregation == schemas.Count || p.meter.Aggregation == schemas.UniqueCount
}

// value is what the meter reads of a group; false: it has no value.
func (p *meterParams) value(g *engine.Group) (schemas.Decimal, bool) {
	switch p.meter.Measure {
	case schemas.MeasureCount:
		return schemas.DecimalFromInt(g.Count), g.Count != 0
	case schemas.MeasureQuantity:
		return g.Quantity, g.Count != 0
	case schemas.MeasureBytes:
		return schemas.DecimalFromInt(g.Bytes), g.Count != 0
	}
	has := g.ValueCount > 0
	switch p.meter.Aggregation {
	case schemas.Avg:
		if !has {
			return schemas.Decimal{}, false
		}
		return average(g.ValueSum, g.ValueCount), true
	case schemas.Min:
		return g.ValueMin, has
	case schemas.Max:
		return g.ValueMax, has
	case schemas.UniqueCount:
		return schemas.DecimalFromInt(g.Distinct), g.Distinct != 0
	case schemas.Latest:
		return g.Latest, g.HasLatest
	case schemas.Percentile:
		return g.Quantile(p.meter.Percentiles[0] / 100)
	}
	return g.ValueSum, has
}

// percentileName is "p50", "p99.9".
func percentileName(p float64) string { return "p" + strconv.FormatFloat(p, 'f', -1, 64) }
