package schemas

import (
	"encoding/json"
	"time"
)

// Invoice is a document of money: an invoice, or a credit note. A final one is
// never changed. Amounts and quantities are decimals as text. It can be proven
// from the archive alone: Periods say which rows were rated with which prices,
// Cut up to where the log was read, and each line what came of it.
type Invoice struct {
	ID        string          `json:"id"`
	Kind      InvoiceKind     `json:"kind"`
	Number    string          `json:"number"` // "" of a draft
	IssuedAt  time.Time       `json:"issuedAt,omitzero"`
	Month     string          `json:"month"` // YYYY-MM of the period that it is made for
	Customer  InvoiceCustomer `json:"customer"`
	Currency  string          `json:"currency"`
	Periods   []InvoicePeriod `json:"periods"` // the first is its own, others were billed before and are adjusted
	Cut       []CutPosition   `json:"cut"`     // rows of lower offsets are in the numbers, others are not
	Lines     []InvoiceLine   `json:"lines"`
	Unrated   Unrated         `json:"unrated"`
	Net       string          `json:"net,omitempty"`       // the sum of the lines' amounts, where taxes are added
	Taxes     []InvoiceTax    `json:"taxes,omitempty"`     // by rate
	Total     string          `json:"total"`               // the lines and the taxes
	CreditOf  string          `json:"creditOf,omitempty"`  // the invoice that a credit note takes back
	CreditFor string          `json:"creditFor,omitempty"` // its number
	Reason    string          `json:"reason,omitempty"`
	Issuer    string          `json:"issuer,omitempty"` // whose document it is: name, address, tax number
	Note      string          `json:"note,omitempty"`   // such as how to pay
}

// InvoiceKind is what a document is.
type InvoiceKind string

const (
	KindInvoice    InvoiceKind = "invoice"
	KindCreditNote InvoiceKind = "credit_note"
)

