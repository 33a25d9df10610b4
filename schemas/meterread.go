package schemas

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// OtherDimension stands for a dimension's value that is not kept as it is: one
// that is longer than MaxString, or beyond the limit of new series.
const OtherDimension = "__other__"

// MeterReader reads of an event what a declared meter counts: the one rule for
// live events and for archive rows. It is for one goroutine.
type MeterReader struct {
	meter *Meter
	value pathSource
	dims  []pathSource
	scan  scanner
	text  [48]byte // of a typed number
}

// pathSource is where a path's value stands: in a typed column, and where the
// event's value did not fit that, or there is none, in Event.Rest.
type pathSource struct {
	column column // noColumn: none
	steps  []pathStep
}

// NewMeterReader is for a declared meter, made by NewMeter.
func NewMeterReader(m *Meter) *MeterReader {
	r := &MeterReader{meter: m}
	source := func(text string) pathSource {
		path, err := ParsePath(text)
		if err != nil {
			panic(err) // NewMeter has checked it
		}
		c := columnOf(path.steps[0].name)
		if !topicColumns(m.Family.Topic).has(c) || (len(path.steps) > 1) != (c == colDimensions) {
			c = noColumn
		}
		return pathSource{c, path.steps}
	}
	if m.Definition.ValueProperty != "" {
		r.value = source(m.Definition.ValueProperty)
	}
	for _, name := range m.Family.Dims {
		r.dims = append(r.dims, source(m.Definition.GroupBy[name]))
	}
	return r
}

// Columns are the archive columns that a reader of rows needs for it, besides
// those that every row is known by.
func (r *MeterReader) Columns() []string {
	seen := map[string]bool{}
	var names []string
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, s := range append(r.dims[:len(r.dims):len(r.dims)], r.value) {
		if s.steps == nil {
			continue
		}
		if s.column != noColumn {
			add(string(s.steps[0].name))
		}
		add("data") // also for what did not fit the column
	}
	return names
}

// Reads reports whether the meter looks at a typed column.
func (r *MeterReader) Reads(f Field) bool {
	for i := range r.dims {
		if r.dims[i].column == column(f) {
			return true
		}
	}
	return r.value.steps != nil && r.value.column == column(f)
}

// MeterValue is what a meter takes from an event. Problem says why a value that
// was given is not counted; the event itself is.
type MeterValue struct {
	Has     bool
	Number  Decimal // of all aggregations but COUNT and UNIQUE_COUNT
	Text    []byte  // of UNIQUE_COUNT; good until the reader's next call
	Problem Reason  // WrongType or OutOfRange; "": the value is counted, or missing
}

// Value reads the value of an event that the meter matches.
func (r *MeterReader) Value(ev *Event) MeterValue {
	if r.value.steps == nil {
		return MeterValue{}
	}
	switch r.value.column {
	case colLatency:
		if ev.HasLatency {
			return r.typed(ev, ev.Latency)
		}
	case colQuantity:
		if ev.HasQuantity {
			return r.typed(ev, ev.Quantity)
		}
	case colBytes:
		if ev.HasBytes {
			return r.typed(ev, DecimalFromInt(ev.Bytes))
		}
	case colStatus:
		if ev.HasStatus {
			return r.typed(ev, DecimalFromInt(int64(ev.Status)))
		}
	}
	text, kind := r.read(&r.value, ev)
	return r.parse(text, kind)
}

func (r *MeterReader) typed(ev *Event, d Decimal) MeterValue {
	if r.meter.Aggregation == UniqueCount {
		text, _ := r.read(&r.value, ev)
		return MeterValue{Has: true, Text: text}
	}
	return MeterValue{Has: true, Number: d}
}

// parse takes a number, or a text that is one.
func (r *MeterReader) parse(text []byte, kind pathKind) MeterValue {
	if kind == pathNothing || len(text) == 0 {
		return MeterValue{}
	}
	if r.meter.Aggregation == UniqueCount {
		if kind == pathText && notFinite(text) {
			return MeterValue{Problem: WrongType}
		}
		return MeterValue{Has: true, Text: text}
	}
	d, err := ParseDecimal(text)
	switch {
	case err == nil:
		return MeterValue{Has: true, Number: d}
	case errors.Is(err, ErrOutOfRange):
		return MeterValue{Problem: OutOfRange}
	}
	return MeterValue{Problem: WrongType}
}

// AppendDims appends the dimensions' values in the family's order, each behind
// its length; "" where the event has none, OtherDimension for one that is too long.
func (r *MeterReader) AppendDims(b []byte, ev *Event) []byte {
	for i := range r.dims {
		text, _ := r.read(&r.dims[i], ev)
		if len(text) > MaxString {
			b = appendPart(b, OtherDimension)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return b
}

// SplitDims takes apart what AppendDims made; the strings are views of packed.
func SplitDims(packed string, dims []string) []string {
	for packed != "" {
		n, size := uint64(0), 0
		for shift := 0; ; shift += 7 {
			c := packed[size]
			size++
			if n |= uint64(c&0x7f) << shift; c < 0x80 {
				break
			}
		}
		end := size + int(n)
		dims = append(dims, packed[size:end])
		packed = packed[end:]
	}
	return dims
}

// read is the text of what stands at a source.
func (r *MeterReader) read(s *pathSource, ev *Event) (text []byte, kind pathKind) {
	switch c := s.column; {
	case c == noColumn:
	case c < colStatus:
		if ev.Present.Has(Field(c)) {
			return ev.Strings[c], pathText
		}
	case c == colDimensions:
		if ev.Dimensions != nil {
			return r.scan.find(ev.Dimensions, s.steps[1:])
		}
	case c == colStatus && ev.HasStatus:
		return strconv.AppendInt(r.text[:0], int64(ev.Status), 10), pathNumber
	case c == colBytes && ev.HasBytes:
		return strconv.AppendInt(r.text[:0], ev.Bytes, 10), pathNumber
	case c == colLatency && ev.HasLatency:
		return ev.Latency.Append(r.text[:0]), pathNumber
	case c == colQuantity && ev.HasQuantity:
		return ev.Quantity.Append(r.text[:0]), pathNumber
	}
	if ev.Rest == nil {
		return nil, pathNothing
	}
	return r.scan.find(ev.Rest, s.steps)
}

// AddValue folds an event of a declared meter: sign is 1, or -1 where it is
// taken back. What is taken back leaves minimum and maximum as they are: who
// takes back marks them stale.
func (m *Measures) AddValue(v MeterValue, sign int64) error {
	if !v.Has {
		m.Count += sign
		return nil
	}
	d := v.Number
	if sign < 0 {
		d = d.Neg()
	}
	sum, err := m.ValueSum.Add(d)
	if err != nil {
		return err
	}
	if sign > 0 {
		if m.ValueCount <= 0 || d.Cmp(m.ValueMin) < 0 {
			m.ValueMin = d
		}
		if m.ValueCount <= 0 || d.Cmp(m.ValueMax) > 0 {
			m.ValueMax = d
		}
	}
	m.ValueSum = sum
	m.ValueCount += sign
	m.Count += sign
	return nil
}

// Members are the names of data's own members that the meter's paths begin with.
func (r *MeterReader) Members() (names []string) {
	for _, s := range append(r.dims[:len(r.dims):len(r.dims)], r.value) {
		if s.steps != nil {
			names = append(names, string(s.steps[0].name))
		}
	}
	return names
}
