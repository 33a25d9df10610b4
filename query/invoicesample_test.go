package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/schemas/rating"
	"tallybook/store"
)

// sampleModels has a price for each pricing model, and what was used of it.
var sampleModels = []struct{ endpoint, model, params, quantity string }{
	{"", "flat", `{"amount":"49"}`, "1"},
	{"/v1/orders", "per_unit", `{"unit_price":"0.0125","free_units":"1000"}`, "1234567.5"},
	{"/v1/search", "graduated", `{"tiers":[{"up_to":"1000","unit_price":"0.05","flat_fee":"10"},{"up_to":"10000","unit_price":"0.04"},{"up_to":null,"unit_price":"0.03"}],"discount_percent":"5"}`, "25000"},
	{"/v1/images/{size}/thumbnails", "volume", `{"tiers":[{"up_to":"500","unit_price":"0.9"},{"up_to":null,"unit_price":"0.75"}]}`, "501"},
	{"/v1/messages", "package", `{"package_size":"100","package_price":"5.5","free_units":"50"}`, "1051"},
	{"/v1/charges", "percentage", `{"rate_percent":"1.4","fixed_per_event":"0.25","event_count":"120","minimum_amount":"500"}`, "9999.99"},
	{"/v1/transfers", "percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3","min_per_event":"1","max_per_event":"5"}`, "10,20,400"},
	{"/v1/payouts", "graduated_percentage", `{"tiers":[{"up_to":"1000","rate_percent":"1"},{"up_to":null,"rate_percent":"0.5"}]}`, "4200"},
}

func sampleLine(t *testing.T, n int, currency string, period *schemas.InvoicePeriod) schemas.InvoiceLine {
	t.Helper()
	m := sampleModels[n]
	price, bad := rating.Parse("", m.model, []byte(m.params))
	if len(bad) > 0 {
		t.Fatal(bad)
	}
	tally, sum := price.Tally(), rating.NumberOf(0)
	events := strings.Split(m.quantity, ",")
	for _, text := range events {
		q, err := rating.ParseNumber(text)
		if err == nil && m.model == "percentage_per_event" {
			err = tally.Event(q)
		} else if err == nil {
			err = tally.Total(q, 120)
		}
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Plus(q)
	}
	span := rating.Span{Start: period.Start, End: period.End}
	line, err := tally.Line(rating.Term{Period: span, Held: span, Zone: time.UTC}, rating.MinorPlaces(currency))
	if err != nil {
		t.Fatal(err)
	}
	l := schemas.InvoiceLine{Kind: schemas.LineUsage, Quantity: sum.String(), Rated: line.Amount.String(), Billed: "0", Amount: line.Amount.String(),
		Price: schemas.InvoicePrice{API: "shop", Version: "v1", Endpoint: m.endpoint, Model: m.model, Start: period.Start, End: period.End}}
	text, err := json.Marshal(line.Parts)
	if err == nil {
		err = json.Unmarshal(text, &l.Parts)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// sampleInvoice has lines of every kind, n times over.
func sampleInvoice(t *testing.T, currency, name string, n int) *store.Invoice {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	month := func(m time.Month) schemas.InvoicePeriod {
		start := time.Date(2026, m, 1, 0, 0, 0, 0, zone)
		return schemas.InvoicePeriod{Invoice: "x", Number: fmt.Sprintf("INV-%06d", m), Month: start.Format("2006-01"), Start: start, End: start.AddDate(0, 1, 0), Timezone: "Europe/Berlin"}
	}
	i := &store.Invoice{Status: "final", Payment: "open"}
	i.Invoice = schemas.Invoice{ID: "0123456789abcdef", Kind: schemas.KindInvoice, Number: "INV-000042", IssuedAt: time.Date(2026, 3, 4, 1, 2, 3, 0, time.UTC),
		Month: "2026-02", Currency: currency, Periods: []schemas.InvoicePeriod{month(2), month(1)},
		Customer: schemas.InvoiceCustomer{Name: name, Address: "Große Elbstraße 145\n22767 Hamburg\nDeutschland", Email: "rechnung@müller-lüdenscheidt.example", Timezone: "Europe/Berlin"},
		Issuer:   "Gauge & Söhne GmbH\nLange Straße 1, 10115 Berlin\nUSt-IdNr. DE123456789", Note: "Payable within 14 days without deduction.\nIBAN DE02 1203 0000 0000 2020 51, please name INV-000042."}
	total, places := rating.NumberOf(0), rating.MinorPlaces(currency)
	for range n {
		for m := range sampleModels {
			i.Lines = append(i.Lines, sampleLine(t, m, currency, &i.Periods[0]))
		}
	}
	adjusted := sampleLine(t, 1, currency, &i.Periods[1])
	adjusted.Kind, adjusted.Period, adjusted.Billed = schemas.LineAdjustment, 1, "15000"
	adjusted.Amount = rating.NumberOf(407).Round(places).String()
	i.Lines = append(i.Lines, adjusted, schemas.InvoiceLine{Kind: schemas.LineMinimum, Quantity: "0", Rated: "100", Billed: "0", Amount: rating.NumberOf(100).Round(places).String(),
		Price: schemas.InvoicePrice{Model: schemas.MinimumModel, Start: i.Periods[0].Start, End: i.Periods[0].End},
		Parts: []schemas.InvoicePart{{Kind: "commitment", Quantity: "20000", Price: "20100", Amount: "100"}}})
	for _, l := range i.Lines {
		amount, err := rating.ParseAmount(l.Amount)
		if err != nil {
			t.Fatal(err)
		}
		total = total.Plus(amount)
	}
	percent, err := rating.ParseNumber("19")
	if err != nil {
		t.Fatal(err)
	}
	tax := total.Percent(percent).Round(places)
	i.Net, i.Total = total.Round(places).String(), total.Plus(tax).Round(places).String()
	i.Taxes = []schemas.InvoiceTax{{Tax: schemas.Tax{Name: "USt", Percent: "19"}, Base: i.Net, Amount: tax.String()}}
	return i
}
