package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"tallybook/schemas"
)

// Series of numbers, by the kind of document.
const (
	invoiceSeries = "INV"
	creditSeries  = "CN"
)

func numberSeries(kind schemas.InvoiceKind) string {
	if kind == schemas.KindCreditNote {
		return creditSeries
	}
	return invoiceSeries
}

func numberText(series string, n int64) string { return fmt.Sprintf("%s-%06d", series, n) }

func parseNumber(text string) (series string, n int64, ok bool) {
	series, digits, ok := strings.Cut(text, "-")
	n, err := strconv.ParseInt(digits, 10, 64)
	return series, n, ok && err == nil && numberText(series, n) == text
}

// invoiceActor is the invoices job in the audit log.
const invoiceActor = "job invoices"

// NewInvoiceID makes an id for a document.
func NewInvoiceID() string { return newID() }

// SaveDraft writes the draft of a period's invoice; version is that of the draft
// it replaces, 0 for the first. ErrExists: the customer has one for that month;
// ErrInvoiceMoved: it is no draft of that version; ErrLeaseLost.
func (s *Store) SaveDraft(ctx context.Context, l Lease, i *schemas.Invoice, version int64) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		return s.saveDraft(ctx, w, i, version)
	})
	if err != nil {
		return fmt.Errorf("draft of %s for customer %s: %w", i.Month, i.Customer.ID, err)
	}
	return nil
}

func (s *Store) saveDraft(ctx context.Context, w *writeTx, i *schemas.Invoice, version int64) error {
	text, digest, err := documentOf(i)
	if err != nil {
		return err
	}
	if version > 0 {
		n, err := w.execCount(ctx, `UPDATE invoices SET document = ?, digest = ?, total = ?, version = version + 1
			WHERE id = ? AND version = ? AND status = 'draft'`, text, digest, i.Total, i.ID, version)
		if err == nil && n == 0 {
			err = ErrInvoiceMoved
		}
		return err
	}
	return s.insertInvoice(ctx, w, i, "period/"+i.Month)
}

// insertInvoice adds a draft.
func (s *Store) insertInvoice(ctx context.Context, w *writeTx, i *schemas.Invoice, cause string) error {
	text, digest, err := documentOf(i)
	if err != nil {
		return err
	}
	p := &i.Periods[0]
	n, err := w.execCount(ctx, `INSERT INTO invoices (id, kind, customer, account, cause, month, period_start, period_end, status, payment,
		series, number, currency, total, document, digest, version, created_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'draft', '', ?, NULL, ?, ?, ?, ?, 1, ?) ON CONFLICT (customer, cause) DO NOTHING`,
		i.ID, string(i.Kind), i.Customer.ID, i.Customer.Account, cause, i.Month, p.Start.UnixMicro(), p.End.UnixMicro(),
		numberSeries(i.Kind), i.Currency, i.Total, text, digest, s.now().UnixMicro())
	if err == nil && n == 0 {
		err = ErrExists
	}
	return err
}

func documentOf(i *schemas.Invoice) (text string, digest []byte, err error) {
	b, err := json.Marshal(i)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(b)
	return string(b), sum[:], nil
}

// Finalization is all that becomes final together.
type Finalization struct {
	Invoice  *schemas.Invoice // whose draft is there, of Version
	Version  int64
	Billed   schemas.Billed   // of its own period
	Adjusted []BilledPeriod   // what was billed of earlier periods, as it is now; Version is the one that was read
	Credit   *schemas.Invoice // a credit note for adjustments; nil: none
}

