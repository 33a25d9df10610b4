package rating

import (
	"fmt"
	"slices"

	"tallybook/schemas"
)

// SumUp fills in a document's net, taxes and total from its lines. A tax is
// rounded once, on the sum of the lines whose periods have it: an earlier
// month's adjustments are taxed at that month's rates.
func SumUp(i *schemas.Invoice) error {
	net, err := TotalOf(i.Lines, i.Currency)
	if err != nil {
		return err
	}
	i.Net, i.Total = "", net.String()
	if i.Taxes, err = taxesOf(i); err != nil || len(i.Taxes) == 0 {
		return err
	}
	i.Net = i.Total
	for _, t := range i.Taxes {
		amount, err := ParseAmount(t.Amount)
		if err != nil {
			return fmt.Errorf("tax %s: %w", t.Name, err)
		}
		net = net.Plus(amount)
	}
	i.Total = net.String()
	return nil
}

// taxesOf are those of the periods that lines are of, in the order of the lines.
func taxesOf(i *schemas.Invoice) ([]schemas.InvoiceTax, error) {
	var rates []schemas.Tax
	byRate := map[schemas.Tax][]schemas.InvoiceLine{}
	for n := range i.Lines {
		l := &i.Lines[n]
		if l.Period < 0 || l.Period >= len(i.Periods) {
			return nil, fmt.Errorf("line %d is of no period", n+1)
		}
		for _, t := range i.Periods[l.Period].Taxes {
			if !slices.Contains(rates, t) {
				rates = append(rates, t)
			}
			byRate[t] = append(byRate[t], *l)
		}
	}
	var taxes []schemas.InvoiceTax
	for _, t := range rates {
		base, err := TotalOf(byRate[t], i.Currency)
		if err != nil {
			return nil, err
		}
		percent, err := ParseNumber(string(t.Percent))
		if err != nil {
			return nil, fmt.Errorf("tax %s of %q percent: %w", t.Name, t.Percent, err)
		}
		amount := base.Percent(percent).Round(MinorPlaces(i.Currency))
		taxes = append(taxes, schemas.InvoiceTax{Tax: t, Base: base.String(), Amount: amount.String()})
	}
	return taxes, nil
}

// TotalOf is what lines come to: amounts as they are, those that are rounded in
// the sum rounded together.
func TotalOf(lines []schemas.InvoiceLine, currency string) (Number, error) {
	total, inSum := NumberOf(0), NumberOf(0)
	for i := range lines {
		amount, err := ParseAmount(lines[i].Amount)
		if err != nil {
			return total, fmt.Errorf("amount %q of line %d: %w", lines[i].Amount, i+1, err)
		}
		if lines[i].InSum {
			inSum = inSum.Plus(amount)
		} else {
			total = total.Plus(amount)
		}
	}
	places := MinorPlaces(currency)
	total = total.Plus(inSum.Round(places))
	if whole := total.Round(places); whole.Cmp(total) == 0 {
		return whole, nil // 31.00, not 31
	}
	return total, nil // a price's currency_precision is finer than the currency
}
