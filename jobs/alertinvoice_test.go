package jobs

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// issue makes a final invoice of a customer.
func (r *alertRig) issue(c store.Customer, month int) store.Invoice {
	r.t.Helper()
	start := time.Date(2026, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
	i := schemas.Invoice{ID: fmt.Sprintf("%s-%d", c.ID, month), Kind: schemas.KindInvoice, Month: start.Format("2006-01"), Currency: "USD", Total: "59.50", Net: "50.00",
		Taxes:    []schemas.InvoiceTax{{Tax: schemas.Tax{Name: "VAT", Percent: "19"}, Base: "50.00", Amount: "9.50"}},
		Customer: schemas.InvoiceCustomer{ID: c.ID, Account: c.Account, Name: c.Name, Email: c.Email, Timezone: c.Timezone},
		Issuer:   "Gauge Ltd\n1 Main St", Note: "Pay within 14 days.\nIBAN 123",
		Periods: []schemas.InvoicePeriod{{Month: start.Format("2006-01"), Start: start, End: start.AddDate(0, 1, 0), Timezone: "UTC"}}}
	l, err := r.store.TakeLease(r.t.Context(), "invoices", "test", time.Time{}, time.Hour)
	if err == nil {
		err = r.store.SaveDraft(r.t.Context(), l, &i, 0)
	}
	if err == nil {
		err = r.store.Finalize(r.t.Context(), l, &store.Finalization{Invoice: &i, Version: 1})
	}
	if err == nil {
		err = r.store.EndLease(r.t.Context(), l, nil)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return store.Invoice{Invoice: i}
}

// texts are the mails that were written.
func (r *alertRig) texts() (all []string) {
	r.t.Helper()
	files, err := filepath.Glob(filepath.Join(r.mails, "*.eml"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, string(text))
	}
	return all
}

// kinds are those of the webhook's calls.
func (h *hook) kinds() (all []string) {
	for _, body := range h.bodies {
		_, rest, _ := strings.Cut(body, `"kind":"`)
		kind, _, _ := strings.Cut(rest, `"`)
		all = append(all, kind)
	}
	slices.Sort(all)
	return all
}

func invoiceRig(t *testing.T) (*alertRig, *hook) {
	r, h := newAlertRig(t), &hook{status: http.StatusNoContent}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	r.cfg.Webhook, r.cfg.WebhookSecret = server.URL, "a secret of the receiver"
	r.cfg.InvoicePDF = func(out io.Writer, i *store.Invoice) error {
		_, err := fmt.Fprintf(out, "drawn %s %s %s", i.Number, i.Status, i.Payment)
		return err
	}
	return r, h
}

// A document that is final is mailed to its customer with its PDF, once, and
// posted; what becomes of it later is posted alone.
func TestInvoicesAreSent(t *testing.T) {
	r, h := invoiceRig(t)
	i := r.issue(r.customer, 1)
	if _, err := r.store.PayInvoice(t.Context(), "test", i.ID, "paid"); err != nil { // before it was sent
		t.Fatal(err)
	}
	for range 3 {
		r.deliver()
		r.now = r.now.Add(time.Hour)
	}
	mails := r.texts()
	if len(mails) != 1 {
		t.Fatalf("got %d mails, want 1:\n%s", len(mails), strings.Join(mails, "\n"))
	}
	for _, want := range []string{"Subject: Invoice INV-000001, 2026-01: 59.50 USD", "ann@acme.example", `From: "Gauge Ltd"`, "Net: 50.00 USD", "VAT 19 %: 9.50 USD",
		"Pay within 14 days.", `filename="INV-000001.pdf"`, base64.StdEncoding.EncodeToString([]byte("drawn INV-000001 final open"))} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("%q is not in\n%s", want, mails[0])
		}
	}
	if got, want := h.kinds(), []string{store.AlertInvoiceFinal, store.AlertInvoicePaid}; !slices.Equal(got, want) {
		t.Errorf("posted: got %q, want %q", got, want)
	}
	note, err := r.store.CreditInvoice(t.Context(), "test", i.ID, "a mistake")
	if err != nil {
		t.Fatal(err)
	}
	r.deliver()
	if got := r.headers("Subject"); len(got) != 2 || got[0] != "Credit note CN-000001, 2026-01: -59.50 USD" {
		t.Errorf("the credit note: got %q", got)
	}
	if got, want := h.kinds(), []string{store.AlertCreditFinal, store.AlertInvoiceFinal, store.AlertInvoicePaid}; !slices.Equal(got, want) || note.Status != "final" {
		t.Errorf("posted: got %q, want %q", got, want)
	}
	if body := h.bodies[len(h.bodies)-1]; !strings.Contains(body, `"number":"CN-000001"`) || !strings.Contains(body, `"creditFor":"INV-000001"`) {
		t.Errorf("posted: got %s", body)
	}
}

// Each change of the payment is posted, and a void invoice is not mailed.
func TestInvoicePaymentsArePosted(t *testing.T) {
	r, h := invoiceRig(t)
	first, second := r.issue(r.customer, 1), r.issue(r.customer, 2)
	if _, err := r.store.VoidInvoice(t.Context(), "test", second.ID); err != nil {
		t.Fatal(err)
	}
	for _, payment := range []string{"overdue", "overdue", "paid", "open", "paid"} {
		if _, err := r.store.PayInvoice(t.Context(), "test", first.ID, payment); err != nil {
			t.Fatal(err)
		}
	}
	r.deliver()
	want := []string{store.AlertInvoiceFinal, store.AlertInvoiceFinal, store.AlertInvoiceOverdue, store.AlertInvoicePaid, store.AlertInvoicePaid, store.AlertInvoiceVoid}
	if got := h.kinds(); !slices.Equal(got, want) {
		t.Errorf("posted: got %q, want %q", got, want)
	}
	if got := r.headers("Subject"); len(got) != 1 {
		t.Errorf("got %q, want the first invoice alone", got)
	}
}

// A customer without an address that mails can go to: the operators hear of it.
func TestInvoiceWithoutAddress(t *testing.T) {
	r, h := invoiceRig(t)
	none, local := "", "root@localhost"
	for month, address := range []string{none, local} {
		if _, err := r.store.UpdateCustomer(t.Context(), "test", r.customer.ID, store.CustomerUpdate{Email: &address}); err != nil {
			t.Fatal(err)
		}
		r.issue(r.customer, month+1)
		r.deliver()
	}
	if got, want := r.headers("Subject"), []string{"Invoice INV-000001 could not be mailed", "Invoice INV-000002 could not be mailed"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := r.headers("To"); len(got) != 2 || !strings.Contains(got[0], "ops@example.net") || !strings.Contains(got[1], "ops@example.net") {
		t.Errorf("to: got %q, want the operators", got)
	}
	if len(h.got) != 2 {
		t.Errorf("posted %d times, want 2", len(h.got))
	}
}