// Finalize makes a draft final, with the next number of its series, and with it
// the credit note. One transaction: all of it or nothing, so that a number that
// was given is on a document. ErrInvoiceMoved, ErrLeaseLost.
func (s *Store) Finalize(ctx context.Context, l Lease, f *Finalization) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		if err := s.finalize(ctx, w, f.Invoice, f.Version, invoiceActor); err != nil {
			return err
		}
		for _, a := range f.Adjusted {
			if err := moveBilled(ctx, w, &a); err != nil {
				return err
			}
		}
		billed, err := json.Marshal(f.Billed)
		if err != nil {
			return err
		}
		if err := w.exec(ctx, `INSERT INTO invoice_billed (invoice, billed, version) VALUES (?, ?, 1)`, f.Invoice.ID, string(billed)); err != nil {
			return err
		}
		if f.Credit == nil {
			return nil
		}
		if err := s.insertInvoice(ctx, w, f.Credit, "adjust/"+f.Credit.Month); err != nil {
			return err
		}
		return s.finalize(ctx, w, f.Credit, 1, invoiceActor)
	})
	if err != nil {
		return fmt.Errorf("finalize invoice %s: %w", f.Invoice.ID, err)
	}
	return nil
}

func moveBilled(ctx context.Context, w *writeTx, a *BilledPeriod) error {
	text, err := json.Marshal(a.Billed)
	if err != nil {
		return err
	}
	n, err := w.execCount(ctx, `UPDATE invoice_billed SET billed = ?, version = version + 1 WHERE invoice = ? AND version = ?
		AND EXISTS (SELECT 1 FROM invoices WHERE id = ? AND status = 'final')`, string(text), a.Period.Invoice, a.Version, a.Period.Invoice)
	if err == nil && n == 0 {
		err = ErrInvoiceMoved
	}
	return err
}

// finalize gives a draft its number and its last form, and puts it into the
// outbox: a document that is final is sent, once.
func (s *Store) finalize(ctx context.Context, w *writeTx, i *schemas.Invoice, version int64, actor string) error {
	var n int64
	err := w.conn.QueryRowContext(ctx, `INSERT INTO invoice_series (series, last) VALUES (?, 1)
		ON CONFLICT (series) DO UPDATE SET last = invoice_series.last + 1 RETURNING last`, numberSeries(i.Kind)).Scan(&n)
	if err != nil {
		return engineError(err)
	}
	i.Number = numberText(numberSeries(i.Kind), n)
	if i.IssuedAt.IsZero() {
		i.IssuedAt = s.now()
	}
	text, digest, err := documentOf(i)
	if err != nil {
		return err
	}
	payment, told := "open", AlertInvoiceFinal
	if i.Kind == schemas.KindCreditNote {
		payment, told = "", AlertCreditFinal
	}
	moved, err := w.execCount(ctx, `UPDATE invoices SET status = 'final', payment = ?, number = ?, document = ?, digest = ?, total = ?,
		version = version + 1, finalized_at = ? WHERE id = ? AND version = ? AND status = 'draft'`,
		payment, n, text, digest, i.Total, i.IssuedAt.UnixMicro(), i.ID, version)
	if err != nil {
		return err
	}
	if moved == 0 {
		return ErrInvoiceMoved
	}
	if err := s.tellInvoice(ctx, w, told, &Invoice{Invoice: *i, Status: "final", Payment: payment}, ""); err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "finalize", Noun: string(i.Kind), Subject: i.ID, Account: i.Customer.Account,
		After: map[string]string{"number": i.Number, "month": i.Month, "total": i.Total, "currency": i.Currency}})
}

// StateError: what was asked for does not fit the invoice's status.
type StateError struct{ Problem string }

func (e *StateError) Error() string { return e.Problem }

// PayInvoice sets a final invoice's payment: open, paid or overdue. ErrNotFound,
// *StateError.
func (s *Store) PayInvoice(ctx context.Context, actor, id, payment string) (Invoice, error) {
	return s.changeInvoice(ctx, actor, payment, id, func(w *writeTx, i *Invoice) error {
		if i.Status != "final" || i.Kind != schemas.KindInvoice {
			return &StateError{fmt.Sprintf("the %s is %s: only a final invoice is paid", i.Kind, i.Status)}
		}
		i.Payment = payment
		return nil
	})
}

