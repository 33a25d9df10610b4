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
	Requests int64             `json:"requests"`
	Errors   int64             `json:"errors"` // error events
	Average  schemas.Decimal   `json:"averageTimeInMilliSeconds"`
	Min      schemas.Decimal   `json:"minTimeInMilliSeconds"`
	Max      schemas.Decimal   `json:"maxTimeInMilliSeconds"`
	P50      schemas.Decimal   `json:"p50"`
	P95      schemas.Decimal   `json:"p95"`
	P99      schemas.Decimal   `json:"p99"`
	Quantity schemas.Decimal   `json:"quantity"`
	Amount   *string           `json:"amount"` // nil: of several currencies, which do not add up
	Currency string            `json:"currency"`
	Amounts  map[string]string `json:"amounts,omitempty"` // by currency, where there are several

	amounts map[string]schemas.Decimal // by currency
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
	questions := p.usageQuestions()
	var payers payers
	if currency == noCurrency {
		if payers, err = q.payers(r.Context(), p.accounts); err != nil {
			return err
		}
		questions = append(questions, p.amountQuestions()...)
	}
	starts := p.windowStarts()
	answers, err := q.engine.Ask(r.Context(), questions...)
	if err != nil {
		return err
	}
	list := make([]usageInterval, len(starts))
	for i := range list {
		list[i] = usageInterval{Start: starts[i], End: p.to, usageNumbers: usageNumbers{Currency: currency}}
		if i > 0 {
			list[i-1].End = starts[i]
		}
	}
	total := usageNumbers{Currency: currency}
	for i, groups := range answers.Groups {
		question := questions[i]
		for _, g := range groups {
			n, of := &total, currency
			if question.Window.Size != "" {
				n = &list[placeIn(starts, g)].usageNumbers
			}
			if len(question.GroupBy) > 0 {
				of = payers.currency(g.Names[0])
			} else {
				n.take(question.Family == schemas.FamilyError, g)
			}
			if err := n.addAmount(of, g.Amount); err != nil {
				return err
			}
		}
	}
	for i := range list {
		list[i].showAmounts()
	}
	total.showAmounts()
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
			amount := table.Null
			if n.Currency != noCurrency {
				amount = table.Dec(n.amounts[n.Currency])
			}
			err := row(table.Micros(n.Start.UnixMicro()), table.Micros(n.End.UnixMicro()), table.Integer(n.Requests), table.Integer(n.Errors),
				table.Dec(n.Average), table.Dec(n.Min), table.Dec(n.Max), table.Dec(n.P50), table.Dec(n.P95), table.Dec(n.P99),
				table.Dec(n.Quantity), amount, table.String(n.Currency))
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

// amountQuestions are the amounts of requests by account, by interval and over
// the whole range, for accounts with several currencies.
func (p *usageParams) amountQuestions() (questions []*engine.Question) {
	for _, window := range []engine.Window{{Size: p.interval.size}, {}} {
		question := p.question(schemas.FamilyRequest, window)
		question.Need, question.GroupBy = engine.Amount, []string{engine.Account}
		questions = append(questions, question)
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
	n.Requests, n.Quantity = g.Count, g.Quantity
	if g.ValueCount > 0 {
		n.Average, n.Min, n.Max = average(g.ValueSum, g.ValueCount), g.ValueMin, g.ValueMax
	}
	n.P50, n.P95, n.P99 = quantileOf(g, 0.50), quantileOf(g, 0.95), quantileOf(g, 0.99)
}

func (n *usageNumbers) addAmount(currency string, d schemas.Decimal) error {
	sum, err := n.amounts[currency].Add(d)
	if n.amounts == nil {
		n.amounts = map[string]schemas.Decimal{}
	}
	n.amounts[currency] = sum
	return err
}

// showAmounts writes the amount, or those of several currencies apart.
func (n *usageNumbers) showAmounts() {
	if n.Currency != noCurrency {
		text := moneyText(n.amounts[n.Currency])
		n.Amount = &text
		return
	}
	n.Amounts = map[string]string{}
	for currency, d := range n.amounts {
		if currency != noCurrency { // the sum of all, which says nothing
			n.Amounts[currency] = moneyText(d)
		}
	}
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
