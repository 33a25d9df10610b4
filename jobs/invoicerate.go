package jobs

import (
	"encoding/json"
	"fmt"
	"time"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// exactPlaces are kept of a line that is rounded in the sum.
const exactPlaces = 18

// rated is what a price makes of its rows.
type rated struct {
	line   rating.Line
	amount rating.Number
	parts  []schemas.InvoicePart
}

// rate applies price i of a sheet's period to its total, in a currency.
func (s *sheet) rate(i int, currency string) (rated, error) {
	p := &s.period.Prices[i]
	r, err := rateTotal(p, &s.totals[i], s.period, currency)
	if err != nil {
		return rated{}, fmt.Errorf("price %d of %s %s %s: %w", p.PriceVersion, p.API, p.Version, p.Endpoint, err)
	}
	return r, nil
}

func rateTotal(p *schemas.InvoicePrice, t *total, period *schemas.InvoicePeriod, currency string) (rated, error) {
	price, bad := rating.Parse("", p.Model, p.Params)
	if len(bad) > 0 {
		return rated{}, fmt.Errorf("%s", bad[0].Problem)
	}
	zone, err := time.LoadLocation(period.Timezone)
	if err != nil {
		return rated{}, err
	}
	tally := price.Tally()
	if p.Model == perEvent {
		for _, q := range t.left() {
			if q.Units >= 0 { // what is below 0 was refunded elsewhere: it has no percentage
				if err := tally.Event(rating.NumberFrom(q)); err != nil {
					return rated{}, err
				}
			}
		}
	} else {
		// Quantities may be negative, and more of them than others: then nothing is
		// owed for usage, and nothing given.
		quantity, events := rating.NumberFrom(t.quantity), max(0, t.events)
		if quantity.Sign() < 0 {
			quantity = rating.NumberOf(0)
		}
		if err := tally.Total(quantity, events); err != nil {
			return rated{}, err
		}
	}
	line, err := tally.Line(rating.Term{Period: rating.Span{Start: period.Start, End: period.End},
		Held: rating.Span{Start: p.Start, End: p.End}, Zone: zone}, rating.MinorPlaces(currency))
	if err != nil {
		return rated{}, err
	}
	r := rated{line: line, amount: line.Amount}
	if line.InSum {
		r.amount = line.Exact.Round(exactPlaces)
	}
	b, err := json.Marshal(line.Parts)
	if err == nil {
		err = json.Unmarshal(b, &r.parts)
	}
	return r, err
}

// lineOf is a line of price i; amount is what is left of rated behind billed.
func (s *sheet) lineOf(kind schemas.LineKind, period, i int, r *rated, billed string, amount rating.Number) schemas.InvoiceLine {
	t := &s.totals[i]
	return schemas.InvoiceLine{Kind: kind, Period: period, Price: s.period.Prices[i], Quantity: t.quantity.String(), Events: t.events,
		Rows: t.rows, RowSum: t.sum, Parts: r.parts, Rated: text(r.amount), Billed: billed, Amount: text(amount),
		InSum: r.line.InSum}
}

// text is an amount as documents have it.
func text(n rating.Number) string { return n.String() }

// summed is what all prices of a period come to together.
func summed(all []rated, currency string) (rating.Number, error) {
	lines := make([]schemas.InvoiceLine, len(all))
	for i := range all {
		lines[i] = schemas.InvoiceLine{Amount: text(all[i].amount), InSum: all[i].line.InSum}
	}
	return rating.TotalOf(lines, currency)
}

// topUp is what a period with prices lacks of its minimum, as a rated line.
func (s *sheet) topUp(all []rated, currency string) (r rated, err error) {
	r.amount = rating.NumberOf(0)
	if s.period.Minimum == "" || len(all) == 0 {
		return r, nil
	}
	minimum, err := rating.ParseNumber(string(s.period.Minimum))
	if err != nil {
		return r, fmt.Errorf("minimum %q: %w", s.period.Minimum, err)
	}
	sum, err := summed(all, currency)
	if err != nil || sum.Cmp(minimum) >= 0 {
		return r, err
	}
	r.amount = minimum.Minus(sum).Round(rating.MinorPlaces(currency))
	r.parts = []schemas.InvoicePart{{Kind: "commitment", Quantity: text(sum), Price: text(minimum), Amount: text(r.amount)}}
	return r, nil
}

// minimumLine is the line of what topUp found; amount is what is left of it
// behind billed.
func (s *sheet) minimumLine(kind schemas.LineKind, period int, r *rated, billed string, amount rating.Number) schemas.InvoiceLine {
	zero := schemas.Decimal{}.String()
	return schemas.InvoiceLine{Kind: kind, Period: period, Quantity: zero, Parts: r.parts, Rated: text(r.amount), Billed: billed, Amount: text(amount),
		Price: schemas.InvoicePrice{Model: schemas.MinimumModel, Params: json.RawMessage(`{}`), Start: s.period.Start, End: s.period.End}}
}

// billedOf is what a sheet's prices come to, as the next run compares with.
func (s *sheet) billedOf(all []rated, top *rated) schemas.Billed {
	b := schemas.Billed{Cut: s.cut, Lines: make([]schemas.BilledLine, len(all))}
	for i := range all {
		t := &s.totals[i]
		b.Lines[i] = schemas.BilledLine{Quantity: t.quantity.String(), Rows: t.rows, RowSum: t.sum, Amount: text(all[i].amount)}
	}
	if top.amount.Sign() != 0 {
		b.Minimum = text(top.amount)
	}
	return b
}

func (s *sheet) rateAll(currency string) ([]rated, error) {
	all := make([]rated, len(s.totals))
	for i := range all {
		var err error
		if all[i], err = s.rate(i, currency); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// usageLines are those of the own period: of prices with usage, or with a fee
// without any; behind them what is missing to the minimum.
func (s *sheet) usageLines(all []rated, top *rated) []schemas.InvoiceLine {
	lines := []schemas.InvoiceLine{}
	for i := range all {
		if s.totals[i].rows > 0 || all[i].amount.Sign() != 0 {
			lines = append(lines, s.lineOf(schemas.LineUsage, 0, i, &all[i], "0", all[i].amount))
		}
	}
	if top.amount.Sign() != 0 {
		lines = append(lines, s.minimumLine(schemas.LineMinimum, 0, top, "0", top.amount))
	}
	return lines
}

// adjustmentLines are what the period's prices come to now, less what was billed
// for them, where that is not the same.
func (s *sheet) adjustmentLines(period int, all []rated, top *rated, was *schemas.Billed) (lines []schemas.InvoiceLine, err error) {
	if len(was.Lines) != len(all) {
		return nil, fmt.Errorf("%d lines were billed for %d prices", len(was.Lines), len(all))
	}
	for i := range all {
		billed, err := rating.ParseAmount(was.Lines[i].Amount)
		if err != nil {
			return nil, fmt.Errorf("billed amount %q: %w", was.Lines[i].Amount, err)
		}
		if all[i].amount.Cmp(billed) != 0 {
			lines = append(lines, s.lineOf(schemas.LineAdjustment, period, i, &all[i], was.Lines[i].Amount, all[i].amount.Minus(billed)))
		}
	}
	billed := rating.NumberOf(0)
	if was.Minimum != "" {
		if billed, err = rating.ParseAmount(was.Minimum); err != nil {
			return nil, fmt.Errorf("billed minimum %q: %w", was.Minimum, err)
		}
	}
	if top.amount.Cmp(billed) != 0 {
		lines = append(lines, s.minimumLine(schemas.LineAdjustment, period, top, text(billed), top.amount.Minus(billed)))
	}
	return lines, nil
}
