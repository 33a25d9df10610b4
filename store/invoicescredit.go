package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// creditNote takes an invoice back: its lines, and of its own period also what
// later documents have adjusted, so that nothing stays billed for it, and no more
// is given back than was: adjustments of an invoice that was credited before this
// one were taken back with it.
func creditNote(ctx context.Context, w *writeTx, i *Invoice, reason string) (*schemas.Invoice, error) {
	note := i.Invoice
	note.ID, note.Kind, note.Number, note.IssuedAt = newID(), schemas.KindCreditNote, "", time.Time{}
	note.CreditOf, note.CreditFor, note.Reason = i.ID, i.Number, reason
	note.Lines = slices.Clone(i.Lines)
	for n := range note.Lines {
		l := &note.Lines[n]
		l.Kind, l.Amount = schemas.LineCredit, negated(l.Amount)
	}
	note.Total, note.Net, note.Taxes = negated(i.Total), negated(i.Net), slices.Clone(i.Taxes)
	for n := range note.Taxes {
		note.Taxes[n].Base, note.Taxes[n].Amount = negated(i.Taxes[n].Base), negated(i.Taxes[n].Amount)
	}
	since, err := adjustedSince(ctx, w, i)
	if err != nil {
		return nil, err
	}
	before, err := takenBackBefore(ctx, w, i)
	if err != nil || len(since) == 0 && len(before) == 0 {
		return &note, err
	}
	for n := range note.Lines {
		if l := &note.Lines[n]; slices.Contains(before, l.Period) {
			l.Billed, l.Amount = l.Rated, "0"
		}
	}
	for _, a := range since {
		n := slices.IndexFunc(note.Lines, func(l schemas.InvoiceLine) bool { return l.Period == 0 && isOfPrice(&l.Price, &a.Price) })
		if n < 0 {
			n = len(note.Lines)
			note.Lines = append(note.Lines, a)
		}
		l := &note.Lines[n]
		if l.Billed, err = less(l.Rated, a.Amount); err == nil {
			l.Amount, err = less("0", a.Amount)
		}
		if err != nil {
			return nil, err
		}
	}
	return &note, rating.SumUp(&note)
}

// takenBackBefore are those of an invoice's periods whose own invoices were
// credited since it adjusted them.
func takenBackBefore(ctx context.Context, w *writeTx, i *Invoice) (periods []int, err error) {
	for p := range i.Periods[1:] {
		of, err := readInvoice(ctx, w.conn, i.Periods[p+1].Invoice)
		if err != nil {
			return nil, err
		}
		if of.Status == "credited" {
			periods = append(periods, p+1)
		}
	}
	return periods, nil
}

// adjustedSince are credit lines of prices of an invoice's own period, and of its
// minimum, that come to something else by now than the invoice says: Amount is
// what was billed in all.
func adjustedSince(ctx context.Context, w *writeTx, i *Invoice) (lines []schemas.InvoiceLine, err error) {
	var text string
	err = w.conn.QueryRowContext(ctx, `SELECT billed FROM invoice_billed WHERE invoice = ?`, i.ID).Scan(&text)
	if err != nil {
		return nil, engineError(err)
	}
	var b schemas.Billed
	if err := json.Unmarshal([]byte(text), &b); err != nil {
		return nil, err
	}
	own := &i.Periods[0]
	if len(b.Lines) != len(own.Prices) {
		return nil, fmt.Errorf("%d lines were billed for %d prices of %s", len(b.Lines), len(own.Prices), own.Month)
	}
	prices := append(slices.Clone(own.Prices), schemas.InvoicePrice{Model: schemas.MinimumModel, Params: json.RawMessage(`{}`), Start: own.Start, End: own.End})
	for n, price := range prices {
		billed := cmp.Or(b.Minimum, "0")
		if n < len(b.Lines) {
			billed = b.Lines[n].Amount
		}
		said := "0"
		for _, l := range i.Lines {
			if l.Period == 0 && isOfPrice(&l.Price, &price) {
				said = l.Amount
			}
		}
		if by, err := less(billed, said); err != nil {
			return nil, err
		} else if !isZero(by) {
			lines = append(lines, schemas.InvoiceLine{Kind: schemas.LineCredit, Price: price, Quantity: "0", Rated: "0", Amount: billed})
		}
	}
	return lines, nil
}

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

// isOfPrice: a price version holds once in a subscription and period; a minimum
// is of none.
func isOfPrice(a, b *schemas.InvoicePrice) bool {
	return a.Model == b.Model && a.Subscription == b.Subscription && a.PriceVersion == b.PriceVersion && a.Start.Equal(b.Start)
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
