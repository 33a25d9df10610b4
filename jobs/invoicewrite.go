package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/schemas/rating"
	"tallybook/store"
)

// scan reads the archive for all bills of the pass.
func (p *billPass) scan(ctx context.Context) error {
	byMonth := map[string][]*sheet{}
	if err := p.dropFresh(ctx); err != nil {
		return err
	}
	for _, b := range p.bills {
		kept := b.adjusted[:0]
		for _, a := range b.adjusted {
			touched, err := p.touched(ctx, &a)
			if err != nil {
				return err
			}
			if touched {
				kept = append(kept, a)
				byMonth[a.Period.Month] = append(byMonth[a.Period.Month], a.sheet)
			}
		}
		b.adjusted = kept
		if month := b.own.period.Month; len(b.own.period.Prices) > 0 || len(kept) > 0 || b.draft != nil {
			byMonth[month] = append(byMonth[month], b.own)
		}
	}
	for _, month := range slices.Sorted(maps.Keys(byMonth)) {
		files := p.files[month]
		p.Progress(fmt.Sprintf("invoices of %s: %d periods, %d files", month, len(byMonth[month]), len(files)))
		err := scanSheets(ctx, p.Archive, byMonth[month], len(files), func(i int, use func(string) error) error { return withFile(&files[i], use) })
		if err != nil {
			return fmt.Errorf("read the rows of %s: %w", month, err)
		}
	}
	return nil
}

// dropFresh leaves out the drafts that stay drafts and would say what they say.
func (p *billPass) dropFresh(ctx context.Context) error {
	kept := p.bills[:0]
	for _, b := range p.bills {
		stale := b.draft == nil || b.final || b.changed()
		for i := 0; i < len(b.since) && !stale; i++ {
			var err error
			if stale, err = p.touched(ctx, &b.since[i]); err != nil {
				return err
			}
		}
		if stale {
			kept = append(kept, b)
		}
	}
	p.bills = kept
	return nil
}

// changed reports whether a draft was made from another catalog.
func (b *bill) changed() bool {
	now := b.document(schemas.KindInvoice)
	now.Periods[0].Invoice = b.draft.ID
	return !sameValue(now.Periods[0], b.draft.Periods[0]) || !sameValue(now.Customer, b.draft.Customer) ||
		now.Issuer != b.draft.Issuer || now.Note != b.draft.Note
}

