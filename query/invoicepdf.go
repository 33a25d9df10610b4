package query

import (
	"fmt"
	"io"
	"strings"

	"codeberg.org/go-pdf/fpdf"

	"tallybook/store"
)

// Measures in mm, on A4.
const (
	pdfMargin  = 18.0
	pdfItem    = 104.0
	pdfNumber  = 35.0
	pdfFull    = pdfItem + 2*pdfNumber
	pdfLine    = 4.8
	pdfSmall   = 3.9
	pdfBottom  = 26.0
	pdfPageEnd = 297 - pdfBottom
	pdfLeft    = 96.0 // of the head: whom it is for
	pdfRight   = pdfFull - pdfLeft
)

// InvoicePDF writes a document as a PDF: the same bytes for the same document
// and status. Its font has Latin, Greek and Cyrillic letters; for others there is
// a "?", and a line that says so.
func InvoicePDF(out io.Writer, i *store.Invoice) error {
	d := drawInvoice(i, true)
	return d.Output(out)
}

// pdf is a document being drawn.
type pdf struct {
	*fpdf.Fpdf
	page     *page
	inTable  bool // a page that begins has the table's head
	replaced bool // a letter was replaced
}

func drawInvoice(i *store.Invoice, compress bool) *pdf {
	d := &pdf{Fpdf: fpdf.New("P", "mm", "A4", ""), page: pageOf(i)}
	at := i.IssuedAt
	if at.IsZero() {
		at = i.CreatedAt
	}
	d.SetCompression(compress)
	d.SetCatalogSort(true)
	d.SetCreationDate(at)
	d.SetModificationDate(at)
	d.SetTitle(d.name(), true)
	d.SetProducer("Tallybook", true)
	d.addFonts()
	d.SetMargins(pdfMargin, pdfMargin, pdfMargin)
	d.SetAutoPageBreak(true, pdfBottom)
	d.AliasNbPages("")
	d.SetHeaderFunc(d.pageHead)
	d.SetFooterFunc(d.footer)
	d.AddPage()
	d.head()
	d.table()
	d.totals()
	d.notes()
	return d
}

func (d *pdf) name() string { return strings.TrimSpace(d.page.Title + " " + d.page.Number) }

// head is the upper part of the first page.
func (d *pdf) head() {
	p := d.page
	top := d.GetY()
	d.SetXY(pdfMargin+pdfLeft, top)
	d.font("", 9, 90)
	d.block(pdfRight, pdfSmall+0.3, "R", p.Issuer)
	below := d.GetY()
	d.SetXY(pdfMargin, top)
	d.font("B", 19, 20)
	d.block(pdfLeft, 9, "L", p.Title)
	if p.Stamp != "" {
		d.font("B", 11, 20)
		d.SetTextColor(164, 14, 38)
		d.block(pdfLeft, 6, "L", p.Stamp)
	}
	top = max(below, d.GetY()) + 8
	d.SetXY(pdfMargin, top)
	d.font("B", 10, 20)
	d.block(pdfLeft-6, pdfLine, "L", p.Customer)
	d.font("", 10, 20)
	d.block(pdfLeft-6, pdfLine, "L", p.Address)
	d.block(pdfLeft-6, pdfLine, "L", p.Email)
	below = d.GetY()
	d.SetY(top)
	for _, f := range []struct{ name, value string }{{"Number", p.Number}, {"Issued", p.Issued}, {"Period", p.Span}, {"Time zone", p.Zone},
		{"Takes back", p.CreditFor}, {"Reason", p.Reason}} {
		if f.value != "" {
			d.fact(f.name, f.value)
		}
	}
	d.SetXY(pdfMargin, max(below, d.GetY())+9)
}

func (d *pdf) fact(name, value string) {
	const label = 22.0
	d.SetX(pdfMargin + pdfLeft)
	d.font("", 9, 110)
	d.CellFormat(label, pdfLine, name, "", 0, "L", false, 0, "")
	d.font("", 9, 20)
	d.block(pdfRight-label, pdfLine, "L", value)
}

// pageHead is on the pages behind the first.
func (d *pdf) pageHead() {
	if d.PageNo() == 1 {
		return
	}
	d.font("", 8, 110)
	d.CellFormat(pdfFull, 6, d.cut(d.name()+" · "+d.page.Customer, pdfFull), "", 1, "L", false, 0, "")
	d.Ln(2)
	if d.inTable {
		d.tableHead()
	}
}

