package table

import (
	"bufio"
	"encoding/csv"
	"strconv"
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
	return c.Text
}

func (s *csvSink) end() error {
	s.out.Flush()
	return s.out.Error()
}
