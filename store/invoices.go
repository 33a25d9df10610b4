package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tallybook/schemas"
)

// Invoice is a document with what changes about it.
type Invoice struct {
	schemas.Invoice
	Status  string // draft, final, void, credited
	Payment string // open, paid, overdue; "" of a draft and a credit note
	Version int64  // raised by every change
	Text    string // the document as it is stored
	Digest  [32]byte

	CreatedAt time.Time
}

// InvoiceStatuses and InvoicePayments are the values that they can have.
var (
	InvoiceStatuses = []string{"draft", "final", "void", "credited"}
	InvoicePayments = []string{"open", "paid", "overdue"}
)

// ErrInvoiceMoved: the invoice was changed by somebody else since it was read.
var ErrInvoiceMoved = errors.New("the invoice was changed by somebody else")

// ErrDigest: a document is not what was stored.
var ErrDigest = errors.New("the stored document is not what its digest says")

const invoiceColumns = `status, payment, document, digest, version, created_at`

func scanInvoice(row scanner) (Invoice, error) {
	var i Invoice
	var digest []byte
	var created int64
	if err := row.Scan(&i.Status, &i.Payment, &i.Text, &digest, &i.Version, &created); err != nil {
		return i, err
	}
	i.CreatedAt = time.UnixMicro(created).UTC()
	if copy(i.Digest[:], digest); i.Digest != sha256.Sum256([]byte(i.Text)) {
		return i, ErrDigest
	}
	return i, json.Unmarshal([]byte(i.Text), &i.Invoice)
}

// Invoice reads a document; ErrNotFound. One whose digest differs is an error
// (ErrDigest).
func (s *Store) Invoice(ctx context.Context, id string) (Invoice, error) {
	i, err := readInvoice(ctx, s.read, id)
	if err != nil {
		return Invoice{}, fmt.Errorf("invoice %s: %w", id, err)
	}
	return i, nil
}

