package engine

import (
	"math"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

// source reads a family's events from the archive rows of one file: which rows
// are its events, their names and their numbers.
type source struct {
	family *schemas.Family
	rated  ratedReader
	meter  *meterReader // of a declared meter
}

func newSource(q *Question) source {
	s := source{family: q.Family}
	if q.Meter != nil && q.Meter.Definition != nil {
		s.meter = &meterReader{x: archive.NewExtractor(q.Meter), eventType: q.Meter.EventType,
			numbers: q.Meter.Aggregation != schemas.UniqueCount}
	}
	return s
}

// begin is called before the rows of a row group are read: Rows is used again
// for each.
func (s *source) begin() {
	s.rated.row = -1
	if s.meter != nil {
		s.meter.row = -1
	}
}

// name is how rows have the name; filter: as Filters mean it.
func (s *source) name(name string, filter bool) (nameReader, bool) {
	dim := s.family.Dim(name)
	switch {
	case s.meter != nil && (dim >= 0 || name == Value):
		return s.meter.name(dim), true
	case schemas.IsMeterFamily(s.family.Name) && dim >= 0:
		return nameReader{}, true // asked by Known
	case s.family == schemas.FamilyRated && name != Account:
		return s.rated.name(name, filter)
	case s.family == schemas.FamilyRequest && name == "region":
		return dimensionReader(name), true
	case s.family == schemas.FamilyInternalError && name == "reason":
		return codeReader(name, func(r *archive.Rows) []archive.Code { return r.Reason }), true
	case s.family == schemas.FamilyEmail && name == "event":
		return mailEventReader(), true
	}
	return columnName(s.family.Topic, name)
}

// counts says whether events of the type belong to the family. What this
// function and measure say is what workers fold; jobs/fold.go says it again, to
// check.
func (s *source) counts(kind string) bool {
	if s.meter != nil {
		return schemas.MatchesType(s.meter.eventType, kind)
	}
	switch s.family {
	case schemas.FamilyRequest:
		return kind == schemas.TypeRequest
	case schemas.FamilyError:
		return kind == schemas.TypeAPIError
	case schemas.FamilyInternalError:
		return kind == schemas.TypeInternalError
	case schemas.FamilyEmail:
		return strings.HasPrefix(kind, schemas.EmailPrefix)
	case schemas.FamilyRated:
		return kind == schemas.TypeRatedUsage
	}
	return false
}

// columns are those that measure reads.
func (s *source) columns(need Need) (columns []string) {
	add := func(wanted bool, name string) {
		if wanted {
			columns = append(columns, name)
		}
	}
	latency := s.family == schemas.FamilyRequest || s.family == schemas.FamilyError
	usage := s.family.Topic == schemas.Usage
	add(latency && need&(Values|Extremes|Quantiles|Latest) != 0, "latency_ms")
	add(usage && need&Quantity != 0, "quantity")
	add(usage && need&Amount != 0, "amount")
	add(s.family == schemas.FamilyRequest && need&Bytes != 0, "bytes")
	add(s.family == schemas.FamilyInternalError, "records")
	if s.meter != nil {
		return s.meter.x.Columns()
	}
	return columns
}

// measure is what row i adds, before its sign.
func (s *source) measure(r *archive.Rows, i int, m *schemas.Measures) (err error) {
	m.Count = 1
	if s.meter != nil {
		if v := s.meter.x.Value(r, i); v.Has && s.meter.numbers {
			m.ValueCount, m.ValueSum, m.ValueMin, m.ValueMax = 1, v.Number, v.Number, v.Number
		} else if v.Has {
			m.ValueCount = 1
		}
		return nil
	}
	if i < len(r.Records) {
		m.Count = r.Records[i]
	}
	if i < len(r.LatencyMS) && !math.IsNaN(r.LatencyMS[i]) {
		m.ValueCount = 1
		if m.ValueSum, err = schemas.DecimalOf(r.LatencyMS[i]); err != nil {
			return err
		}
		m.ValueMin, m.ValueMax = m.ValueSum, m.ValueSum
	}
	if i < len(r.Quantity) && r.Quantity[i] != archive.NullDecimal {
		m.Quantity = r.Quantity[i]
	}
	if i < len(r.Amount) && r.Amount[i] != archive.NullDecimal {
		m.Amount = r.Amount[i]
	}
	if i < len(r.Bytes) && r.Bytes[i] != archive.NullInt64 {
		m.Bytes = r.Bytes[i]
	}
	return nil
}

// meterReader reads a declared meter's dimensions and value.
type meterReader struct {
	x         *archive.Extractor
	eventType string
	numbers   bool // its values are numbers
	row       int
	dims      []string
}

// name reads the dimension at a position; below 0 the value.
func (m *meterReader) name(dim int) nameReader {
	text := func(r *archive.Rows, i int) string {
		if dim < 0 {
			return string(m.x.Value(r, i).Text)
		}
		if m.row != i {
			m.row, m.dims = i, m.x.AppendDims(m.dims[:0], r, i)
		}
		return m.dims[dim]
	}
	return nameReader{columns: m.x.Columns(), key: interned(text), text: text}
}
