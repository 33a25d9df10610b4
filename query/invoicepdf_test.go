package query

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"tallybook/store"
)

var (
	pdfText   = regexp.MustCompile(`(?s)BT ([0-9.]+) ([0-9.]+) Td \(((?:[^\\)]|\\.)*)\) ?Tj ET`)
	pdfStream = regexp.MustCompile(`(?s)stream\n(.*?)\nendstream`)
	pdfEscape = strings.NewReplacer(`\\`, `\`, `\(`, `(`, `\)`, `)`, `\r`, "\r")
)

// textsOf are the texts of a PDF that is not compressed, page by page, each with
// where it begins, in whole points from the lower left.
func textsOf(t *testing.T, pdf []byte) string {
	t.Helper()
	var b strings.Builder
	page := 0
	for _, stream := range pdfStream.FindAllSubmatch(pdf, -1) {
		texts := pdfText.FindAllSubmatch(stream[1], -1)
		if len(texts) == 0 {
			continue
		}
		page++
		fmt.Fprintf(&b, "page %d\n", page)
		for _, m := range texts {
			x, errX := strconv.ParseFloat(string(m[1]), 64)
			y, errY := strconv.ParseFloat(string(m[2]), 64)
			raw := []byte(pdfEscape.Replace(string(m[3])))
			if errX != nil || errY != nil || len(raw)%2 != 0 {
				t.Fatalf("text %q at %q, %q", raw, m[1], m[2])
			}
			units := make([]uint16, len(raw)/2)
			for i := range units {
				units[i] = binary.BigEndian.Uint16(raw[2*i:])
			}
			fmt.Fprintf(&b, "%4.0f %4.0f  %s\n", x, y, string(utf16.Decode(units)))
		}
	}
	return b.String()
}

func drawn(t *testing.T, i *store.Invoice) string {
	t.Helper()
	var b bytes.Buffer
	if err := drawInvoice(i, false).Output(&b); err != nil {
		t.Fatal(err)
	}
	return textsOf(t, b.Bytes())
}

// A line for each pricing model, adjustments, minimum and tax, in two currencies:
// the files have what the page says and where.
func TestInvoicePDFText(t *testing.T) {
	golden(t, "testdata/invoice-eur.txt", drawn(t, sampleInvoice(t, "EUR", "Müller-Lüdenscheidt Verwaltungs- und Beteiligungsgesellschaft mit beschränkter Haftung & Co. KGaA", 2)))
	golden(t, "testdata/invoice-jpy.txt", drawn(t, sampleInvoice(t, "JPY", "東京 Кит Ωμέγα Ž株式会社", 1)))
}

// Nothing leaves the page, whatever is in the document, and no number is cut.
func TestInvoicePDF(t *testing.T) {
	i := sampleInvoice(t, "EUR", strings.Repeat("Žluťoučký Кит 東京 🐎", 20), 6)
	i.Status = "draft"
	i.Customer.Address = strings.Repeat("line\r\n", 30)
	i.Issuer, i.Note = strings.Repeat("x", 2000), strings.Repeat("pay ", 500)
	number := strings.Repeat("1234567890", 4) + ".5"
	i.Lines[3].Price.Endpoint, i.Lines[3].Quantity = "/"+strings.Repeat("very long ", 30)+strings.Repeat("a", 900), number
	i.Lines[4].Parts[0].Amount = number
	got := drawn(t, i)
	if n := strings.Count(got, "page "); n < 4 || !strings.Contains(got, "Draft: its numbers may change") || !strings.Contains(got, fmt.Sprintf("Page %d of", n-1)) {
		t.Errorf("got %d pages", n)
	}
	if strings.Count(got, number) != 2 {
		t.Errorf("%s stands %d times, want twice, whole", number, strings.Count(got, number))
	}
	for line := range strings.Lines(got) {
		var x, y int
		if n, _ := fmt.Sscanf(line, "%d %d", &x, &y); n == 2 && (x < 45 || x > 550 || y < 30 || y > 800) {
			t.Errorf("outside the margins: %s", line)
		}
	}
	var b bytes.Buffer
	empty := &store.Invoice{Status: "draft"}
	if err := InvoicePDF(&b, empty); err != nil || !strings.Contains(drawn(t, empty), "Nothing was used.") {
		t.Errorf("an empty document: %v\n%s", err, drawn(t, empty))
	}
}

func TestShown(t *testing.T) {
	for text, want := range map[string]string{"Žluť Кит 東 🐎": "Žluť Кит ? ?", "Z\u030cluť": "Žluť", "a\tb\r\nc\u200d": "a b\nc", "a\xffb": "a\ufffdb"} {
		if got, replaced := shown(text); got != want || replaced != strings.Contains(want, "?") {
			t.Errorf("%q: got %q, %v, want %q", text, got, replaced, want)
		}
	}
}
