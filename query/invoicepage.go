package query

import (
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

//go:embed templates/invoice.html
var templates embed.FS

var invoiceTemplate = template.Must(template.ParseFS(templates, "templates/invoice.html"))

// page is a document in the words that a customer reads, whatever it is drawn as.
type page struct {
	Title, Number, Stamp, Period, Issued, CreditFor, Reason string
	Span, Zone                                              string // of Period
	Customer, Address, Email, Currency                      string
	Lines                                                   []pageLine
	Net                                                     string // "" without taxes
	Taxes                                                   []pagePart
	Total, ID, Digest, Cut                                  string
	Issuer, Note                                            string
}

type pageLine struct {
	Item, Note, Span, Quantity, Amount string
	Parts                              []pagePart
}

type pagePart struct{ Text, Amount string }

// InvoiceHTML writes a document as a page of HTML that needs nothing else.
func InvoiceHTML(out io.Writer, i *store.Invoice) error {
	return invoiceTemplate.Execute(out, pageOf(i))
}

func pageOf(i *store.Invoice) *page {
	p := &page{Title: "Invoice", Number: i.Number, CreditFor: i.CreditFor, Reason: i.Reason, Customer: i.Customer.Name, Address: i.Customer.Address,
		Email: i.Customer.Email, Currency: i.Currency, Total: i.Total, ID: i.ID, Digest: hex.EncodeToString(i.Digest[:]), Cut: cutText(i.Cut), Net: i.Net,
		Issuer: i.Issuer, Note: i.Note}
	for _, t := range i.Taxes {
		p.Taxes = append(p.Taxes, pagePart{fmt.Sprintf("%s %s %% of %s", t.Name, t.Percent, t.Base), t.Amount})
	}
	if i.Kind == schemas.KindCreditNote {
		p.Title = "Credit note"
	}
	switch {
	case i.Status == "draft":
		p.Stamp = "Draft: its numbers may change"
	case i.Status == "void":
		p.Stamp = "Void"
	case i.Status == "credited":
		p.Stamp = "Credited"
	case i.Payment == "paid":
		p.Stamp = "Paid"
	}
	if !i.IssuedAt.IsZero() {
		p.Issued = i.IssuedAt.In(zoneNamed(i.Customer.Timezone)).Format(time.DateOnly)
	}
	if len(i.Periods) > 0 {
		own := &i.Periods[0]
		p.Span, p.Zone = spanText(own.Start, own.End, zoneNamed(own.Timezone)), own.Timezone
		p.Period = p.Span + ", " + p.Zone
	}
	for n := range i.Lines {
		p.Lines = append(p.Lines, pageLineOf(i, &i.Lines[n]))
	}
	return p
}

func zoneNamed(name string) *time.Location {
	if zone, err := time.LoadLocation(name); err == nil {
		return zone
	}
	return time.UTC
}

// spanText shows days where the edges are midnights, the last one included.
func spanText(start, end time.Time, zone *time.Location) string {
	start, end = start.In(zone), end.In(zone)
	midnight := func(t time.Time) bool { return t.Equal(time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone)) }
	if midnight(start) && midnight(end) {
		return start.Format(time.DateOnly) + " – " + end.AddDate(0, 0, -1).Format(time.DateOnly)
	}
	return start.Format(time.DateTime) + " – " + end.Format(time.DateTime)
}

func cutText(cut []schemas.CutPosition) string {
	var parts []string
	for _, c := range cut {
		parts = append(parts, fmt.Sprintf("%s/%d:%d", c.Topic, c.Partition, c.Next))
	}
	if len(parts) == 0 {
		return "the beginning of the log"
	}
	return strings.Join(parts, ", ")
}

func pageLineOf(i *store.Invoice, l *schemas.InvoiceLine) pageLine {
	endpoint := l.Price.Endpoint
	if endpoint == "" {
		endpoint = "all endpoints"
	}
	zone := time.UTC
	p := pageLine{Item: fmt.Sprintf("%s %s, %s", l.Price.API, l.Price.Version, endpoint), Quantity: l.Quantity, Amount: l.Amount}
	if l.Period >= 0 && l.Period < len(i.Periods) {
		of := &i.Periods[l.Period]
		zone = zoneNamed(of.Timezone)
		switch l.Kind {
		case schemas.LineAdjustment:
			p.Note = fmt.Sprintf("Adjustment of %s, %s: %s in all, less %s billed before", of.Number, of.Month, l.Rated, l.Billed)
		case schemas.LineCredit:
			p.Note = "Taken back"
			if l.Billed != "0" && l.Period == 0 {
				p.Note += ", with what later documents adjusted of it"
			}
		}
	}
	if l.IsMinimum() {
		p.Item, p.Quantity = "Minimum commitment", ""
	}
	p.Span = spanText(l.Price.Start, l.Price.End, zone)
	for n := range l.Parts {
		p.Parts = append(p.Parts, pagePart{partText(&l.Parts[n]), l.Parts[n].Amount})
	}
	return p
}

// partText says how a part's amount came about.
func partText(p *schemas.InvoicePart) string {
	var b strings.Builder
	if p.Tier > 0 {
		upTo := p.UpTo
		if upTo == "" {
			upTo = "…"
		}
		fmt.Fprintf(&b, "Tier %d (above %s, to %s): ", p.Tier, orZero(p.Above), upTo)
	}
	switch p.Kind {
	case "free":
		fmt.Fprintf(&b, "%s free", p.Quantity)
	case "flat":
		b.WriteString("Fixed price " + p.Price)
	case "tier_fee":
		b.WriteString("Fee of the tier")
	case "packages":
		fmt.Fprintf(&b, "%s packages at %s", p.Quantity, p.Price)
	case "event_fee":
		fmt.Fprintf(&b, "%s events at %s", p.Quantity, p.Price)
	case "event_min":
		fmt.Fprintf(&b, "%s events raised to %s each", p.Quantity, p.Price)
	case "event_max":
		fmt.Fprintf(&b, "%s events cut to %s each", p.Quantity, p.Price)
	case "discount":
		fmt.Fprintf(&b, "Discount %s %%", strings.TrimPrefix(p.Percent, "-"))
	case "maximum":
		b.WriteString("Maximum " + p.Price)
	case "minimum":
		b.WriteString("Minimum " + p.Price)
	case "commitment":
		fmt.Fprintf(&b, "Minimum %s, less %s of usage", p.Price, p.Quantity)
	case "rounding":
		b.WriteString("Rounding")
	case "usage":
		if p.Percent != "" {
			fmt.Fprintf(&b, "%s × %s %%", p.Quantity, p.Percent)
		} else {
			fmt.Fprintf(&b, "%s × %s", p.Quantity, p.Price)
		}
	default:
		b.WriteString(p.Kind)
	}
	if p.Share != nil {
		fmt.Fprintf(&b, ", %d of %d", p.Share.Part, p.Share.Of)
	}
	return b.String()
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}
