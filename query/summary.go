package query

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// Names that mean something of their own in groupby and filters.
const (
	attrType    = "type"       // the meter's slug
	attrAccount = "project_id" // CloudKitty's scope key
	attrTime    = "time"
)

// timeColumns are the time groupings and the attributes that they stand for.
var timeColumns = map[string]string{"time-d": "day_of_the_year", "time-w": "week_of_the_year",
	"time-m": "month", "time-y": "year"}

// timeAttributes say of an hour what CloudKitty's collector says of a row:
// strftime's %-j, %U, %-m and %Y. The resolution is the coarsest that tells.
var timeAttributes = map[string]struct {
	of  func(t time.Time) string
	res store.Resolution
}{
	"day_of_the_year": {func(t time.Time) string { return strconv.Itoa(t.YearDay()) }, store.Daily},
	"week_of_the_year": {func(t time.Time) string {
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7) // Sunday first
	}, store.Daily},
	"month": {func(t time.Time) string { return strconv.Itoa(int(t.Month())) }, store.Monthly},
	"year":  {func(t time.Time) string { return fmt.Sprintf("%04d", t.Year()) }, store.Monthly},
}

func (q *Server) summary(w http.ResponseWriter, r *http.Request) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return api.Invalid("", "the query string does not parse: %v", err)
	}
	p, err := parseSummaryParams(values, q.cfg.Now())
	if err != nil {
		return err
	}
	var topics []schemas.Topic
	for _, m := range schemas.Meters {
		if m.Billable && !slices.Contains(topics, m.Family.Topic) {
			topics = append(topics, m.Family.Topic)
		}
	}
	all := newGroups(q.cfg.MaxRows)
	err = q.readRollups(w, r, topics, func(v *store.View) error {
		for _, m := range schemas.Meters {
			if !m.Billable {
				continue
			}
			if err := foldSummary(v, m, p, all); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return writeSummary(w, p, all.sorted(func(a, b *group) int { return slices.Compare(a.names, b.names) }))
}

// foldSummary adds one meter's rows to the groups. The group's Quantity is the
// meter's value, whatever it measures.
func foldSummary(v *store.View, m schemas.Meter, p *summaryParams, all *groups) error {
	query, keep, ok := summaryQuery(m, p)
	if !ok {
		return nil
	}
	names := make([]string, len(p.groupBy))
	byTime := slices.Contains(p.groupBy, attrTime)
	return v.Rollups(query, func(row *store.Rollup) error {
		at := row.Window.Time()
		if !keep(at) {
			return nil
		}
		for i, name := range p.groupBy {
			names[i] = attribute(m, row, at, name)
		}
		var window span
		if byTime {
			window = span{row.Window, row.Window + 1}
		}
		value, _ := valueOf(m, &row.Measures)
		return all.add(window, names, &schemas.Measures{Count: row.Count, Quantity: value, Amount: row.Amount})
	})
}

// attribute is a row's value of a groupby name, "" where it has none.
func attribute(m schemas.Meter, row *store.Rollup, at time.Time, name string) string {
	switch name {
	case attrType:
		return m.Slug
	case attrAccount:
		return row.Series.Account
	case attrTime:
		return isoTime(at)
	}
	if slices.Contains(m.GroupBy, name) {
		return row.Series.Dims[m.Family.Dim(name)]
	}
	if column, ok := timeColumns[name]; ok {
		name = column
	}
	if a, ok := timeAttributes[name]; ok {
		return a.of(at)
	}
	return ""
}

// summaryQuery is the question to the store, with what of the filters is left
// to be asked of each row; false: nothing can match.
func summaryQuery(m schemas.Meter, p *summaryParams) (store.RollupQuery, func(time.Time) bool, bool) {
	query := store.RollupQuery{Family: m.Family, From: hourFrom(p.begin), To: hourFrom(p.end),
		Filter: make(map[int][]string), Resolution: store.Monthly}
	keep := func(time.Time) bool { return true }
	for key, want := range p.filters {
		attr, isTime := timeAttributes[key]
		switch {
		case key == attrType:
			if !slices.Contains(want, m.Slug) {
				return query, nil, false
			}
		case key == attrAccount:
			query.Accounts = want
		case slices.Contains(m.GroupBy, key):
			query.Filter[m.Family.Dim(key)] = want
		case isTime:
			query.Resolution = min(query.Resolution, attr.res)
			before := keep
			keep = func(t time.Time) bool { return before(t) && slices.Contains(want, attr.of(t)) }
		case !slices.Contains(want, ""): // no row has the attribute
			return query, nil, false
		}
	}
	for _, name := range p.groupBy {
		if name == attrTime {
			query.Resolution = store.Hourly
		}
		if column, ok := timeColumns[name]; ok {
			name = column
		}
		if attr, ok := timeAttributes[name]; ok {
			query.Resolution = min(query.Resolution, attr.res)
		}
	}
	return query, keep, query.From < query.To
}

// hourFrom is the first hour that starts at or after t: a row belongs to the
// window that its start lies in.
func hourFrom(t time.Time) schemas.Hour {
	h := schemas.HourOf(t.UnixMicro())
	if h.Time().Before(t) {
		h++
	}
	return h
}

// isoTime is CloudKitty's form of a time.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }

// writeSummary sends one page of the groups, which are in order.
func writeSummary(w http.ResponseWriter, p *summaryParams, list []*group) error {
	total := int64(len(list))
	list = list[min(p.offset, total):]
	list = list[:min(p.limit, int64(len(list)))]
	columns := []string{}
	if len(list) > 0 || p.object {
		columns = p.columns()
	}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, `{"total":%d,`, total)
	if !p.object {
		b, err := json.Marshal(columns)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, `"columns":%s,`, b)
	}
	out.WriteString(`"results":[`)
	for i, g := range list {
		if i > 0 {
			out.WriteByte(',')
		}
		b, err := p.result(columns, g)
		if err != nil {
			return err
		}
		if _, err := out.Write(b); err != nil {
			return err
		}
	}
	format := "table"
	if p.object {
		format = "object"
	}
	fmt.Fprintf(out, `],"format":%q}`+"\n", format)
	return out.Flush()
}

// columns of an answer; time has none of its own.
func (p *summaryParams) columns() []string {
	columns := []string{"begin", "end", "qty", "rate"}
	for _, name := range p.groupBy {
		if name == attrTime {
			continue
		}
		if column, ok := timeColumns[name]; ok {
			name = column
		}
		columns = append(columns, name)
	}
	return columns
}

// result is a group as a table row or an object.
func (p *summaryParams) result(columns []string, g *group) ([]byte, error) {
	begin, end := isoTime(p.begin), isoTime(p.end)
	if g.window != (span{}) {
		begin, end = isoTime(g.window.start.Time()), isoTime(g.window.end.Time())
	}
	cells := []any{begin, end, g.Quantity, g.Amount}
	for i, name := range p.groupBy {
		if name != attrTime {
			cells = append(cells, g.names[i])
		}
	}
	if !p.object {
		return json.Marshal(cells)
	}
	object := make(map[string]any, len(cells))
	for i := len(cells) - 1; i >= 0; i-- { // begin, end, qty, rate win over a groupby of that name
		object[columns[i]] = cells[i]
	}
	return json.Marshal(object)
}