// InvoiceCustomer is the customer as it was.
type InvoiceCustomer struct {
	ID       string `json:"id"`
	Account  string `json:"account"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Email    string `json:"email"`
	Timezone string `json:"timezone"`
}

// InvoicePeriod is a billing period [Start, End), and the rows and prices that
// count in it: requests of Account that name Customer, and, where Unnamed is
// set, those that name none.
type InvoicePeriod struct {
	Invoice  string         `json:"invoice"` // whose period it is: this document's id, or an earlier one's
	Number   string         `json:"number,omitempty"`
	Month    string         `json:"month"`
	Start    time.Time      `json:"start"`
	End      time.Time      `json:"end"`
	Timezone string         `json:"timezone"`
	Account  string         `json:"account"`
	Customer string         `json:"customer"`
	Unnamed  bool           `json:"unnamed"`
	Prices   []InvoicePrice `json:"prices"`
	Minimum  DecimalText    `json:"minimum,omitempty"` // what the period comes to at least, before taxes
	Taxes    []Tax          `json:"taxes,omitempty"`   // on what it comes to
}

// InvoicePrice is a price of a route within a subscription, for the part of a
// period that it held. An event counts for the price of its own endpoint that
// holds at its time, else for one of every endpoint ("").
type InvoicePrice struct {
	Subscription string          `json:"subscription"`
	API          string          `json:"api"`
	Version      string          `json:"version"`
	Endpoint     string          `json:"endpoint"`
	PricingModel string          `json:"pricingModelName"`
	PriceVersion int64           `json:"priceVersion"`
	Model        string          `json:"model"`
	Params       json.RawMessage `json:"params"`
	Start        time.Time       `json:"start"`
	End          time.Time       `json:"end"`
}

// InvoiceTax is a rate, on the lines of all periods that have it, rounded once.
type InvoiceTax struct {
	Tax
	Base   string `json:"base"`
	Amount string `json:"amount"`
}

// InvoiceLine is what one price comes to, or what is owed beside the prices of a
// period up to its minimum (IsMinimum). Amount = Rated - Billed, of a credit
// Billed - Rated. Of the own period nothing was billed before; a credit has there
// what later documents had given back of it, below 0 where they billed more.
type InvoiceLine struct {
	Kind     LineKind      `json:"kind"`
	Period   int           `json:"period"` // index into Periods
	Price    InvoicePrice  `json:"price"`
	Quantity string        `json:"quantity"` // sum of sign × quantity of its rows
	Events   int64         `json:"events"`   // sum of signs
	Rows     int64         `json:"rows"`
	RowSum   RowSum        `json:"rowSum"` // of the hashes of its rows
	Parts    []InvoicePart `json:"parts"`  // how Rated came about; they add up to it
	Rated    string        `json:"rated"`
	Billed   string        `json:"billed"`
	Amount   string        `json:"amount"`
	InSum    bool          `json:"inSum,omitempty"` // rounded with others of its kind in Total, not by itself
}

// MinimumModel stands for a price's model in the line that tops a period up to
// its minimum.
const MinimumModel = "minimum"

// IsMinimum reports that the line is of its period's minimum, and of no price.
func (l *InvoiceLine) IsMinimum() bool { return l.Price.Model == MinimumModel }

// LineKind is why a line is there.
type LineKind string

const (
	LineUsage      LineKind = "usage"
	LineMinimum    LineKind = "minimum"    // what the own period's prices lack of its minimum
	LineAdjustment LineKind = "adjustment" // of a period that was billed before
	LineCredit     LineKind = "credit"     // takes back a line of CreditOf
)

// InvoicePart is a step of rating (rating.Part), its numbers as text.
type InvoicePart struct {
	Kind     string `json:"kind"`
	Tier     int    `json:"tier,omitempty"`
	Above    string `json:"above,omitempty"`
	UpTo     string `json:"upTo,omitempty"`
	Quantity string `json:"quantity,omitempty"`
	Price    string `json:"price,omitempty"`
	Percent  string `json:"percent,omitempty"`
	Share    *struct {
		Part int64 `json:"part"`
		Of   int64 `json:"of"`
	} `json:"share,omitempty"`
	Amount string `json:"amount"`
}

// CutPosition is the offset of a partition up to which rows are in a document.
type CutPosition struct {
	Topic     Topic `json:"topic"`
	Partition int32 `json:"partition"`
	Next      int64 `json:"next"`
}

// Unrated are requests of the own period without a subscription or price.
type Unrated struct {
	Rows     int64  `json:"rows"`
	Quantity string `json:"quantity"`
}

// Billed is what was billed for a period in all, adjustments in later documents
// included: a line for each of the period's prices.
type Billed struct {
	Cut     []CutPosition `json:"cut"`
	Lines   []BilledLine  `json:"lines"`
	Minimum string        `json:"minimum,omitempty"` // what was billed to come to the period's minimum; "": nothing
}

// BilledLine is what a price came to at the cut.
type BilledLine struct {
	Quantity string `json:"quantity"`
	Rows     int64  `json:"rows"`
	RowSum   RowSum `json:"rowSum"`
	Amount   string `json:"amount"`
}

// Below reports whether a row's address lies below the cut. A partition that
// the cut does not have was not read.
func Below(cut []CutPosition, topic Topic, partition int32, offset int64) bool {
	for i := range cut {
		if cut[i].Partition == partition && cut[i].Topic == topic {
			return offset < cut[i].Next
		}
	}
	return false
}

// Month is a calendar month, YYYY-MM.
type Month struct{ Year, Number int }

// MonthOf is the month that a time lies in, in its zone.
func MonthOf(t time.Time) Month { return Month{t.Year(), int(t.Month())} }

// ParseMonth reads String's form.
func ParseMonth(text string) (Month, error) {
	t, err := time.Parse("2006-01", text)
	return MonthOf(t), err
}

// String is YYYY-MM.
func (m Month) String() string { return m.Start(time.UTC).Format("2006-01") }

// Start is the month's first instant in a zone: the first there is of its first
// day, also where the clocks skip midnight.
func (m Month) Start(zone *time.Location) time.Time {
	t := time.Date(m.Year, time.Month(m.Number), 1, 0, 0, 0, 0, zone)
	// Where midnight is skipped, Date gives an instant on either side of the gap.
	for t.Day() != 1 {
		t = t.Add(15 * time.Minute)
	}
	return t
}

// Next is the month after m.
func (m Month) Next() Month {
	if m.Number == 12 {
		return Month{m.Year + 1, 1}
	}
	return Month{m.Year, m.Number + 1}
}

// Before reports whether m comes before n.
func (m Month) Before(n Month) bool {
	return m.Year < n.Year || m.Year == n.Year && m.Number < n.Number
}
