package query

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
)

// Names that mean something of their own in groupby and filters.
const (
	attrType    = "type"       // the meter's slug
	attrAccount = "project_id" // CloudKitty's scope key
	attrTime    = "time"
	attrUnit    = "unit" // of a data frame's point
)

// noProject is the account of data frames' points that name none.
const noProject = "_none"

// timeColumns are the time groupings and the attributes that they stand for.
var timeColumns = map[string]string{"time-d": "day_of_the_year", "time-w": "week_of_the_year",
	"time-m": "month", "time-y": "year"}

// timeAttributes say of an hour what CloudKitty's collector says of a row:
// strftime's %-j, %U, %-m and %Y. The size is that of the largest windows that
// tell.
var timeAttributes = map[string]struct {
	of   func(t time.Time) string
	size engine.Size
}{
	"day_of_the_year": {func(t time.Time) string { return strconv.Itoa(t.YearDay()) }, engine.Day},
	"week_of_the_year": {func(t time.Time) string {
		return fmt.Sprintf("%02d", (t.YearDay()+6-int(t.Weekday()))/7) // Sunday first
	}, engine.Day},
	"month": {func(t time.Time) string { return strconv.Itoa(int(t.Month())) }, engine.Month},
	"year":  {func(t time.Time) string { return fmt.Sprintf("%04d", t.Year()) }, engine.Year},
}

// timeAttribute is the time attribute that a groupby name stands for.
func timeAttribute(name string) (string, bool) {
	if column, ok := timeColumns[name]; ok {
		name = column
	}
	_, ok := timeAttributes[name]
	return name, ok
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
	if own := api.CallerOf(r.Context()).Accounts(); own != nil {
		p.filters[attrAccount] = own // replaced, whatever was asked for
		p.scoped = true
	}
	var sources []summarySource
	for _, m := range schemas.Meters {
		if m.Billable {
			sources = append(sources, nativeSource(m))
		}
	}
	sources = append(sources, ratedSource)
	var questions []*engine.Question
	for i := range sources {
		questions = append(questions, p.question(&sources[i]))
	}
	split, err := q.byCurrency(r, p, questions)
	if err != nil {
		return err
	}
	answers, err := q.engine.Ask(r.Context(), questions...)
	if err != nil {
		return err
	}
	answers.SetHeaders(w.Header())
	s := newSummary(p, q.cfg.MaxRows)
	for i := range sources {
		for _, g := range answers.Groups[i] {
			if err := s.add(&sources[i], g, split.currency(i, g)); err != nil {
				return err
			}
		}
	}
	return p.send(w, r, s.sorted())
}

// summarySource is a family whose events enter the summary.
type summarySource struct {
	family *schemas.Family
	need   engine.Need
	// name is what the engine calls an attribute; constant: every event has
	// this value of it.
	name  func(attribute string) (name string, constant string)
	value func(g *engine.Group) schemas.Decimal
}

// nativeSource is a billable meter of native events.
func nativeSource(m schemas.Meter) summarySource {
	p := meterParams{meter: m}
	return summarySource{family: m.Family, need: p.need() | engine.Amount,
		name: func(attribute string) (string, string) {
			switch {
			case attribute == attrType:
				return "", m.Slug
			case attribute == attrAccount:
				return engine.Account, ""
			case slices.Contains(m.GroupBy, attribute):
				return attribute, ""
			}
			return "", ""
		},
		value: func(g *engine.Group) schemas.Decimal {
			value, _ := p.value(g)
			return value
		}}
}

// ratedSource is the points of data frames.
var ratedSource = summarySource{family: schemas.FamilyRated, need: engine.Quantity | engine.Amount,
	name: func(attribute string) (string, string) {
		switch attribute {
		case attrType:
			return "metric", ""
		case attrAccount:
			return engine.Account, ""
		case attrUnit:
			return "unit", ""
		}
		return engine.Attribute + attribute, ""
	},
	value: func(g *engine.Group) schemas.Decimal { return g.Quantity }}

// question asks for a source's part of the summary; one that can match nothing
// asks for no time.
func (p *summaryParams) question(s *summarySource) *engine.Question {
	q := &engine.Question{Family: s.family, Need: s.need, From: p.begin.UnixMicro(), To: p.end.UnixMicro(),
		Filters: make(map[string][]string)}
	for key, want := range p.filters {
		if _, isTime := timeAttributes[key]; isTime {
			continue
		}
		name, constant := s.name(key)
		switch {
		case name == engine.Account:
			q.Accounts = slices.Clone(want)
			if slices.Contains(want, "") && !p.scoped {
				q.Accounts = append(q.Accounts, noProject)
			}
		case name != "":
			q.Filters[name] = want
		case !slices.Contains(want, constant):
			q.To = q.From
		}
	}
	for _, attribute := range p.groupBy {
		if name, _ := s.name(attribute); name != "" && !p.ofTime(attribute) {
			q.GroupBy = append(q.GroupBy, name)
		}
	}
	q.Window = p.window()
	return q
}

// ofTime says that a groupby name is a time grouping.
func (p *summaryParams) ofTime(name string) bool {
	_, ok := timeAttribute(name)
	return ok || name == attrTime
}

// window divides time as far as groups or filters tell it apart: by the hour
// for time, else by what the attributes say of a window, so that days of
// different years share a group.
func (p *summaryParams) window() engine.Window {
	var w engine.Window
	finer := func(size engine.Size) {
		order := []engine.Size{"", engine.Year, engine.Month, engine.Day, engine.Hour}
		if slices.Index(order, size) > slices.Index(order, w.Size) {
			w.Size = size
		}
	}
	for key, want := range p.filters {
		attr, ok := timeAttributes[key]
		if !ok {
			continue
		}
		finer(attr.size)
		before := w.Keep
		w.Keep = func(t time.Time) bool { return slices.Contains(want, attr.of(t)) && (before == nil || before(t)) }
	}
	for _, name := range p.groupBy {
		if attribute, ok := timeAttribute(name); ok {
			finer(timeAttributes[attribute].size)
			w.Labels = append(w.Labels, timeAttributes[attribute].of)
		}
	}
	switch {
	case slices.Contains(p.groupBy, attrTime):
		w.Size, w.Labels = engine.Hour, nil
	case w.Keep != nil && w.Labels == nil: // windows choose, and do not divide
		w.Labels = []func(time.Time) string{func(time.Time) string { return "" }}
	}
	return w
}

// isoTime is CloudKitty's form of a time.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }
