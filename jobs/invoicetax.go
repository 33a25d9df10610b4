package jobs

import (
	"fmt"
	"slices"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// sumUp fills in a document's net, taxes and total from its lines. A tax is
// rounded once, on the sum of the lines whose periods have it: an earlier
// month's adjustments are taxed at that month's rates.
func sumUp(i *schemas.Invoice) error {
	net, err := totalOf(i.Lines, i.Currency)
	if err != nil {
		return err
	}
	i.Net, i.Total = "", text(net)
	if i.Taxes, err = taxesOf(i); err != nil || len(i.Taxes) == 0 {
		return err
	}
	i.Net = i.Total
	for _, t := range i.Taxes {
		amount, err := rating.ParseAmount(t.Amount)
		if err != nil {
			return fmt.Errorf("tax %s: %w", t.Name, err)
		}
		net = net.Plus(amount)
	}
	i.Total = text(net)
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
		base, err := totalOf(byRate[t], i.Currency)
		if err != nil {
			return nil, err
		}
		percent, err := rating.ParseNumber(string(t.Percent))
		if err != nil {
			return nil, fmt.Errorf("tax %s of %q percent: %w", t.Name, t.Percent, err)
		}
		amount := base.Percent(percent).Round(rating.MinorPlaces(i.Currency))
		taxes = append(taxes, schemas.InvoiceTax{Tax: t, Base: text(base), Amount: text(amount)})
	}
	return taxes, nil
}
