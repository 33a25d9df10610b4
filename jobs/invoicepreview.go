package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/schemas/rating"
	"tallybook/store"
)

// PriceChange is a price that another is to be replaced by: of a route and a
// pricing model.
type PriceChange struct {
	API          string          `json:"apiName"`
	Version      string          `json:"apiVersion"`
	Endpoint     *string         `json:"endpointName"` // null: the route of every endpoint
	PricingModel string          `json:"pricingModelName"`
	Model        string          `json:"model"`
	Params       json.RawMessage `json:"params"`
}

// ReadPriceChanges reads a list of changes, or one alone, and checks them.
func ReadPriceChanges(text []byte) ([]PriceChange, error) {
	var list []PriceChange
	if trimmed := strings.TrimSpace(string(text)); !strings.HasPrefix(trimmed, "[") {
		text = []byte("[" + trimmed + "]")
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("it has no price")
	}
	for i := range list {
		if bad := rating.Check(fmt.Sprintf("[%d].", i), list[i].Model, list[i].Params); len(bad) > 0 {
			return nil, fmt.Errorf("%s", bad[0].Problem)
		}
	}
	return list, nil
}

// String names the price: shop v1 (every endpoint) of standard.
func (c *PriceChange) String() string {
	endpoint := "(every endpoint)"
	if c.Endpoint != nil {
		endpoint = *c.Endpoint
	}
	return fmt.Sprintf("%s %s %s of %s", c.API, c.Version, endpoint, c.PricingModel)
}

// changeOf is the place of the first change of a price, or -1.
func changeOf(changes []PriceChange, p *schemas.InvoicePrice) int {
	return slices.IndexFunc(changes, func(c PriceChange) bool {
		endpoint := ""
		if c.Endpoint != nil {
			endpoint = *c.Endpoint
		}
		return c.API == p.API && c.Version == p.Version && endpoint == p.Endpoint && c.PricingModel == p.PricingModel
	})
}

// Preview is what a document's own period would have come to with other prices.
type Preview struct {
	Invoice *store.Invoice
	Lines   []PreviewLine // of prices that change
	Was     string        // what usage and minimum come to, before taxes
	Would   string
}

// PreviewLine is a price as it was and as it would be.
type PreviewLine struct {
	Title, Quantity, Was, Would string
	Change                      int // its place among the changes
}

// PreviewInvoice rates the rows of a document again, up to its cut, with changed
// prices. Nothing is written.
func PreviewInvoice(ctx context.Context, ar *archive.Archive, st *store.Store, i *store.Invoice, changes []PriceChange) (*Preview, error) {
	if len(i.Periods) == 0 {
		return nil, fmt.Errorf("invoice %s has no period", i.ID)
	}
	period := i.Periods[0]
	s := newSheet(&period, i.Cut)
	var files []ProofFile
	err := st.View(ctx, func(v *store.View) (err error) {
		files, err = proofFiles(v, &i.Invoice)
		return err
	})
	if err != nil {
		return nil, err
	}
	for n := range s.totals {
		if c := changeOf(changes, &period.Prices[n]); c >= 0 && changes[c].Model == perEvent {
			s.totals[n].single = true
		}
	}
	err = scanSheets(ctx, ar, []*sheet{s}, len(files), func(n int, use func(string) error) error {
		return withFile(&store.ArchiveFile{Name: files[n].Name, Staged: files[n].Staged}, use)
	})
	if err != nil {
		return nil, err
	}
	p := &Preview{Invoice: i}
	var was, would []rated
	for n := range period.Prices {
		old := &period.Prices[n]
		before, err := rateTotal(old, &s.totals[n], &period, i.Currency)
		if err != nil {
			return nil, err
		}
		after, changed := before, *old
		if c := changeOf(changes, old); c >= 0 {
			changed.Model, changed.Params = changes[c].Model, changes[c].Params
			if after, err = rateTotal(&changed, &s.totals[n], &period, i.Currency); err != nil {
				return nil, err
			}
			p.Lines = append(p.Lines, PreviewLine{title(old), s.totals[n].quantity.String(), text(before.amount), text(after.amount), c})
		}
		was, would = append(was, before), append(would, after)
	}
	for to, all := range map[*string][]rated{&p.Was: was, &p.Would: would} {
		sum, err := summed(all, i.Currency)
		if err != nil {
			return nil, err
		}
		top, err := s.topUp(all, i.Currency)
		if err != nil {
			return nil, err
		}
		*to = text(sum.Plus(top.amount))
	}
	return p, nil
}
