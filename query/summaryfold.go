package query

import (
	"encoding/binary"
	"slices"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/schemas"
)

// summaryRow is one result.
type summaryRow struct {
	start, end time.Time // of an hour, where time is grouped by
	names      []string  // values of groupby
	qty, rate  schemas.Decimal
	currency   string // of rate; "": not known to be of one, as that of data frames
	mixed      bool   // rate would be of several currencies, which do not add up
}

// summaryRows puts together what the sources answer: groups of the same values
// are one result.
type summaryRows struct {
	p     *summaryParams
	limit int
	rows  map[string]*summaryRow
}

func newSummary(p *summaryParams, limit int) *summaryRows {
	return &summaryRows{p: p, limit: limit, rows: make(map[string]*summaryRow)}
}

func (s *summaryRows) add(src *summarySource, g *engine.Group, currency string) (err error) {
	row := summaryRow{names: s.names(src, g), start: time.UnixMicro(g.Start).UTC(), end: time.UnixMicro(g.End).UTC()}
	var key []byte
	for _, name := range row.names {
		key = append(binary.AppendUvarint(key, uint64(len(name))), name...)
	}
	to := s.rows[string(key)]
	if to == nil {
		if len(s.rows) >= s.limit {
			return &api.Failure{Status: 422, Detail: "the summary has more groups than one answer may; ask for a shorter period, fewer groupby names or a filter"}
		}
		to = &row
		s.rows[string(key)] = to
	}
	if to.qty, err = to.qty.Add(src.value(g)); err != nil {
		return err
	}
	if currency != "" && !g.Amount.IsZero() {
		to.mixed = to.mixed || to.currency != "" && to.currency != currency
		to.currency = currency
	}
	to.rate, err = to.rate.Add(g.Amount)
	return err
}

// names are the group's values in the order of groupby. The engine gives them
// by its names, and the labels of time behind them.
func (s *summaryRows) names(src *summarySource, g *engine.Group) []string {
	names := make([]string, len(s.p.groupBy))
	next := 0
	take := func() string {
		next++
		return g.Names[next-1]
	}
	for i, attribute := range s.p.groupBy {
		name, constant := src.name(attribute)
		switch {
		case s.p.ofTime(attribute):
		case name == "":
			names[i] = constant
		default:
			if names[i] = take(); name == engine.Account && names[i] == noProject {
				names[i] = ""
			}
		}
	}
	byHour := slices.Contains(s.p.groupBy, attrTime)
	for i, attribute := range s.p.groupBy {
		column, ok := timeAttribute(attribute)
		switch {
		case attribute == attrTime:
			names[i] = isoTime(time.UnixMicro(g.Start))
		case ok && byHour:
			names[i] = timeAttributes[column].of(time.UnixMicro(g.Start).UTC())
		case ok:
			names[i] = take()
		}
	}
	return names
}

// sorted are the results in the order of their values, as strings.
func (s *summaryRows) sorted() []*summaryRow {
	list := make([]*summaryRow, 0, len(s.rows))
	for _, row := range s.rows {
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b *summaryRow) int { return slices.Compare(a.names, b.names) })
	return list
}
