package archive

import (
	"math"
	"slices"
	"unsafe"

	"tallybook/schemas"
)

// Extractor reads from archive rows what a declared meter counts, by the same
// rule as the workers read it from events. It is for one goroutine.
type Extractor struct {
	meter   *schemas.Meter
	reader  *schemas.MeterReader
	columns []string
	fields  []schemas.Field // of columns
	event   schemas.Event   // what of a row the reader looks at
	packed  []byte
}

// NewExtractor is for a declared meter.
func NewExtractor(m *schemas.Meter) *Extractor {
	x := &Extractor{meter: m, reader: schemas.NewMeterReader(m)}
	x.columns = append([]string{"type"}, x.reader.Columns()...)
	for f, name := range schemas.FieldNames {
		if schemas.TopicFields[m.Family.Topic].Has(schemas.Field(f)) && slices.Contains(x.columns, name) {
			x.fields = append(x.fields, schemas.Field(f))
		}
	}
	return x
}

// Columns are what rows must have been read with; sign, account and time are
// the caller's to ask for.
func (x *Extractor) Columns() []string { return x.columns }

// Matches reports whether the meter counts row i.
func (x *Extractor) Matches(rows *Rows, i int) bool {
	return schemas.MatchesType(x.meter.EventType, rows.String(rows.Type[i]))
}

// Value is what the meter takes from row i; good until the next call.
func (x *Extractor) Value(rows *Rows, i int) schemas.MeterValue {
	x.load(rows, i)
	return x.reader.Value(&x.event)
}

// AppendDims appends the values of the meter's dimensions in row i, in the order
// of its family; they are copies.
func (x *Extractor) AppendDims(dims []string, rows *Rows, i int) []string {
	x.load(rows, i)
	x.packed = x.reader.AppendDims(x.packed[:0], &x.event)
	return schemas.SplitDims(string(x.packed), dims)
}

// load fills the event with the columns that the reader looks at. A column that
// was not asked for is empty, as one that holds nothing.
func (x *Extractor) load(rows *Rows, i int) {
	ev := &x.event
	ev.Present, ev.HasStatus, ev.HasLatency, ev.HasBytes, ev.HasQuantity = 0, false, false, false, false
	ev.Dimensions, ev.Rest = nil, nil
	for _, f := range x.fields {
		if col := rows.Strings[f]; len(col) > 0 && col[i] != 0 {
			ev.Strings[f] = view(rows.String(col[i]))
			ev.Present |= 1 << f
		}
	}
	if len(rows.Status) > 0 && rows.Status[i] != NullInt32 {
		ev.Status, ev.HasStatus = rows.Status[i], true
	}
	if len(rows.LatencyMS) > 0 && !math.IsNaN(rows.LatencyMS[i]) {
		if d, err := schemas.DecimalOf(rows.LatencyMS[i]); err == nil {
			ev.LatencyMS, ev.Latency, ev.HasLatency = rows.LatencyMS[i], d, true
		}
	}
	if len(rows.Bytes) > 0 && rows.Bytes[i] != NullInt64 {
		ev.Bytes, ev.HasBytes = rows.Bytes[i], true
	}
	if len(rows.Quantity) > 0 && rows.Quantity[i] != NullDecimal {
		ev.Quantity, ev.HasQuantity = rows.Quantity[i], true
	}
	if len(rows.Dimensions) > 0 && rows.Dimensions[i] != 0 {
		ev.Dimensions = view(rows.String(rows.Dimensions[i]))
	}
	if len(rows.Data.Ends) > 0 {
		if text := rows.Data.At(i); len(text) > 0 {
			ev.Rest = text
		}
	}
}

// view is a string's bytes, which nobody may change.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
