package query

import (
	"net/http"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/query/table"
	"tallybook/schemas"
)

func (q *Server) usageEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/usage", Access: api.Account, Form: api.PlainForm, Handle: q.getUsage},
	}
}

// usageNumbers are the numbers of an interval. Averages, extremes and quantiles
// are 0 where no request had a time.
type usageNumbers struct {
	Requests int64           `json:"requests"`
	Errors   int64           `json:"errors"` // error events
	Average  schemas.Decimal `json:"averageTimeInMilliSeconds"`
	Min      schemas.Decimal `json:"minTimeInMilliSeconds"`
	Max      schemas.Decimal `json:"maxTimeInMilliSeconds"`
	P50      schemas.Decimal `json:"p50"`
	P95      schemas.Decimal `json:"p95"`
	P99      schemas.Decimal `json:"p99"`
	Quantity schemas.Decimal `json:"quantity"`
	Amount   string          `json:"amount"`
	Currency string          `json:"currency"`

	amount schemas.Decimal
}

type usageInterval struct {
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
	usageNumbers
}

// getUsage answers GET /v1/usage.
func (q *Server) getUsage(w http.ResponseWriter, r *http.Request) error {
	p, _, err := q.usageParams(r)
	if err != nil {
		return err
	}
	currency, err := q.currencyOf(r, p.accounts)
	if err != nil {
		return err
	}
	starts := p.windowStarts()
	answers, err := q.engine.Ask(r.Context(), p.usageQuestions()...)
	if err != nil {
		return err
	}
	list := make([]usageInterval, len(starts))
	for i := range list {
		list[i] = usageInterval{Start: starts[i], End: p.to, usageNumbers: usageNumbers{Amount: "0.00", Currency: currency}}
		if i > 0 {
			list[i-1].End = starts[i]
		}
	}
	total := usageNumbers{Amount: "0.00", Currency: currency}
	for i, groups := range answers.Groups {
		for _, g := range groups {
			n := &total
			if i < 2 {
				n = &list[placeIn(starts, g)].usageNumbers
			}
			n.take(i%2 == 1, g)
		}
	}
	answers.SetHeaders(w.Header())
	if table.FormatOf(r.Header.Get("Accept")) != table.JSON {
		return sendUsage(w, r, list)
	}
	w.Header().Add("Vary", "Accept")
	api.WriteJSON(w, http.StatusOK, struct {
		IntervalType string          `json:"intervalType"`
		From         time.Time       `json:"fromDate"`
		To           time.Time       `json:"toDate"`
		Intervals    []usageInterval `json:"intervals"`
		Totals       usageNumbers    `json:"totals"`
	}{p.kind, p.from, p.to, list, total})
	return nil
}

var usageColumns = []table.Column{{Name: "start", Type: table.Time}, {Name: "end", Type: table.Time}, {Name: "requests", Type: table.Int},
	{Name: "errors", Type: table.Int}, {Name: "averageTimeInMilliSeconds", Type: table.Decimal}, {Name: "minTimeInMilliSeconds", Type: table.Decimal},
	{Name: "maxTimeInMilliSeconds", Type: table.Decimal}, {Name: "p50", Type: table.Decimal}, {Name: "p95", Type: table.Decimal},
	{Name: "p99", Type: table.Decimal}, {Name: "quantity", Type: table.Decimal}, {Name: "amount", Type: table.Decimal}, {Name: "currency"}}

// sendUsage sends the intervals in CSV or Arrow, without the totals.
func sendUsage(w http.ResponseWriter, r *http.Request, list []usageInterval) error {
	t := table.Table{Columns: usageColumns}
	return t.Send(w, r, func(row func(...table.Cell) error) error {
		for i := range list {
			n := &list[i]
			err := row(table.Micros(n.Start.UnixMicro()), table.Micros(n.End.UnixMicro()), table.Integer(n.Requests), table.Integer(n.Errors),
				table.Dec(n.Average), table.Dec(n.Min), table.Dec(n.Max), table.Dec(n.P50), table.Dec(n.P95), table.Dec(n.P99),
				table.Dec(n.Quantity), table.Dec(n.amount), table.String(n.Currency))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// usageQuestions are requests and errors by interval, then over the whole range.
func (p *usageParams) usageQuestions() []*engine.Question {
	var questions []*engine.Question
	for _, window := range []engine.Window{{Size: p.interval.size}, {}} {
		for _, family := range []*schemas.Family{schemas.FamilyRequest, schemas.FamilyError} {
			question := p.question(family, window)
			if family == schemas.FamilyRequest {
				question.Need = engine.Quantity | engine.Values | engine.Extremes | engine.Amount | engine.Quantiles
			}
			questions = append(questions, question)
		}
	}
	return questions
}

func (p *usageParams) question(family *schemas.Family, window engine.Window) *engine.Question {
	return &engine.Question{Family: family, From: p.from.UnixMicro(), To: p.to.UnixMicro(), Accounts: p.accounts,
		Filters: p.filters, Window: window}
}

// take fills in a group of error events, or of requests.
func (n *usageNumbers) take(errors bool, g *engine.Group) {
	if errors {
		n.Errors = g.Count
		return
	}
	n.Requests, n.Quantity, n.amount, n.Amount = g.Count, g.Quantity, g.Amount, moneyText(g.Amount)
	if g.ValueCount > 0 {
		n.Average, n.Min, n.Max = average(g.ValueSum, g.ValueCount), g.ValueMin, g.ValueMax
	}
	n.P50, n.P95, n.P99 = quantileOf(g, 0.50), quantileOf(g, 0.95), quantileOf(g, 0.99)
}

func quantileOf(g *engine.Group, p float64) schemas.Decimal {
	value, _ := g.Quantile(p) // 0 where there is none
	return value
}

// moneyText is an exact amount with two digits at least.
func moneyText(d schemas.Decimal) string {
	text := d.String()
	_, fraction, _ := strings.Cut(text, ".")
	switch len(fraction) {
	case 0:
		return text + ".00"
	case 1:
		return text + "0"
	}
	return text
}

const (
	defaultCurrency = "USD" // of accounts whose customers say nothing, since there are none
	noCurrency      = "XXX" // ISO 4217 for amounts of several
)

// currencyOf is the currency of the amounts of accounts, which is that of their
// customers; nil: all accounts.
func (q *Server) currencyOf(r *http.Request, accounts []string) (string, error) {
	account := ""
	if len(accounts) == 1 {
		account = accounts[0]
	}
	list, err := q.cfg.Store.Currencies(r.Context(), account)
	switch {
	case err != nil:
		return "", err
	case len(list) == 0:
		return defaultCurrency, nil
	case len(list) == 1:
		return list[0], nil
	}
	return noCurrency, nil
}