// VoidInvoice takes a final invoice back as if it had never been sent. Its
// number stays taken, and its period is not billed again. One that adjusts
// earlier periods, or whose own was adjusted since, is credited instead.
func (s *Store) VoidInvoice(ctx context.Context, actor, id string) (Invoice, error) {
	return s.changeInvoice(ctx, actor, "void", id, func(w *writeTx, i *Invoice) error {
		switch {
		case i.Status != "final" || i.Kind != schemas.KindInvoice:
			return &StateError{fmt.Sprintf("the %s is %s: only a final invoice can be made void", i.Kind, i.Status)}
		case i.Payment == "paid":
			return &StateError{"the invoice is paid: credit it"}
		case len(i.Periods) > 1:
			return &StateError{"the invoice adjusts earlier periods: credit it"}
		}
		since, err := adjustedSince(ctx, w, i)
		if err != nil {
			return err
		}
		if len(since) > 0 {
			return &StateError{"what the invoice bills was adjusted by later documents: credit it"}
		}
		i.Status, i.Payment = "void", ""
		return nil
	})
}

// CreditInvoice takes a final invoice back by a credit note of its own, which is
// returned, with what others have adjusted of its period since. The period is not
// billed or adjusted again; earlier periods that it adjusted are owed as before
// it, so that the next invoice adjusts them.
func (s *Store) CreditInvoice(ctx context.Context, actor, id, reason string) (Invoice, error) {
	var note schemas.Invoice
	_, err := s.changeInvoice(ctx, actor, "credit", id, func(w *writeTx, i *Invoice) error {
		if i.Status != "final" || i.Kind != schemas.KindInvoice {
			return &StateError{fmt.Sprintf("the %s is %s: only a final invoice can be credited", i.Kind, i.Status)}
		}
		made, err := creditNote(ctx, w, i, reason)
		if err != nil {
			return err
		}
		note = *made
		i.Status = "credited"
		for p := range i.Periods[1:] {
			if err := takeBackAdjustments(ctx, w, i, p+1); err != nil {
				return err
			}
		}
		if err := s.insertInvoice(ctx, w, &note, "credit/"+i.ID); err != nil {
			return err
		}
		return s.finalize(ctx, w, &note, 1, actor)
	})
	if err != nil {
		return Invoice{}, err
	}
	return s.Invoice(ctx, note.ID)
}

// negated is a decimal as text with the other sign; zero has none.
func negated(text string) string {
	switch {
	case isZero(text):
		return text
	case text[0] == '-':
		return text[1:]
	}
	return "-" + text
}

func isZero(decimal string) bool { return strings.Trim(decimal, "-0.") == "" }

// invoiceTold is what is told of an invoice that becomes paid, overdue or void. A
// credited one is told of by its credit note.
var invoiceTold = map[string]string{"paid": AlertInvoicePaid, "overdue": AlertInvoiceOverdue, "void": AlertInvoiceVoid}

func (s *Store) changeInvoice(ctx context.Context, actor, action, id string, change func(*writeTx, *Invoice) error) (Invoice, error) {
	var i Invoice
	err := s.transact(ctx, func(w *writeTx) (err error) {
		if i, err = readInvoice(ctx, w.conn, id); err != nil {
			return err
		}
		status, payment := i.Status, i.Payment
		if err := change(w, &i); err != nil {
			return err
		}
		if i.Status == status && i.Payment == payment {
			return nil
		}
		if err := w.exec(ctx, `UPDATE invoices SET status = ?, payment = ?, version = version + 1 WHERE id = ?`, i.Status, i.Payment, id); err != nil {
			return err
		}
		i.Version++
		became := i.Payment
		if i.Status != status {
			became = i.Status
		}
		if told, ok := invoiceTold[became]; ok {
			if err := s.tellInvoice(ctx, w, told, &i, fmt.Sprintf("/%d", i.Version)); err != nil {
				return err
			}
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: action, Noun: "invoice", Subject: id, Account: i.Customer.Account,
			Before: map[string]string{"status": status, "payment": payment}, After: map[string]string{"status": i.Status, "payment": i.Payment}})
	})
	if err != nil {
		return Invoice{}, fmt.Errorf("change invoice %s: %w", id, err)
	}
	return i, nil
}

// LastNumber is the last number that a series gave, 0 before the first.
func (s *Store) LastNumber(ctx context.Context, kind schemas.InvoiceKind) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT last FROM invoice_series WHERE series = ?`, numberSeries(kind)).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read the last number: %w", engineError(err))
	}
	return n, nil
}
