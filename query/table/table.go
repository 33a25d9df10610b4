package table

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"tallybook/schemas"
)

// Type is what a column's cells hold.
type Type uint8

const (
	Text Type = iota
	Int
	Decimal
	Time
	Float
	Bool
)

// Column of a table. Any cell may be null.
type Column struct {
	Name string
	Type Type
}

// Cell is a value of its column's type, or null.
type Cell struct {
	Valid bool
	Text  string
	Int   int64 // also µs of a time, and 1 for true
	Dec   schemas.Decimal
	Float float64
}

// Null is no value, of any column.
var Null = Cell{}

// String is a cell of a Text column.
func String(s string) Cell { return Cell{Valid: true, Text: s} }

// Integer is a cell of an Int column.
func Integer(n int64) Cell { return Cell{Valid: true, Int: n} }

// Dec is a cell of a Decimal column.
func Dec(d schemas.Decimal) Cell { return Cell{Valid: true, Dec: d} }

// Micros is a cell of a Time column.
func Micros(t int64) Cell { return Cell{Valid: true, Int: t} }

// Number is a cell of a Float column.
func Number(f float64) Cell { return Cell{Valid: true, Float: f} }

// Truth is a cell of a Bool column.
func Truth(b bool) Cell {
	c := Cell{Valid: true}
	if b {
		c.Int = 1
	}
	return c
}

// Table says how rows are sent.
type Table struct {
	Columns []Column
	// JSONHead and JSONTail stand around the rows, which commas divide.
	JSONHead, JSONTail string
	// JSONRow appends a row; nil: an object of the columns' names.
	JSONRow func(b []byte, row []Cell) []byte
}

// Format is how a table is sent.
type Format uint8

const (
	JSON Format = iota
	CSV
	Arrow
)

// Media types of the formats.
const (
	ArrowType = "application/vnd.apache.arrow.stream"
	CSVType   = "text/csv"
)

// FormatOf is the format that an Accept header gives the greatest weight, the
// first of equals; JSON where it names none that is known.
func FormatOf(accept string) Format {
	format, most := JSON, 0.0
	for part := range strings.SplitSeq(accept, ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		var named Format
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case CSVType:
			named = CSV
		case ArrowType:
			named = Arrow
		case "application/json", "*/*", "application/*":
			named = JSON
		default:
			continue
		}
		if q := weight(parameters); q > most {
			format, most = named, q
		}
	}
	return format
}

// weight is the parameter q, 1 where it is not there or no number.
func weight(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if q, err := strconv.ParseFloat(value, 64); strings.EqualFold(name, "q") && err == nil {
			return q
		}
	}
	return 1
}

// sink takes rows in one format.
type sink interface {
	row(cells []Cell) error
	end() error
}

// Send sends the rows that each gives to its argument, in the form that the
// request accepts.
func (t *Table) Send(w http.ResponseWriter, r *http.Request, each func(row func(...Cell) error) error) error {
	w.Header().Add("Vary", "Accept")
	var s sink
	out := bufio.NewWriterSize(w, 64<<10)
	switch FormatOf(r.Header.Get("Accept")) {
	case CSV:
		w.Header().Set("Content-Type", "text/csv; charset=utf-8")
		s = newCSV(out, t)
	case Arrow:
		w.Header().Set("Content-Type", ArrowType)
		s = newArrow(out, t)
	default:
		w.Header().Set("Content-Type", "application/json")
		s = newJSON(out, t)
	}
	if err := each(func(cells ...Cell) error { return s.row(cells) }); err != nil {
		return err // without the end: nobody takes this for a whole answer
	}
	if err := s.end(); err != nil {
		return err
	}
	return out.Flush()
}

type jsonSink struct {
	out   *bufio.Writer
	table *Table
	names [][]byte // `"name":`
	begun bool
	b     []byte
}

func newJSON(out *bufio.Writer, t *Table) *jsonSink {
	s := &jsonSink{out: out, table: t}
	for _, c := range t.Columns {
		s.names = append(s.names, append(AppendString(nil, c.Name), ':'))
	}
	return s
}

func (s *jsonSink) row(cells []Cell) error {
	s.b = s.b[:0]
	if !s.begun {
		s.begun = true
		s.b = append(s.b, s.table.JSONHead...)
	} else {
		s.b = append(s.b, ',')
	}
	if s.table.JSONRow != nil {
		s.b = s.table.JSONRow(s.b, cells)
	} else {
		s.b = append(s.b, '{')
		for i := range cells {
			if i > 0 {
				s.b = append(s.b, ',')
			}
			s.b = AppendCell(append(s.b, s.names[i]...), s.table.Columns[i].Type, &cells[i])
		}
		s.b = append(s.b, '}')
	}
	_, err := s.out.Write(s.b)
	return err
}

func (s *jsonSink) end() error {
	if !s.begun {
		s.out.WriteString(s.table.JSONHead)
	}
	s.out.WriteString(s.table.JSONTail)
	return s.out.WriteByte('\n') // bufio keeps the first error
}

// AppendCell appends a cell as JSON.
func AppendCell(b []byte, t Type, c *Cell) []byte {
	if !c.Valid {
		return append(b, "null"...)
	}
	switch t {
	case Int:
		return strconv.AppendInt(b, c.Int, 10)
	case Decimal:
		return c.Dec.Append(b)
	case Time:
		b = append(b, '"')
		return append(timeOf(c.Int).AppendFormat(b, time.RFC3339Nano), '"')
	case Float:
		return strconv.AppendFloat(b, c.Float, 'g', -1, 64)
	case Bool:
		return strconv.AppendBool(b, c.Int != 0)
	}
	return AppendString(b, c.Text)
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }

// AppendString appends a string as JSON.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				panic(err) // strings always marshal
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
