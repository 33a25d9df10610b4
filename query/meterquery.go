package query

import (
	"math"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) queryMeter(w http.ResponseWriter, r *http.Request) error {
	m, err := meterOf(r)
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
	fold := newMeterFold(p, q.cfg.MaxRows)
	err = q.readRollups(w, r, []schemas.Topic{m.Family.Topic}, func(v *store.View) error {
		return v.Rollups(p.rollups(), fold.add)
	})
	if err != nil {
		return err
	}
	rows := fold.rows()
	if wantsCSV(r.Header.Get("Accept")) {
		return writeMeterCSV(w, p, rows)
	}
	return writeMeterJSON(w, p, rows)
}

// meterFold folds rollup rows into the rows of an answer.
type meterFold struct {
	p       *meterParams
	groups  *groups
	windows *windows
	dims    []int // positions of p.groupBy
	names   []string
	first   schemas.Hour
}

func newMeterFold(p *meterParams, limit int) *meterFold {
	f := &meterFold{p: p, groups: newGroups(limit), windows: newWindows(p.size, p.zone), first: math.MaxInt32}
	for _, name := range p.groupBy {
		f.dims = append(f.dims, p.meter.Family.Dim(name))
	}
	return f
}

func (f *meterFold) add(row *store.Rollup) error {
	var window span // of the whole range; it gets its edges in rows
	if f.p.size != "" {
		var err error
		if window, err = f.windows.of(row.Window); err != nil {
			return err
		}
	}
	f.first = min(f.first, row.Window)
	f.names = f.names[:0]
	if f.p.bySubject || f.p.subjectImplied {
		f.names = append(f.names, row.Series.Account)
	}
	for _, d := range f.dims {
		f.names = append(f.names, row.Series.Dims[d])
	}
	return f.groups.add(window, f.names, &row.Measures)
}

// meterRow is one row of an answer.
type meterRow struct {
	value      schemas.Decimal
	start, end time.Time
	subject    *string
	names      []string // values of p.groupBy
	*schemas.Measures
}

// rows are the answer's rows in order: window, subject, groups. Where from was
// not given it becomes the start of the month of the first data.
func (f *meterFold) rows() []meterRow {
	p := f.p
	if p.from.IsZero() && f.first != math.MaxInt32 {
		p.from = f.first.Day().MonthStart().Time()
	}
	list := f.groups.sorted(byWindowThenNames)
	if len(list) == 0 && p.meter.Aggregation == schemas.Count && p.size == "" && !p.bySubject && len(p.groupBy) == 0 {
		list = []*group{{names: p.subjects}} // nothing was counted: 0, said in a row
	}
	rows := make([]meterRow, 0, len(list))
	for _, g := range list {
		value, ok := valueOf(p.meter, &g.Measures)
		if !ok && (p.size != "" || g.Count != 0 || p.meter.Aggregation != schemas.Count) {
			continue
		}
		row := meterRow{value: value, start: p.from, end: p.to, names: g.names, Measures: &g.Measures}
		if p.size != "" {
			row.start, row.end = g.window.start.Time(), g.window.end.Time()
		}
		if p.bySubject || p.subjectImplied {
			row.subject, row.names = &g.names[0], g.names[1:]
		}
		rows = append(rows, row)
	}
	return rows
}

// wantsCSV: text/csv is named before JSON or anything. Weights are not read.
func wantsCSV(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		kind, _, _ := strings.Cut(part, ";")
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "text/csv":
			return true
		case "application/json", "*/*":
			return false
		}
	}
	return false
}
