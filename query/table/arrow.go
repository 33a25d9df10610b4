package table

import (
	"bufio"
	"encoding/binary"
	"strings"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/decimal128"
	"github.com/apache/arrow/go/v15/arrow/ipc"
	"github.com/apache/arrow/go/v15/arrow/memory"
)

// arrowRows is how many rows a record batch has: what is kept in memory.
const arrowRows = 16_384

type arrowSink struct {
	out     *ipc.Writer
	builder *array.RecordBuilder
	table   *Table
	rows    int
}

var arrowTypes = [...]arrow.DataType{
	Text:    arrow.BinaryTypes.String,
	Int:     arrow.PrimitiveTypes.Int64,
	Decimal: &arrow.Decimal128Type{Precision: 38, Scale: 9},
	Time:    &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	Float:   arrow.PrimitiveTypes.Float64,
	Bool:    arrow.FixedWidthTypes.Boolean,
}

func newArrow(out *bufio.Writer, t *Table) *arrowSink {
	fields := make([]arrow.Field, len(t.Columns))
	for i, c := range t.Columns {
		fields[i] = arrow.Field{Name: c.Name, Type: arrowTypes[c.Type], Nullable: true}
	}
	schema := arrow.NewSchema(fields, nil)
	return &arrowSink{table: t, out: ipc.NewWriter(out, ipc.WithSchema(schema)),
		builder: array.NewRecordBuilder(memory.NewGoAllocator(), schema)}
}

func (s *arrowSink) row(cells []Cell) error {
	for i := range cells {
		appendArrow(s.builder.Field(i), &cells[i])
	}
	if s.rows++; s.rows < arrowRows {
		return nil
	}
	return s.flush()
}

func appendArrow(to array.Builder, c *Cell) {
	if !c.Valid {
		to.AppendNull()
		return
	}
	switch to := to.(type) {
	case *array.StringBuilder:
		to.Append(strings.ToValidUTF8(c.Text, "\uFFFD"))
	case *array.Int64Builder:
		to.Append(c.Int)
	case *array.Decimal128Builder:
		b := c.Dec.Unscaled()
		to.Append(decimal128.New(int64(binary.BigEndian.Uint64(b[:8])), binary.BigEndian.Uint64(b[8:])))
	case *array.TimestampBuilder:
		to.Append(arrow.Timestamp(c.Int))
	case *array.Float64Builder:
		to.Append(c.Float)
	case *array.BooleanBuilder:
		to.Append(c.Int != 0)
	}
}

func (s *arrowSink) flush() error {
	s.rows = 0
	record := s.builder.NewRecord()
	defer record.Release()
	return s.out.Write(record)
}

func (s *arrowSink) end() error {
	if s.rows > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return s.out.Close() // writes the schema where there was no row, and the end mark
}