// touched reports whether rows of the account came in behind the cut that the
// period was billed at.
func (p *billPass) touched(ctx context.Context, a *adjustedPeriod) (found bool, err error) {
	q := archive.ScanQuery{Columns: []string{"topic_partition", "topic_offset", "type"}, From: a.sheet.from, To: a.sheet.to,
		Accounts: []string{a.Period.Account}}
	for i := range a.beyond {
		err := withFile(&a.beyond[i], func(name string) error {
			return p.Archive.Scan(ctx, name, q, func(rows *archive.Rows) error {
				for i := range rows.Len() {
					found = found || rows.String(rows.Type[i]) == schemas.TypeRequest &&
						!schemas.Below(a.Billed.Cut, schemas.Usage, rows.Partition, rows.Offset[i])
				}
				return nil
			})
		})
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}

// write makes the documents of the pass; again: there may be more months to make.
func (p *billPass) write(ctx context.Context) (again bool, err error) {
	for _, customer := range p.broken {
		p.failed[customer] = true
	}
	for _, b := range p.bills {
		err := p.writeBill(ctx, b)
		switch {
		case err == nil:
			again = true
		case errors.Is(err, store.ErrLeaseLost) || ctx.Err() != nil:
			return false, err
		default:
			p.failed[b.Customer.ID] = true
			p.faults = append(p.faults, fmt.Errorf("invoice of %s for customer %s: %w", b.own.period.Month, b.Customer.ID, err))
		}
	}
	return again, nil
}

// errRollups: archive and rollups do not say the same of an account.
var errRollups = errors.New("rollups and archive differ; 'tallybook verify' says where")

func (p *billPass) writeBill(ctx context.Context, b *bill) error {
	if got := &b.own.inHours; got.events != b.hours.Count || got.quantity != b.hours.Quantity {
		return fmt.Errorf("account %s has %d requests of quantity %s in the archive, %d of %s in rollups: %w", b.Customer.Account,
			got.events, got.quantity, b.hours.Count, b.hours.Quantity, errRollups)
	}
	f, err := b.documents()
	if err != nil {
		return err
	}
	if len(f.Invoice.Lines) == 0 && f.Credit == nil && len(b.own.period.Prices) == 0 && b.draft == nil {
		p.failed[b.Customer.ID] = true // nothing to adjust after all; not again in this run
		return nil
	}
	version := int64(0)
	if b.draft != nil {
		version = b.draft.Version
	}
	err = p.step("draft", func() error { return p.Store.SaveDraft(ctx, p.Lease, f.Invoice, version) })
	if errors.Is(err, store.ErrExists) || errors.Is(err, store.ErrInvoiceMoved) {
		return nil // another run made it; the next pass looks again
	}
	if err != nil {
		return err
	}
	p.Progress(fmt.Sprintf("drafted %s for customer %s: %s %s", f.Invoice.Month, b.Customer.ID, f.Invoice.Total, f.Invoice.Currency))
	if !b.final {
		p.failed[b.Customer.ID] = p.failed[b.Customer.ID] || b.draft != nil // once in a run
		return nil
	}
	f.Version = version + 1
	f.Invoice.IssuedAt = p.Now.UTC()
	if f.Credit != nil {
		f.Credit.IssuedAt = f.Invoice.IssuedAt
	}
	err = p.step("final", func() error { return p.Store.Finalize(ctx, p.Lease, f) })
	if errors.Is(err, store.ErrInvoiceMoved) {
		return nil
	}
	if err == nil {
		p.Progress(fmt.Sprintf("%s is final", f.Invoice.Number))
	}
	return err
}

func (p *billPass) step(name string, do func() error) error {
	if p.Fault == nil {
		return do()
	}
	before, after := p.Fault(name)
	if before != nil {
		return before
	}
	return errors.Join(do(), after)
}

// documents are what a bill comes to. Adjustments that would take the invoice
// below zero become a credit note of their own.
func (b *bill) documents() (*store.Finalization, error) {
	f := &store.Finalization{}
	all, err := b.own.rateAll(b.currency)
	if err != nil {
		return nil, err
	}
	top, err := b.own.topUp(all, b.currency)
	if err != nil {
		return nil, err
	}
	i := b.document(schemas.KindInvoice)
	i.Lines = b.own.usageLines(all, &top)
	i.Unrated = schemas.Unrated{Rows: b.own.unrated.rows, Quantity: b.own.unrated.quantity.String()}
	if b.draft != nil {
		i.ID = b.draft.ID
	}
	i.Periods[0].Invoice = i.ID
	f.Invoice, f.Billed = i, b.own.billedOf(all, &top)
	var adjustments []schemas.InvoiceLine
	periods := []schemas.InvoicePeriod{}
	for _, a := range b.adjusted {
		all, err := a.sheet.rateAll(b.currency)
		if err != nil {
			return nil, fmt.Errorf("adjust %s: %w", a.Period.Month, err)
		}
		top, err := a.sheet.topUp(all, b.currency)
		if err != nil {
			return nil, fmt.Errorf("adjust %s: %w", a.Period.Month, err)
		}
		lines, err := a.sheet.adjustmentLines(len(periods)+1, all, &top, &a.Billed)
		if err != nil {
			return nil, fmt.Errorf("adjust %s: %w", a.Period.Month, err)
		}
		f.Adjusted = append(f.Adjusted, store.BilledPeriod{Period: a.Period, Billed: a.sheet.billedOf(all, &top), Version: a.Version})
		if len(lines) > 0 {
			periods, adjustments = append(periods, a.Period), append(adjustments, lines...)
		}
	}
	return f, b.place(f, periods, adjustments)
}

// place puts adjustments into the invoice, or into a credit note.
func (b *bill) place(f *store.Finalization, periods []schemas.InvoicePeriod, adjustments []schemas.InvoiceLine) error {
	i := f.Invoice
	together, err := rating.TotalOf(slices.Concat(i.Lines, adjustments), b.currency)
	if err != nil {
		return err
	}
	if together.Sign() >= 0 {
		i.Periods, i.Lines = append(i.Periods, periods...), append(i.Lines, adjustments...)
		return rating.SumUp(i)
	}
	note := b.document(schemas.KindCreditNote)
	note.Periods[0].Invoice, note.Periods[0].Prices = note.ID, []schemas.InvoicePrice{}
	note.Periods, note.Lines = append(note.Periods, periods...), adjustments
	note.Unrated.Quantity = text(rating.NumberOf(0))
	note.Reason = "late events and corrections of months that were billed before"
	f.Credit = note
	return errors.Join(rating.SumUp(i), rating.SumUp(note))
}

func (b *bill) document(kind schemas.InvoiceKind) *schemas.Invoice {
	c := &b.Customer
	period := *b.own.period
	return &schemas.Invoice{ID: store.NewInvoiceID(), Kind: kind, Month: period.Month, Currency: b.currency, Cut: b.own.cut, Issuer: b.issuer, Note: b.note,
		Periods: []schemas.InvoicePeriod{period}, Lines: []schemas.InvoiceLine{},
		Customer: schemas.InvoiceCustomer{ID: c.ID, Account: c.Account, Name: c.Name, Address: c.Address, Email: c.Email, Timezone: c.Timezone}}
}
