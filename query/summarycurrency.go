package query

import (
	"net/http"
	"slices"

	"tallybook/query/engine"
	"tallybook/schemas"
)

// currencySplit tells the accounts of groups apart, where customers have
// different currencies and the summary does not ask for accounts. A row's rate
// is then null where it would be of several currencies.
type currencySplit struct {
	payers payers
	at     []int // by question, where a group's names have the account that was not asked for; -1: nowhere
}

// byCurrency adds the account to questions about native events. The points of
// data frames have no currency.
func (q *Server) byCurrency(r *http.Request, p *summaryParams, questions []*engine.Question) (split currencySplit, err error) {
	split.at = slices.Repeat([]int{-1}, len(questions))
	accounts := p.filters[attrAccount]
	if len(accounts) != 1 {
		accounts = nil
	}
	currency, err := q.currencyOf(r, accounts)
	if err != nil || currency != noCurrency {
		return split, err
	}
	if split.payers, err = q.payers(r.Context(), nil); err != nil {
		return split, err
	}
	for i, question := range questions {
		if question.Family != schemas.FamilyRated && !slices.Contains(question.GroupBy, engine.Account) {
			split.at[i] = len(question.GroupBy)
			question.GroupBy = append(question.GroupBy, engine.Account)
		}
	}
	return split, nil
}

// currency takes the account off a group's names of a question, and is its
// currency; "" where it was not added.
func (s *currencySplit) currency(question int, g *engine.Group) string {
	at := s.at[question]
	if at < 0 {
		return ""
	}
	account := g.Names[at]
	g.Names = slices.Delete(slices.Clone(g.Names), at, at+1)
	return s.payers.currency(account)
}