func (d *pdf) tableHead() {
	d.font("B", 9, 20)
	d.SetDrawColor(20, 20, 20)
	d.CellFormat(pdfItem, 6, "Item", "B", 0, "L", false, 0, "")
	d.CellFormat(pdfNumber, 6, "Quantity", "B", 0, "R", false, 0, "")
	d.CellFormat(pdfNumber, 6, "Amount, "+d.page.Currency, "B", 1, "R", false, 0, "")
}

func (d *pdf) table() {
	d.tableHead()
	d.inTable = true
	for n := range d.page.Lines {
		d.line(&d.page.Lines[n])
	}
	if len(d.page.Lines) == 0 {
		d.font("", 9, 20)
		d.Ln(1.5)
		d.CellFormat(pdfFull, pdfLine, "Nothing was used.", "", 1, "L", false, 0, "")
	}
	d.inTable = false
}

// line is kept together with the first of its parts.
func (d *pdf) line(l *pageLine) {
	d.font("", 9.5, 20)
	item := d.wrapped(l.Item, pdfItem-3)
	var notes []string
	for _, note := range []string{l.Note, l.Span} {
		if note != "" && note != d.page.Span {
			notes = append(notes, note)
		}
	}
	d.keep(float64(len(item))*pdfLine + float64(len(notes)+1)*pdfSmall + 5)
	d.Ln(1.6)
	d.font("", 9.5, 20)
	for n, text := range item {
		d.CellFormat(pdfItem, pdfLine, text, "", 0, "L", false, 0, "")
		if n == 0 {
			d.number(l.Quantity, pdfLine)
			d.number(l.Amount, pdfLine)
		}
		d.Ln(pdfLine)
	}
	d.font("", 8, 100)
	for _, note := range notes {
		d.block(pdfItem, pdfSmall, "L", note)
	}
	for _, p := range l.Parts {
		d.part(&p)
	}
	d.Ln(1.6)
	d.rule(215)
}

func (d *pdf) part(p *pagePart) {
	d.keep(pdfSmall)
	d.font("", 8, 100)
	d.SetX(pdfMargin + 3)
	d.CellFormat(pdfFull-pdfNumber-3, pdfSmall, d.cut(p.Text, pdfFull-pdfNumber-3), "", 0, "L", false, 0, "")
	d.number(p.Amount, pdfSmall)
	d.Ln(pdfSmall)
}

// totals stand together on a page.
func (d *pdf) totals() {
	p := d.page
	d.keep(float64(len(p.Taxes)+2)*6 + 8)
	d.Ln(2)
	row := func(style string, size float64, name, amount string) {
		d.font(style, size, 20)
		d.SetX(pdfMargin + pdfFull/3)
		d.CellFormat(pdfFull*2/3-pdfNumber-20, 6, d.cut(name, pdfFull*2/3-pdfNumber-20), "", 0, "L", false, 0, "")
		d.CellFormat(pdfNumber+20, 6, d.fitted(amount, pdfNumber+20), "", 1, "R", false, 0, "")
	}
	if p.Net != "" {
		row("", 9.5, "Net", p.Net)
	}
	for _, t := range p.Taxes {
		row("", 9.5, t.Text, t.Amount)
	}
	d.SetDrawColor(20, 20, 20)
	d.Line(pdfMargin+pdfFull/3, d.GetY()+0.5, pdfMargin+pdfFull, d.GetY()+0.5)
	d.Ln(1.2)
	row("B", 11.5, "Total", p.Total+" "+p.Currency)
}

func (d *pdf) notes() {
	if d.page.Note != "" {
		d.Ln(6)
		d.font("", 9.5, 20)
		d.block(pdfFull, pdfLine, "L", d.page.Note)
	}
	if d.replaced {
		d.Ln(4)
		d.font("", 7.5, 100)
		d.block(pdfFull, pdfSmall, "L", "? stands for letters that this file's font does not have; the document's HTML form shows them.")
	}
}

func (d *pdf) footer() {
	p := d.page
	proof := fmt.Sprintf("Document %s, SHA-256 %s.", p.ID, p.Digest)
	if p.Number != "" {
		proof += " Each line can be computed again from the archive: tallybook prove " + p.Number
	}
	d.SetY(-20)
	d.rule(215)
	d.Ln(1)
	d.font("", 6.5, 120)
	d.MultiCell(pdfFull-24, 3.1, d.shown(proof), "", "L", false)
	d.SetXY(pdfMargin+pdfFull-24, 297-19)
	d.font("", 8, 100)
	d.CellFormat(24, 4, fmt.Sprintf("Page %d of {nb}", d.PageNo()), "", 0, "R", false, 0, "")
}
