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
}

// name is how rows have the name; filter: as Filters mean it.
func (s *source) name(name string, filter bool) (nameReader, bool) {
	switch {
	case s.family == schemas.FamilyRated && name != Account && name != "source":
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
	return columns
}

// measure is what row i adds, before its sign.
func (s *source) measure(r *archive.Rows, i int, m *schemas.Measures) (err error) {
	m.Count = 1
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
