package query

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/norm"
)

func (d *pdf) addFonts() {
	d.AddUTF8FontFromBytes("go", "", goregular.TTF)
	d.AddUTF8FontFromBytes("go", "B", gobold.TTF)
}

func (d *pdf) font(style string, size float64, gray int) {
	d.SetFont("go", style, size)
	d.SetTextColor(gray, gray, gray)
}

var glyphs = sync.OnceValues(func() (*sfnt.Font, error) { return sfnt.Parse(goregular.TTF) })

// shown is a text with "?" for what the font has no glyph of: whole letters where
// they can be composed, and without marks that are no letters.
func shown(text string) (out string, replaced bool) {
	font, err := glyphs()
	if err != nil {
		panic(err) // the font is compiled in
	}
	var buf sfnt.Buffer
	out = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t':
			return ' '
		case unicode.In(r, unicode.Mn, unicode.Cf, unicode.Cc):
			return -1
		}
		if g, err := font.GlyphIndex(&buf, r); err != nil || g == 0 || r > 0xffff {
			replaced = true
			return '?'
		}
		return r
	}, norm.NFC.String(strings.ToValidUTF8(text, "\ufffd")))
	return out, replaced
}

func (d *pdf) shown(text string) string {
	out, replaced := shown(text)
	d.replaced = d.replaced || replaced
	return out
}

// block writes a text of any length from the present column on, in lines of a
// width, and goes below it; nothing for an empty one.
func (d *pdf) block(width, height float64, align, text string) {
	text = strings.TrimSpace(d.shown(text))
	if text == "" {
		return
	}
	x := d.GetX()
	d.MultiCell(width, height, text, "", align, false)
	d.SetX(x)
}

// wrapped are the lines of a text in the present font.
func (d *pdf) wrapped(text string, width float64) []string {
	return d.SplitText(strings.ReplaceAll(d.shown(text), "\n", " "), width)
}

// cut shortens a text to a width.
func (d *pdf) cut(text string, width float64) string {
	runes := []rune(strings.ReplaceAll(d.shown(text), "\n", " "))
	if d.GetStringWidth(string(runes)) <= width-2 {
		return string(runes)
	}
	for len(runes) > 0 && d.GetStringWidth(string(runes)+"…") > width-2 {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}

// number writes a number into its column: never cut, rather smaller.
func (d *pdf) number(text string, height float64) {
	size, _ := d.GetFontSize()
	d.CellFormat(pdfNumber, height, d.fitted(text, pdfNumber), "", 0, "R", false, 0, "")
	d.SetFontSize(size)
}

// fitted makes the font smaller until a text fits.
func (d *pdf) fitted(text string, width float64) string {
	const smallest = 3.0
	for size, _ := d.GetFontSize(); size > smallest && d.GetStringWidth(text) > width-2; size -= 0.5 {
		d.SetFontSize(size)
	}
	return text
}

// keep begins a page where less than a height is left of this one.
func (d *pdf) keep(height float64) {
	if d.GetY()+height > pdfPageEnd {
		d.AddPage()
	}
}

// rule draws a line of some gray.
func (d *pdf) rule(gray int) {
	d.SetDrawColor(gray, gray, gray)
	d.Line(pdfMargin, d.GetY(), pdfMargin+pdfFull, d.GetY())
}
