package query

import (
	"cmp"
	"context"
	"net/http"
	"slices"

	"tallybook/api"
	"tallybook/query/engine"
	"tallybook/query/table"
	"tallybook/store"
)

// revenue answers by names of the requests, the greatest amount first.
func (q *Server) revenue(names ...string) api.Handler {
	columns := slices.Concat(routeColumns[:len(names)], earningColumns)
	return func(w http.ResponseWriter, r *http.Request) error {
		p, err := q.analyticsParams(r, thirtyDays)
		if err != nil {
			return err
		}
		payers, err := q.payers(r.Context(), p.accounts)
		if err != nil {
			return err
		}
		answers, err := q.engine.Ask(r.Context(), p.question(revenueNeed, append([]string{engine.Account}, names...)...))
		if err != nil {
			return err
		}
		var all earnings
		for _, g := range answers.Groups[0] {
			if err := all.add(g, 0, payers.currency(g.Names[0]), g.Names[1:]...); err != nil {
				return err
			}
		}
		var rows [][]table.Cell
		for _, e := range all.sorted() {
			rows = append(rows, e.cells(nameCells(e.names)))
		}
		answers.SetHeaders(w.Header())
		return p.send(w, r, columns, rows)
	}
}

// monthRevenue answers by UTC month, in order; of more months than the limit
// the latest.
func (q *Server) monthRevenue(w http.ResponseWriter, r *http.Request) error {
	p, err := q.analyticsParams(r, twelveMonths)
	if err != nil {
		return err
	}
	payers, err := q.payers(r.Context(), p.accounts)
	if err != nil {
		return err
	}
	question := p.question(revenueNeed, engine.Account)
	question.Window.Size = engine.Month
	answers, err := q.engine.Ask(r.Context(), question)
	if err != nil {
		return err
	}
	var all earnings
	for _, g := range answers.Groups[0] {
		if err := all.add(g, g.Start, payers.currency(g.Names[0])); err != nil {
			return err
		}
	}
	slices.SortFunc(all.list, func(a, b *earning) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.currency, b.currency))
	})
	var rows [][]table.Cell
	for _, e := range all.list[max(0, len(all.list)-p.limit):] {
		rows = append(rows, e.cells([]table.Cell{table.Micros(e.start)}))
	}
	answers.SetHeaders(w.Header())
	return p.send(w, r, slices.Concat([]table.Column{{Name: "month", Type: table.Time}}, earningColumns), rows)
}

// customerRevenue answers by customer. All that an account with one customer
// used is that customer's, so that rollups answer; where customers share an
// account, the archive says whose each event is.
func (q *Server) customerRevenue(w http.ResponseWriter, r *http.Request) error {
	p, err := q.analyticsParams(r, thirtyDays)
	if err != nil {
		return err
	}
	payers, err := q.payers(r.Context(), p.accounts)
	if err != nil {
		return err
	}
	questions := []*engine.Question{p.question(revenueNeed, engine.Account)}
	if shared := payers.shared(); len(shared) > 0 {
		byCustomer := p.question(revenueNeed, engine.Account, "customer")
		byCustomer.Accounts = shared
		questions = append(questions, byCustomer)
	}
	answers, err := q.engine.Ask(r.Context(), questions...)
	if err != nil {
		return err
	}
	var all earnings
	for i, groups := range answers.Groups {
		for _, g := range groups {
			account, customer := g.Names[0], ""
			switch of := payers[account]; {
			case i == 1:
				customer = g.Names[1]
			case len(of) > 1:
				continue // the other question answers
			case len(of) == 1:
				customer = of[0].ID
			}
			if err := all.add(g, 0, payers.currency(account), customer, payers.name(account, customer), account); err != nil {
				return err
			}
		}
	}
	var rows [][]table.Cell
	for _, e := range all.sorted() {
		cells := nameCells(e.names)
		if e.names[0] == "" { // nobody's: an account without customers, or an event that names none
			cells[0], cells[1] = table.Null, table.Null
		}
		rows = append(rows, e.cells(cells))
	}
	answers.SetHeaders(w.Header())
	return p.send(w, r, slices.Concat([]table.Column{{Name: "customer"}, {Name: "customerName"}, {Name: "account"}}, earningColumns), rows)
}

// payers are customers by account.
type payers map[string][]store.Customer

// maxPayers bounds the customers that one answer looks at.
const maxPayers = 200_000

// payers reads the customers of accounts, nil: of all.
func (q *Server) payers(ctx context.Context, accounts []string) (payers, error) {
	account := ""
	if len(accounts) == 1 {
		account = accounts[0]
	}
	all, after, n := payers{}, "", 0
	for {
		const page = 1000
		list, err := q.cfg.Store.Customers(ctx, store.CustomerFilter{Account: account, After: after, Limit: page})
		if err != nil {
			return nil, err
		}
		for _, c := range list {
			all[c.Account] = append(all[c.Account], c)
			after = c.ID
		}
		if n += len(list); n > maxPayers {
			return nil, &api.Failure{Status: http.StatusUnprocessableEntity, Detail: "there are too many customers for one answer; ask by account, with X-Account-ID"}
		}
		if len(list) < page {
			return all, nil
		}
	}
}

func (p payers) currency(account string) string {
	if of := p[account]; len(of) > 0 {
		return of[0].Currency // one for all customers of an account
	}
	return defaultCurrency
}

func (p payers) name(account, customer string) string {
	for _, c := range p[account] {
		if c.ID == customer {
			return c.Name
		}
	}
	return ""
}

// shared are the accounts of several customers.
func (p payers) shared() (accounts []string) {
	for account, of := range p {
		if len(of) > 1 {
			accounts = append(accounts, account)
		}
	}
	slices.Sort(accounts)
	return accounts
}