func readInvoice(ctx context.Context, q querier, id string) (Invoice, error) {
	i, err := scanInvoice(q.QueryRowContext(ctx, `SELECT `+invoiceColumns+` FROM invoices WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Invoice{}, ErrNotFound
	}
	return i, engineError(err)
}

// InvoiceByNumber reads a document by its number; ErrNotFound.
func (s *Store) InvoiceByNumber(ctx context.Context, number string) (Invoice, error) {
	series, n, ok := parseNumber(number)
	var id string
	err := sql.ErrNoRows
	if ok {
		err = s.read.QueryRowContext(ctx, `SELECT id FROM invoices WHERE series = ? AND number = ?`, series, n).Scan(&id)
	}
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Invoice{}, fmt.Errorf("invoice %s: %w", number, engineError(err))
	}
	return s.Invoice(ctx, id)
}

// InvoiceFilter narrows Invoices; empty fields do not.
type InvoiceFilter struct {
	Account, Customer, Month, Status, Payment string
	Kind                                      schemas.InvoiceKind
	Drafts                                    bool   // drafts too
	After                                     string // an id
	Limit                                     int
}

// Invoices lists documents, newest first: those made before the one of f.After.
func (s *Store) Invoices(ctx context.Context, f InvoiceFilter) ([]Invoice, error) {
	where := filter{}
	if f.After != "" {
		where.add(`(created_at, id) < (SELECT created_at, id FROM invoices WHERE id = ?)`, f.After)
	}
	for _, c := range []struct{ column, value string }{{"account", f.Account}, {"customer", f.Customer}, {"month", f.Month},
		{"status", f.Status}, {"payment", f.Payment}, {"kind", string(f.Kind)}} {
		if c.value != "" {
			where.add(c.column+` = ?`, c.value)
		}
	}
	if !f.Drafts {
		where.add(`status <> 'draft'`)
	}
	query := `SELECT ` + invoiceColumns + ` FROM invoices` + where.sql() + ` ORDER BY created_at DESC, id DESC` + where.limit(f.Limit)
	rows, err := s.read.QueryContext(ctx, query, where.args...)
	list, err := scanAll(rows, err, scanInvoice)
	if err != nil {
		return nil, fmt.Errorf("list invoices: %w", err)
	}
	return list, nil
}

// Billing is what the invoices job must know of a customer.
type Billing struct {
	Customer      Customer
	First         bool // the first customer of its account, whose are requests that name none
	Subscriptions []Subscription
	Last          *Invoice       // of the latest month; nil: there is none
	Earlier       []BilledPeriod // final ones whose periods may be adjusted, oldest first
	Fault         error          // what could not be read of it, such as ErrDigest; the others hold nevertheless
}

// BilledPeriod is a period that was billed, and what for.
type BilledPeriod struct {
	Period  schemas.InvoicePeriod
	Billed  schemas.Billed
	Version int64
}

// Billings reads up to limit customers by id, those after the given one.
func (v *View) Billings(after string, limit int) ([]Billing, error) {
	customers, err := collect(v, scanCustomer, `SELECT `+customerColumns+` FROM customers WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	if err != nil {
		return nil, err
	}
	list := make([]Billing, len(customers))
	for i := range list {
		if list[i], err = v.billing(customers[i]); err != nil && v.ctx.Err() != nil {
			return nil, fmt.Errorf("customer %s: %w", customers[i].ID, err)
		}
		list[i].Fault = err
	}
	return list, nil
}

func (v *View) billing(c Customer) (b Billing, err error) {
	b.Customer = c
	err = v.tx.QueryRowContext(v.ctx, `SELECT NOT EXISTS (SELECT 1 FROM customers WHERE account = ? AND (created_at, id) < (?, ?))`,
		c.Account, c.CreatedAt.UnixMicro(), c.ID).Scan(&b.First)
	if err != nil {
		return b, engineError(err)
	}
	b.Subscriptions, err = collect(v, scanSubscription, `SELECT `+subscriptionColumns+` FROM subscriptions
		WHERE customer = ? ORDER BY api, version, starts_at, id`, c.ID)
	if err != nil {
		return b, err
	}
	last, err := collect(v, scanInvoice, `SELECT `+invoiceColumns+` FROM invoices
		WHERE customer = ? AND cause LIKE 'period/%' ORDER BY period_end DESC LIMIT 1`, c.ID)
	if err != nil {
		return b, err
	}
	if len(last) > 0 {
		b.Last = &last[0]
	}
	b.Earlier, err = collect(v, scanBilledPeriod, `SELECT i.document, b.billed, b.version FROM invoices i JOIN invoice_billed b ON b.invoice = i.id
		WHERE i.customer = ? AND i.status = 'final' ORDER BY i.period_start`, c.ID)
	return b, err
}

func scanBilledPeriod(row scanner) (p BilledPeriod, err error) {
	var document, billed string
	if err := row.Scan(&document, &billed, &p.Version); err != nil {
		return p, err
	}
	var i schemas.Invoice
	if err := json.Unmarshal([]byte(document), &i); err != nil {
		return p, err
	}
	if len(i.Periods) == 0 {
		return p, fmt.Errorf("invoice %s has no period", i.ID)
	}
	p.Period = i.Periods[0]
	p.Period.Number = i.Number
	return p, json.Unmarshal([]byte(billed), &p.Billed)
}

// RoutesOf are an API version's routes with their prices, by endpoint.
func (v *View) RoutesOf(api, version string) ([]Route, error) {
	routes, err := collect(v, scanRoute, `SELECT `+routeColumns+` FROM routes WHERE api = ? AND version = ? ORDER BY endpoint LIMIT ?`,
		api, version, maxUseRoutes)
	if err != nil {
		return nil, err
	}
	return routes, readPrices(v.ctx, v.tx, routes)
}

// FilesBeyond are live files of a dataset with events of [from, to) of which
// some lie at or beyond the cut.
func (v *View) FilesBeyond(dataset schemas.Topic, from, to int64, cut []schemas.CutPosition) ([]ArchiveFile, error) {
	where := filter{}
	where.add(`retired_at IS NULL AND dataset = ? AND day >= ? AND day <= ? AND min_time < ? AND max_time >= ?`,
		string(dataset), int64(schemas.DayOf(from)), int64(schemas.DayOf(to)), to, from)
	for _, c := range cut {
		where.add(`NOT (topic = ? AND partition = ? AND last_offset < ?)`, string(c.Topic), c.Partition, c.Next)
	}
	return collect(v, scanFile, `SELECT `+fileColumns+` FROM archive_files`+where.sql()+` ORDER BY name`, where.args...)
}

// PriceOf reads a price by its version; ErrNotFound.
func (s *Store) PriceOf(ctx context.Context, version int64) (Price, error) {
	p, err := scanPrice(s.read.QueryRowContext(ctx, `SELECT version, pricing_model, model, params, effective_from, created_at FROM prices
		WHERE version = ?`, version))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return Price{}, fmt.Errorf("price version %d: %w", version, engineError(err))
	}
	return p, nil
}
