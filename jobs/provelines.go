package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

func (p *prover) lines(context.Context) error {
	for i := range p.doc.Lines {
		l := &p.doc.Lines[i]
		if err := p.line(l); err != nil {
			return fmt.Errorf("line %d, %s: %w", i+1, title(&l.Price), err)
		}
		p.Say(fmt.Sprintf("line %d, %s of %s, %s: quantity %s, %d rows, sum %s, %s %s", i+1, l.Kind, p.doc.Periods[l.Period].Month, title(&l.Price),
			l.Quantity, l.Rows, l.RowSum, l.Amount, p.doc.Currency))
	}
	return nil
}

func title(p *schemas.InvoicePrice) string {
	if p.Model == schemas.MinimumModel {
		return "minimum commitment"
	}
	endpoint := p.Endpoint
	if endpoint == "" {
		endpoint = "(every endpoint)"
	}
	return fmt.Sprintf("%s %s %s at price %d", p.API, p.Version, endpoint, p.PriceVersion)
}

func (p *prover) line(l *schemas.InvoiceLine) error {
	if l.Period < 0 || l.Period >= len(p.sheets) {
		return differs("it is of no period")
	}
	if l.IsMinimum() {
		return p.minimum(l)
	}
	s, at := p.sheets[l.Period], -1
	for i := range s.period.Prices {
		x := &s.period.Prices[i]
		if x.Subscription == l.Price.Subscription && x.PriceVersion == l.Price.PriceVersion && x.Start.Equal(l.Price.Start) {
			at = i
		}
	}
	if at < 0 || !sameValue(&s.period.Prices[at], &l.Price) {
		return differs("its price is not the one that the period was rated with")
	}
	if p.proven[l.Period][at] {
		return differs("another line is of the same price")
	}
	p.proven[l.Period][at] = true
	if err := sameTotal(&s.totals[at], l); err != nil {
		return err
	}
	r, err := s.rate(at, p.doc.Currency)
	if err != nil {
		return err
	}
	want := s.lineOf(l.Kind, l.Period, at, &r, l.Billed, rating.NumberOf(0))
	if l.Kind == schemas.LineCredit && l.Rows == 0 && r.amount.Sign() == 0 {
		// The invoice had no line of it: what later documents billed is taken back.
		want.Rated, want.Parts, want.InSum = l.Rated, l.Parts, l.InSum
	}
	if want.Rated != l.Rated || want.InSum != l.InSum {
		return differs("the price comes to %s, the line says %s", want.Rated, l.Rated)
	}
	if !sameValue(want.Parts, l.Parts) {
		return differs("its parts are not those that the price comes to")
	}
	return sameAmount(l, &r)
}

// minimum: what the period's prices lack of its minimum.
func (p *prover) minimum(l *schemas.InvoiceLine) error {
	s, last := p.sheets[l.Period], len(p.proven[l.Period])-1
	if p.proven[l.Period][last] {
		return differs("another line is of the same minimum")
	}
	p.proven[l.Period][last] = true
	top, err := p.topUp(s)
	if err != nil {
		return err
	}
	want := s.minimumLine(l.Kind, l.Period, &top, l.Billed, rating.NumberOf(0))
	if want.Rated != l.Rated {
		return differs("the minimum lacks %s, the line says %s", want.Rated, l.Rated)
	}
	if want.Amount = l.Amount; !sameValue(want, l) {
		return differs("it says other things than what a minimum comes to")
	}
	return sameAmount(l, &top)
}

func (p *prover) topUp(s *sheet) (rated, error) {
	all, err := s.rateAll(p.doc.Currency)
	if err != nil {
		return rated{}, err
	}
	return s.topUp(all, p.doc.Currency)
}

func sameValue(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

func sameTotal(t *total, l *schemas.InvoiceLine) error {
	switch {
	case t.rows != l.Rows || t.events != l.Events:
		return differs("the archive has %d rows of %d events, the line says %d of %d", t.rows, t.events, l.Rows, l.Events)
	case t.quantity.String() != l.Quantity:
		return differs("the archive has a quantity of %s, the line says %s", t.quantity, l.Quantity)
	case t.sum != l.RowSum:
		return differs("the rows' hashes come to %s, the line says %s", t.sum, l.RowSum)
	}
	return nil
}

// sameAmount: what is billed is rated less billed before.
func sameAmount(l *schemas.InvoiceLine, r *rated) error {
	billed, err := rating.ParseAmount(l.Billed)
	if err != nil {
		return differs("billed before is %q, no decimal", l.Billed)
	}
	if (l.Kind == schemas.LineUsage || l.Kind == schemas.LineMinimum) && billed.Sign() != 0 {
		return differs("something was billed before, %s, of the document's own period", l.Billed)
	}
	want := r.amount.Minus(billed)
	if l.Kind == schemas.LineCredit {
		want = billed.Minus(r.amount)
	}
	amount, err := rating.ParseAmount(l.Amount)
	if err != nil || amount.Cmp(want) != 0 {
		return differs("its amount is %s, the line says %s", want, l.Amount)
	}
	return nil
}

// rest is what has no line, and the totals.
func (p *prover) rest(context.Context) error {
	if len(p.sheets) == 0 {
		return differs("it has no period")
	}
	if err := p.withoutLine(p.sheets[0]); err != nil {
		return err
	}
	// A credit note of adjustments says nothing of the month that it came in.
	if n := &p.sheets[0].unrated; len(p.sheets[0].period.Prices) > 0 && (n.rows != p.doc.Unrated.Rows || n.quantity.String() != p.doc.Unrated.Quantity) {
		return differs("the archive has %d requests of quantity %s without a price, the document says %d of %s",
			n.rows, n.quantity, p.doc.Unrated.Rows, p.doc.Unrated.Quantity)
	}
	want := schemas.Invoice{Currency: p.doc.Currency, Periods: p.doc.Periods, Lines: p.doc.Lines}
	if err := rating.SumUp(&want); err != nil {
		return differs("%v", err)
	}
	if !sameValue(want.Taxes, p.doc.Taxes) || want.Net != p.doc.Net {
		return differs("the lines and their taxes come to %s net and %v, the document says %s and %v", want.Net, want.Taxes, p.doc.Net, p.doc.Taxes)
	}
	for _, t := range want.Taxes {
		p.Say(fmt.Sprintf("%s, %s %% of %s: %s %s", t.Name, t.Percent, t.Base, t.Amount, p.doc.Currency))
	}
	if want.Total != p.doc.Total {
		return differs("the lines come to %s, the document says %s", want.Total, p.doc.Total)
	}
	p.Say(fmt.Sprintf("total %s %s: proven", p.doc.Total, p.doc.Currency))
	return nil
}

// withoutLine: the own period's prices without a line have no rows, and come to
// nothing.
func (p *prover) withoutLine(s *sheet) error {
	for i := range s.period.Prices {
		if p.proven[0][i] {
			continue
		}
		r, err := s.rate(i, p.doc.Currency)
		if err != nil {
			return err
		}
		if t := &s.totals[i]; t.rows > 0 || r.amount.Sign() != 0 {
			return differs("%s has %d rows and comes to %s, and has no line", title(&s.period.Prices[i]), t.rows, r.amount)
		}
	}
	top, err := p.topUp(s)
	if err == nil && top.amount.Sign() != 0 && !p.proven[0][len(s.period.Prices)] {
		err = differs("the minimum lacks %s, and has no line", top.amount)
	}
	return err
}
