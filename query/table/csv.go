package table

import (
	"bufio"
	"encoding/csv"
	"strconv"
	"strings"
	"time"
)

type csvSink struct {
	out    *csv.Writer
	table  *Table
	record []string
}

func newCSV(out *bufio.Writer, t *Table) *csvSink {
	s := &csvSink{out: csv.NewWriter(out), table: t}
	for _, c := range t.Columns {
		s.record = append(s.record, c.Name)
	}
	s.out.Write(s.record) // its error comes with the first row's, or the end's
	return s
}

func (s *csvSink) row(cells []Cell) error {
	s.record = s.record[:0]
	for i := range cells {
		s.record = append(s.record, cells[i].csv(s.table.Columns[i].Type))
	}
	return s.out.Write(s.record)
}

func (c *Cell) csv(t Type) string {
	if !c.Valid {
		return ""
	}
	switch t {
	case Int:
		return strconv.FormatInt(c.Int, 10)
	case Decimal:
		return c.Dec.String()
	case Time:
		return timeOf(c.Int).Format(time.RFC3339Nano)
	case Float:
		return strconv.FormatFloat(c.Float, 'g', -1, 64)
	case Bool:
		return strconv.FormatBool(c.Int != 0)
	}
	return CSVText(c.Text)
}

// CSVText is a text that a spreadsheet shows and does not compute: what it would
// take for a formula has an apostrophe in front, which spreadsheets hide. Texts
// come from whoever sends events.
func CSVText(text string) string {
	if text == "" || !strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return text
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil { // -3 is a number
		return text
	}
	return "'" + text
}

func (s *csvSink) end() error {
	s.out.Flush()
	return s.out.Error()
}
