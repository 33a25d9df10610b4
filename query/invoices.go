package query

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/query/table"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) invoiceEndpoints() []api.Endpoint {
	const one = "/v1/invoices/{id}"
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/invoices", Access: api.Account, Form: api.PlainForm, Handle: q.listInvoices},
		{Method: "GET", Path: one, Access: api.Account, Form: api.PlainForm, Handle: q.getInvoice},
		{Method: "PATCH", Path: one, Access: api.Admin, Form: api.PlainForm, Handle: q.patchInvoice},
		{Method: "GET", Path: one + "/download", Access: api.Account, Form: api.PlainForm, Handle: q.downloadInvoice},
		{Method: "POST", Path: one + "/void", Access: api.Admin, Form: api.PlainForm, Handle: q.voidInvoice},
		{Method: "POST", Path: one + "/credit", Access: api.Admin, Form: api.PlainForm, Handle: q.creditInvoice},
	}
}

// InvoiceView is a document as the API shows it.
type InvoiceView struct {
	ID          string                  `json:"id"`
	Kind        schemas.InvoiceKind     `json:"kind"`
	Number      *string                 `json:"number"` // null of a draft
	Status      string                  `json:"status"`
	Payment     *string                 `json:"payment"` // null of a draft, a credit note, and what is void
	Month       string                  `json:"month"`
	PeriodStart time.Time               `json:"periodStart"`
	PeriodEnd   time.Time               `json:"periodEnd"`
	Customer    schemas.InvoiceCustomer `json:"customer"`
	Currency    string                  `json:"currency"`
	Net         string                  `json:"net"` // the lines
	Taxes       []schemas.InvoiceTax    `json:"taxes"`
	Total       string                  `json:"total"` // lines and taxes
	CreatedAt   time.Time               `json:"createdAt"`
	IssuedAt    *time.Time              `json:"issuedAt"`
	CreditOf    string                  `json:"creditOf,omitempty"`
	CreditFor   string                  `json:"creditFor,omitempty"`
	Reason      string                  `json:"reason,omitempty"`
	Issuer      string                  `json:"issuer,omitempty"`
	Note        string                  `json:"note,omitempty"`
	Digest      string                  `json:"digest"` // SHA-256 of the stored document

	// Not in lists.
	Cut     []schemas.CutPosition `json:"cut,omitempty"`
	Lines   []invoiceLineView     `json:"lines,omitempty"`
	Unrated *schemas.Unrated      `json:"unrated,omitempty"`
}

// invoiceLineView is a line with the period that it is of.
type invoiceLineView struct {
	schemas.InvoiceLine
	Month   string `json:"month"`
	Invoice string `json:"invoice"` // whose period it is
}

func invoiceHead(i *store.Invoice) InvoiceView {
	v := InvoiceView{ID: i.ID, Kind: i.Kind, Number: orNull(i.Number), Status: i.Status, Payment: orNull(i.Payment), Month: i.Month, Customer: i.Customer,
		Currency: i.Currency, Total: i.Total, CreatedAt: i.CreatedAt, CreditOf: i.CreditOf, CreditFor: i.CreditFor, Reason: i.Reason,
		Net: netOf(i), Taxes: append([]schemas.InvoiceTax{}, i.Taxes...), Issuer: i.Issuer, Note: i.Note, Digest: fmt.Sprintf("%x", i.Digest)}
	if len(i.Periods) > 0 {
		v.PeriodStart, v.PeriodEnd = i.Periods[0].Start, i.Periods[0].End
	}
	if !i.IssuedAt.IsZero() {
		v.IssuedAt = &i.IssuedAt
	}
	return v
}

// InvoiceViewOf is a document with its lines.
func InvoiceViewOf(i *store.Invoice) InvoiceView {
	v := invoiceHead(i)
	v.Cut, v.Unrated = i.Cut, &i.Unrated
	for _, l := range i.Lines {
		line := invoiceLineView{InvoiceLine: l}
		if l.Period >= 0 && l.Period < len(i.Periods) {
			line.Month, line.Invoice = i.Periods[l.Period].Month, i.Periods[l.Period].Invoice
		}
		v.Lines = append(v.Lines, line)
	}
	return v
}

