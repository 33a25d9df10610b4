package query

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/query/table"
	"tallybook/schemas"
)

func (q *Server) analyticsEndpoints() []api.Endpoint {
	get := func(path string, handle api.Handler) api.Endpoint {
		return api.Endpoint{Method: "GET", Path: "/v1/analytics/" + path, Access: api.Account, Form: api.PlainForm, Handle: handle}
	}
	return []api.Endpoint{
		get("time/best", q.bestTimes),
		get("time/routes", q.routeTimes),
		get("revenue/apis", q.revenue("api")),
		get("revenue/routes", q.revenue("api", "version", "endpoint")),
		get("revenue/customers", q.customerRevenue),
		get("revenue/months", q.monthRevenue),
	}
}

// analyticsParams is what every question of analytics may be asked with.
type analyticsParams struct {
	from, to time.Time
	limit    int
	accounts []string
}

// defaultSpan is how far back a question goes that does not say.
func (q *Server) analyticsParams(r *http.Request, defaultSpan func(to time.Time) time.Time) (*analyticsParams, error) {
	values, err := parameters(r, "from", "to", "limit")
	if err != nil {
		return nil, err
	}
	p := &analyticsParams{to: q.cfg.Now().UTC(), accounts: api.CallerOf(r.Context()).Accounts()}
	if p.limit, err = limitOf(values, 100, 1000); err != nil {
		return nil, err
	}
	if text := values.Get("to"); text != "" {
		micros, err := usageDate("to", text)
		if err != nil {
			return nil, err
		}
		p.to = time.UnixMicro(micros).UTC()
	}
	p.from = defaultSpan(p.to)
	if text := values.Get("from"); text != "" {
		micros, err := usageDate("from", text)
		if err != nil {
			return nil, err
		}
		p.from = time.UnixMicro(micros).UTC()
	}
	if p.from.After(p.to) {
		return nil, api.Invalid("from", "from must not be after to")
	}
	return p, nil
}

func thirtyDays(to time.Time) time.Time { return to.AddDate(0, 0, -30) }

func twelveMonths(to time.Time) time.Time {
	return time.Date(to.Year(), to.Month()-11, 1, 0, 0, 0, 0, time.UTC)
}

func (p *analyticsParams) question(need engine.Need, groupBy ...string) *engine.Question {
	return &engine.Question{Family: schemas.FamilyRequest, Need: need, From: p.from.UnixMicro(), To: p.to.UnixMicro(),
		Accounts: p.accounts, GroupBy: groupBy}
}

// send sends the first rows, at most the limit.
func (p *analyticsParams) send(w http.ResponseWriter, r *http.Request, columns []table.Column, rows [][]table.Cell) error {
	t := table.Table{Columns: columns, JSONTail: "]}"}
	b := table.AppendCell([]byte(`{"from":`), table.Time, &table.Cell{Valid: true, Int: p.from.UnixMicro()})
	b = table.AppendCell(append(b, `,"to":`...), table.Time, &table.Cell{Valid: true, Int: p.to.UnixMicro()})
	t.JSONHead = string(append(b, `,"data":[`...))
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for _, cells := range rows[:min(len(rows), p.limit)] {
			if err := row(cells...); err != nil {
				return err
			}
		}
		return nil
	})
}

var routeColumns = []table.Column{{Name: "apiName"}, {Name: "apiVersion"}, {Name: "endpointName"}}

var timeStatColumns = slices.Concat(routeColumns, []table.Column{{Name: "requests", Type: table.Int},
	{Name: "averageTimeInMilliSeconds", Type: table.Decimal}, {Name: "minTimeInMilliSeconds", Type: table.Decimal},
	{Name: "maxTimeInMilliSeconds", Type: table.Decimal}, {Name: "p50", Type: table.Decimal}, {Name: "p95", Type: table.Decimal},
	{Name: "p99", Type: table.Decimal}})

// bestTimes are the routes that have times, the quickest on average first.
func (q *Server) bestTimes(w http.ResponseWriter, r *http.Request) error {
	return q.times(w, r, func(groups []*engine.Group) []*engine.Group {
		groups = slices.DeleteFunc(groups, func(g *engine.Group) bool { return g.ValueCount <= 0 })
		slices.SortStableFunc(groups, func(a, b *engine.Group) int {
			return average(a.ValueSum, a.ValueCount).Cmp(average(b.ValueSum, b.ValueCount))
		})
		return groups
	})
}

// routeTimes are all routes by name; times are null where there are none.
func (q *Server) routeTimes(w http.ResponseWriter, r *http.Request) error {
	return q.times(w, r, func(groups []*engine.Group) []*engine.Group { return groups })
}

func (q *Server) times(w http.ResponseWriter, r *http.Request, order func([]*engine.Group) []*engine.Group) error {
	p, err := q.analyticsParams(r, thirtyDays)
	if err != nil {
		return err
	}
	answers, err := q.engine.Ask(r.Context(), p.question(engine.Values|engine.Extremes|engine.Quantiles, "api", "version", "endpoint"))
	if err != nil {
		return err
	}
	var rows [][]table.Cell
	for _, g := range order(answers.Groups[0]) {
		row := append(nameCells(g.Names), table.Integer(g.Count))
		if g.ValueCount > 0 {
			row = append(row, table.Dec(average(g.ValueSum, g.ValueCount)), table.Dec(g.ValueMin), table.Dec(g.ValueMax))
		} else {
			row = append(row, table.Null, table.Null, table.Null)
		}
		for _, share := range []float64{0.50, 0.95, 0.99} {
			cell := table.Null
			if value, ok := g.Quantile(share); ok {
				cell = table.Dec(value)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	answers.SetHeaders(w.Header())
	return p.send(w, r, timeStatColumns, rows)
}

func nameCells(names []string) []table.Cell {
	cells := make([]table.Cell, len(names), len(names)+8)
	for i, name := range names {
		cells[i] = table.String(name)
	}
	return cells
}

// earning is what names earned in one currency.
type earning struct {
	names    []string
	start    int64 // of the month, where that is asked
	currency string
	schemas.Measures
}

// earnings sums groups by names and currency: amounts of different currencies
// are never added.
type earnings struct {
	list []*earning
	by   map[string]*earning
}

func (e *earnings) add(g *engine.Group, start int64, currency string, names ...string) error {
	key := currency + "\x00" + time.UnixMicro(start).Format(time.RFC3339) + "\x00" + strings.Join(names, "\x00")
	sum := e.by[key]
	if sum == nil {
		if e.by == nil {
			e.by = map[string]*earning{}
		}
		sum = &earning{names: names, start: start, currency: currency}
		e.by[key] = sum
		e.list = append(e.list, sum)
	}
	return sum.Add(&schemas.Measures{Count: g.Count, Quantity: g.Quantity, Amount: g.Amount})
}

// sorted has the greatest amount first.
func (e *earnings) sorted() []*earning {
	slices.SortFunc(e.list, func(a, b *earning) int {
		return cmp.Or(b.Amount.Cmp(a.Amount), slices.Compare(a.names, b.names), cmp.Compare(a.currency, b.currency))
	})
	return e.list
}

var earningColumns = []table.Column{{Name: "amount", Type: table.Decimal}, {Name: "currency"},
	{Name: "requests", Type: table.Int}, {Name: "quantity", Type: table.Decimal}}

func (e *earning) cells(before []table.Cell) []table.Cell {
	return append(before, table.Dec(e.Amount), table.String(e.currency), table.Integer(e.Count), table.Dec(e.Quantity))
}

const revenueNeed = engine.Quantity | engine.Amount
