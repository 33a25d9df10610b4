package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tallybook/mail"
	"tallybook/schemas"
	"tallybook/store"
)

// mailInvoice sends a document to its customer, as PDF. Where there is no
// address the operators hear of it: the webhook, if there is one, has it anyway.
func (c *AlertConfig) mailInvoice(ctx context.Context, a *store.DueAlert) error {
	var details store.InvoiceAlert
	if err := detailsOf(a, &details); err != nil {
		return err
	}
	i, err := c.Store.Invoice(ctx, details.ID)
	if err != nil {
		return err
	}
	if i.Status == "void" { // before it was sent
		return nil
	}
	address := i.Customer.Email
	customer, err := c.Store.Customer(ctx, i.Customer.ID)
	if err == nil {
		address = customer.Email
	} else if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if address == "" {
		return c.notMailed(ctx, a, &i, "the customer has no e-mail address")
	}
	issued := i
	issued.Status, issued.Payment = "final", "open"
	var pdf bytes.Buffer
	if err := c.InvoicePDF(&pdf, &issued); err != nil {
		return fmt.Errorf("draw %s: %w", i.Number, err)
	}
	text := invoiceText(&i)
	err = c.sendOne(ctx, "customer-"+a.ID, mail.Request{To: address, ToName: i.Customer.Name, FromName: issuerName(&i), Subject: text.subject, Body: text.html(),
		Tags: []string{"invoice"}, Attachment: &store.MailAttachment{Name: i.Number + ".pdf", Type: "application/pdf", Content: pdf.Bytes()}})
	var invalid *mail.Invalid
	if errors.As(err, &invalid) {
		return c.notMailed(ctx, a, &i, invalid.Error())
	}
	return err
}

// notMailed tells the operators of a document that has no way to its customer.
func (c *AlertConfig) notMailed(ctx context.Context, a *store.DueAlert, i *store.Invoice, why string) error {
	c.Log.Warn("an invoice is not mailed", "number", i.Number, "customer", i.Customer.ID, "reason", why)
	if c.Operators == "" {
		return nil
	}
	return c.send(ctx, "operators-"+a.ID, c.Operators, "Operators", alertText{subject: documentName(i) + " could not be mailed", lines: []string{
		"Customer: " + i.Customer.Name + " (account " + i.Customer.Account + ")", "Reason: " + why,
		"The document can be downloaded: GET /v1/invoices/" + i.Number + "/download?format=pdf."}})
}

func documentName(i *store.Invoice) string {
	if i.Kind == schemas.KindCreditNote {
		return "Credit note " + i.Number
	}
	return "Invoice " + i.Number
}

// maxIssuerName bounds the sender's name, in bytes.
const maxIssuerName = 100

// issuerName is the first line of who issued it.
func issuerName(i *store.Invoice) string {
	name, _, _ := strings.Cut(strings.TrimSpace(i.Issuer), "\n")
	if name = strings.TrimSpace(name); name == "" || len(name) > maxIssuerName {
		return "Tallybook"
	}
	return name
}

func invoiceText(i *store.Invoice) alertText {
	t := alertText{subject: fmt.Sprintf("%s, %s: %s %s", documentName(i), i.Month, i.Total, i.Currency)}
	first := documentName(i) + " is attached as PDF."
	if i.CreditFor != "" {
		first = documentName(i) + ", which takes back invoice " + i.CreditFor + ", is attached as PDF."
	}
	t.lines = append(t.lines, first)
	if zone, err := time.LoadLocation(i.Customer.Timezone); err == nil && len(i.Periods) > 0 {
		const minute = "2006-01-02 15:04"
		t.lines = append(t.lines, fmt.Sprintf("Period: %s to %s (%s)", i.Periods[0].Start.In(zone).Format(minute), i.Periods[0].End.In(zone).Format(minute), i.Customer.Timezone))
	}
	if len(i.Taxes) > 0 {
		t.lines = append(t.lines, "Net: "+i.Net+" "+i.Currency)
		for _, tax := range i.Taxes {
			t.lines = append(t.lines, fmt.Sprintf("%s %s %%: %s %s", tax.Name, tax.Percent, tax.Amount, i.Currency))
		}
	}
	t.lines = append(t.lines, "Total: "+i.Total+" "+i.Currency)
	for line := range strings.Lines(i.Note) {
		if line = strings.TrimSpace(line); line != "" {
			t.lines = append(t.lines, line)
		}
	}
	return t
}
