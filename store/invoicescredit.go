package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// takeBackAdjustments makes what was billed for period p of an invoice less by
// what the invoice said of it. Its cut is forgotten: the next run of invoices
// looks at the period again, whether rows came in or not.
func takeBackAdjustments(ctx context.Context, w *writeTx, i *Invoice, p int) error {
	period := &i.Periods[p]
	var text string
	err := w.conn.QueryRowContext(ctx, `SELECT billed FROM invoice_billed WHERE invoice = ?`, period.Invoice).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return engineError(err)
	}
	var b schemas.Billed
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return err
	}
	for _, l := range i.Lines {
		if l.Period != p {
			continue
		}
		if l.IsMinimum() {
			if b.Minimum, err = less(cmp.Or(b.Minimum, "0"), l.Amount); err != nil {
				return err
			}
			continue
		}
		at := slices.IndexFunc(period.Prices, func(price schemas.InvoicePrice) bool { return isOfPrice(&price, &l.Price) })
		if at < 0 || at >= len(b.Lines) {
			return fmt.Errorf("what was billed for %s of invoice %s has no price %d", period.Month, period.Invoice, l.Price.PriceVersion)
		}
		if b.Lines[at].Amount, err = less(b.Lines[at].Amount, l.Amount); err != nil {
			return err
		}
	}
	b.Cut = []schemas.CutPosition{}
	changed, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return w.exec(ctx, `UPDATE invoice_billed SET billed = ?, version = version + 1 WHERE invoice = ?`, string(changed), period.Invoice)
}

// isOfPrice: a price version holds once in a subscription and period.
func isOfPrice(a, b *schemas.InvoicePrice) bool {
	return a.Subscription == b.Subscription && a.PriceVersion == b.PriceVersion && a.Start.Equal(b.Start)
}

func less(amount, by string) (string, error) {
	a, err := rating.ParseAmount(amount)
	if err != nil {
		return "", fmt.Errorf("billed amount %q: %w", amount, err)
	}
	b, err := rating.ParseAmount(by)
	if err != nil {
		return "", fmt.Errorf("amount %q of a line: %w", by, err)
	}
	return a.Minus(b).String(), nil
}
