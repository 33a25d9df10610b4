package query

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"codeberg.org/go-pdf/fpdf"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"

	"tallybook/store"
)

// Widths in mm of the table's columns, on A4 between margins of 18.
const (
	pdfMargin  = 18.0
	pdfItem    = 78.0
	pdfSpan    = 46.0
	pdfNumber  = 25.0
	pdfLine    = 5.0
	pdfBottom  = 28.0
	pdfFull    = pdfItem + pdfSpan + 2*pdfNumber
	pdfPageEnd = 297 - pdfBottom
)

// InvoicePDF writes a document as a PDF: the same bytes for the same document
// and status. Its font has Latin, Greek and Cyrillic letters; others are shown
// as "?".
func InvoicePDF(out io.Writer, i *store.Invoice) error {
	p := pageOf(i)
	d := &pdf{Fpdf: fpdf.New("P", "mm", "A4", ""), page: p}
	d.SetCatalogSort(true)
	at := i.IssuedAt
	if at.IsZero() {
		at = i.CreatedAt
	}
	d.SetCreationDate(at)
	d.SetModificationDate(at)
	d.SetTitle(p.Title+" "+p.Number, true)
	d.SetProducer("Tallybook", true)
	d.AddUTF8FontFromBytes("go", "", goregular.TTF)
	d.AddUTF8FontFromBytes("go", "B", gobold.TTF)
	d.SetMargins(pdfMargin, pdfMargin, pdfMargin)
	d.SetAutoPageBreak(true, pdfBottom)
	d.AliasNbPages("")
	d.SetFooterFunc(d.footer)
	d.AddPage()
	d.head()
	d.tableHead()
	for n := range p.Lines {
		d.line(&p.Lines[n])
	}
	if len(p.Lines) == 0 {
		d.row("", pdfLine, "Nothing was used.", "", "", "")
	}
	d.total()
	return d.Output(out)
}

type pdf struct {
	*fpdf.Fpdf
	page *page
}

var glyphs = sync.OnceValues(func() (*sfnt.Font, error) { return sfnt.Parse(goregular.TTF) })

// shown is text with "?" for what the font has no glyph of.
func shown(text string) string {
	font, err := glyphs()
	if err != nil {
		panic(err) // the font is compiled in
	}
	var buf sfnt.Buffer
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		if g, err := font.GlyphIndex(&buf, r); err != nil || g == 0 || r > 0xffff {
			return '?'
		}
		return r
	}, strings.ReplaceAll(text, "\r", ""))
}

func (d *pdf) font(style string, size float64, gray int) {
	d.SetFont("go", style, size)
	d.SetTextColor(gray, gray, gray)
}

func (d *pdf) head() {
	p := d.page
	d.font("B", 18, 30)
	d.CellFormat(pdfFull, 9, shown(strings.TrimSpace(p.Title+" "+p.Number)), "", 1, "L", false, 0, "")
	if p.Stamp != "" {
		d.font("B", 11, 30)
		d.SetTextColor(164, 14, 38)
		d.CellFormat(pdfFull, 6, shown(p.Stamp), "", 1, "L", false, 0, "")
	}
	d.Ln(3)
	top := d.GetY()
	d.font("", 10, 30)
	facts := []string{"Period: " + p.Period}
	for _, f := range []struct{ name, value string }{{"Issued", p.Issued}, {"Takes back", p.CreditFor}, {"Reason", p.Reason}} {
		if f.value != "" {
			facts = append(facts, f.name+": "+f.value)
		}
	}
	d.MultiCell(95, pdfLine, shown(strings.Join(facts, "\n")), "", "L", false)
	left := d.GetY()
	d.SetXY(pdfMargin+105, top)
	d.font("B", 10, 30)
	d.MultiCell(pdfFull-105, pdfLine, shown(p.Customer), "", "L", false)
	d.font("", 10, 30)
	for _, text := range []string{p.Address, p.Email} {
		if text != "" {
			d.SetX(pdfMargin + 105)
			d.MultiCell(pdfFull-105, pdfLine, shown(text), "", "L", false)
		}
	}
	d.SetXY(pdfMargin, max(left, d.GetY())+8)
}

func (d *pdf) tableHead() {
	d.font("B", 9, 30)
	d.row("B", 6, "Item", "From – to", "Quantity", "Amount, "+d.page.Currency)
	d.font("", 9, 30)
}

// row is a line of the table, its item cut at its width.
func (d *pdf) row(border string, height float64, item, span, quantity, amount string) {
	d.CellFormat(pdfItem, height, d.cut(item, pdfItem), border, 0, "L", false, 0, "")
	d.CellFormat(pdfSpan, height, d.cut(span, pdfSpan), border, 0, "L", false, 0, "")
	d.CellFormat(pdfNumber, height, d.cut(quantity, pdfNumber), border, 0, "R", false, 0, "")
	d.CellFormat(pdfNumber, height, d.cut(amount, pdfNumber), border, 1, "R", false, 0, "")
}

// cut shortens a text to a width.
func (d *pdf) cut(text string, width float64) string {
	runes := []rune(shown(text))
	if d.GetStringWidth(string(runes)) <= width-2 {
		return string(runes)
	}
	for len(runes) > 0 && d.GetStringWidth(string(runes)+"…") > width-2 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// line is kept together with the first of its parts.
func (d *pdf) line(l *pageLine) {
	if d.GetY()+4*pdfLine > pdfPageEnd {
		d.AddPage()
		d.tableHead()
	}
	d.Ln(1.5)
	d.font("", 9, 30)
	d.row("", pdfLine, l.Item, l.Span, l.Quantity, l.Amount)
	d.font("", 8, 110)
	if l.Note != "" {
		d.MultiCell(pdfItem+pdfSpan, 4, shown(l.Note), "", "L", false)
	}
	for _, p := range l.Parts {
		d.CellFormat(pdfFull-pdfNumber, 4, d.cut(p.Text, pdfFull-pdfNumber), "", 0, "L", false, 0, "")
		d.CellFormat(pdfNumber, 4, d.cut(p.Amount, pdfNumber), "", 1, "R", false, 0, "")
	}
	d.Ln(1.5)
	d.SetDrawColor(213, 218, 224)
	d.Line(pdfMargin, d.GetY(), pdfMargin+pdfFull, d.GetY())
	d.SetDrawColor(30, 30, 30)
}

func (d *pdf) total() {
	if d.GetY()+12 > pdfPageEnd {
		d.AddPage()
	}
	d.Ln(1)
	d.font("B", 11, 30)
	d.CellFormat(pdfFull-2*pdfNumber-10, 8, "Total", "T", 0, "L", false, 0, "")
	d.CellFormat(2*pdfNumber+10, 8, shown(d.page.Total+" "+d.page.Currency), "T", 1, "R", false, 0, "")
}

func (d *pdf) footer() {
	p := d.page
	d.SetY(-22)
	d.font("", 7, 110)
	d.MultiCell(pdfFull, 3.4, shown(fmt.Sprintf("Document %s, SHA-256 %s. Each line can be computed again from the archive: tallybook prove %s",
		p.ID, p.Digest, p.Number)), "", "L", false)
	d.CellFormat(pdfFull, 4, fmt.Sprintf("%d of {nb}", d.PageNo()), "", 0, "R", false, 0, "")
}