// netOf is what the lines come to; without taxes that is the total.
func netOf(i *store.Invoice) string {
	if len(i.Taxes) == 0 {
		return i.Total
	}
	return i.Net
}

func orNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// listInvoices lists documents, newest first: those of an account's key without drafts,
// and of a customer's key its own alone.
func (q *Server) listInvoices(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, get, err := paging(r, "customer", "month", "status", "payment", "kind")
	if err != nil {
		return err
	}
	caller := api.CallerOf(r.Context())
	f := store.InvoiceFilter{Account: caller.Account, Customer: get("customer"), Month: get("month"), Status: get("status"), Payment: get("payment"),
		Kind: schemas.InvoiceKind(get("kind")), Drafts: caller.IsAdmin(), After: cursor, Limit: limit + 1}
	for _, c := range []struct {
		name, value string
		allowed     []string
	}{{"status", f.Status, store.InvoiceStatuses}, {"payment", f.Payment, store.InvoicePayments},
		{"kind", string(f.Kind), []string{string(schemas.KindInvoice), string(schemas.KindCreditNote)}}} {
		if c.value != "" && !slices.Contains(c.allowed, c.value) {
			return api.Invalid(c.name, "%s must be one of %s", c.name, strings.Join(c.allowed, ", "))
		}
	}
	if _, err := schemas.ParseMonth(f.Month); f.Month != "" && err != nil {
		return api.Invalid("month", "month must be YYYY-MM, such as 2026-01")
	}
	if cursor != "" {
		if _, err := q.cfg.Store.Invoice(r.Context(), cursor); errors.Is(err, store.ErrNotFound) {
			return api.Invalid("cursor", "cursor must be the next of the page before")
		}
	}
	if caller.Customer != "" {
		if f.Customer != "" && f.Customer != caller.Customer {
			return api.Invalid("customer", "customer must be the key's own, or left out")
		}
		f.Customer = caller.Customer
	}
	list, err := q.cfg.Store.Invoices(r.Context(), f)
	if err != nil {
		return err
	}
	writePage(w, "invoices", limit, list, func(i *store.Invoice) string { return i.ID }, invoiceHead)
	return nil
}

// invoiceOf reads the path's document, by its id or number; one that the caller
// may not see is not there.
func (q *Server) invoiceOf(r *http.Request) (store.Invoice, error) {
	id, caller := mux.Vars(r)["id"], api.CallerOf(r.Context())
	i, err := q.cfg.Store.Invoice(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		i, err = q.cfg.Store.InvoiceByNumber(r.Context(), id)
	}
	hidden := caller.Account != "" && caller.Account != i.Customer.Account || caller.Customer != "" && caller.Customer != i.Customer.ID ||
		!caller.IsAdmin() && i.Status == "draft"
	if errors.Is(err, store.ErrNotFound) || err == nil && hidden {
		return store.Invoice{}, api.NotFound("there is no invoice %q; GET /v1/invoices lists them", id)
	}
	return i, err
}

func (q *Server) getInvoice(w http.ResponseWriter, r *http.Request) error {
	if _, err := parameters(r); err != nil {
		return err
	}
	i, err := q.invoiceOf(r)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, InvoiceViewOf(&i))
	return nil
}

// patchInvoice sets the payment.
func (q *Server) patchInvoice(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Payment string `json:"payment"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	if !slices.Contains(store.InvoicePayments, body.Payment) {
		return api.Invalid("payment", "payment must be one of %s", strings.Join(store.InvoicePayments, ", "))
	}
	return q.changeInvoice(w, r, http.StatusOK, func(actor, id string) (store.Invoice, error) {
		return q.cfg.Store.PayInvoice(r.Context(), actor, id, body.Payment)
	})
}

func (q *Server) voidInvoice(w http.ResponseWriter, r *http.Request) error {
	return q.changeInvoice(w, r, http.StatusOK, func(actor, id string) (store.Invoice, error) {
		return q.cfg.Store.VoidInvoice(r.Context(), actor, id)
	})
}

// maxReason bounds the reason of a credit note.
const maxReason = 1000

// creditInvoice answers with the credit note.
func (q *Server) creditInvoice(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Reason string `json:"reason"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	if body.Reason == "" || len(body.Reason) > maxReason || strings.ContainsFunc(body.Reason, isControl) {
		return api.Invalid("reason", "reason is required: up to %d bytes without control characters", maxReason)
	}
	return q.changeInvoice(w, r, http.StatusCreated, func(actor, id string) (store.Invoice, error) {
		return q.cfg.Store.CreditInvoice(r.Context(), actor, id, body.Reason)
	})
}

func (q *Server) changeInvoice(w http.ResponseWriter, r *http.Request, status int, change func(actor, id string) (store.Invoice, error)) error {
	i, err := q.invoiceOf(r)
	if err != nil {
		return err
	}
	i, err = change(api.CallerOf(r.Context()).Actor(), i.ID)
	var state *store.StateError
	if errors.As(err, &state) {
		return api.Conflict("status", "%s", state.Problem)
	}
	if err != nil {
		return err
	}
	if status == http.StatusCreated {
		w.Header().Set("Location", "/v1/invoices/"+i.ID)
	}
	api.WriteJSON(w, status, InvoiceViewOf(&i))
	return nil
}

// invoiceForms are what a document is downloaded as.
var invoiceForms = map[string]struct {
	contentType string
	write       func(*bytes.Buffer, *store.Invoice) error
}{
	"html": {"text/html; charset=utf-8", func(b *bytes.Buffer, i *store.Invoice) error { return InvoiceHTML(b, i) }},
	"pdf":  {"application/pdf", func(b *bytes.Buffer, i *store.Invoice) error { return InvoicePDF(b, i) }},
	"csv":  {"text/csv; charset=utf-8", func(b *bytes.Buffer, i *store.Invoice) error { return InvoiceCSV(b, i) }},
}

func (q *Server) downloadInvoice(w http.ResponseWriter, r *http.Request) error {
	values, err := parameters(r, "format")
	if err != nil {
		return err
	}
	name := values.Get("format")
	if name == "" {
		name = "html"
	}
	form, ok := invoiceForms[name]
	if !ok {
		return api.Invalid("format", "format must be one of csv, html, pdf")
	}
	i, err := q.invoiceOf(r)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := form.write(&b, &i); err != nil {
		return fmt.Errorf("write invoice %s as %s: %w", i.ID, name, err)
	}
	file := i.Number
	if file == "" {
		file = "draft-" + i.ID
	}
	w.Header().Set("Content-Type", form.contentType)
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", file+"."+name))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_, err = w.Write(b.Bytes())
	return err
}

// InvoiceCSV has a row for each line, and one for each tax: its amount, and in
// quantity what it is on.
func InvoiceCSV(w io.Writer, i *store.Invoice) error {
	out, text := csv.NewWriter(w), table.CSVText
	out.Write([]string{"number", "month", "customer", "line", "kind", "api", "version", "endpoint", "model", "price_version",
		"from", "to", "quantity", "events", "rows", "row_sum", "rated", "billed", "amount", "currency"})
	for n, l := range InvoiceViewOf(i).Lines {
		out.Write([]string{i.Number, l.Month, text(i.Customer.Name), strconv.Itoa(n + 1), string(l.Kind), text(l.Price.API), text(l.Price.Version), text(l.Price.Endpoint),
			l.Price.Model, strconv.FormatInt(l.Price.PriceVersion, 10), l.Price.Start.Format(time.RFC3339Nano), l.Price.End.Format(time.RFC3339Nano),
			l.Quantity, strconv.FormatInt(l.Events, 10), strconv.FormatInt(l.Rows, 10), l.RowSum.String(), l.Rated, l.Billed, l.Amount, i.Currency})
	}
	for _, t := range i.Taxes {
		row := make([]string, 20)
		row[0], row[1], row[2], row[4], row[5], row[12], row[18], row[19] = i.Number, i.Month, text(i.Customer.Name), "tax",
			text(t.Name+" "+string(t.Percent)+" %"), t.Base, t.Amount, i.Currency
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}
