package schemas

import (
	"encoding/binary"
	"encoding/json"

	"github.com/zeebo/xxh3"
)

// Family is the shape of a rollup row: which dimensions name a series of it.
// Everything an event of the family is measured by sits in one row.
type Family struct {
	Name  string
	Topic Topic // whose archive folder holds its rows
	Dims  []string
}

// The families of the built-in meters. The position of a dimension is part of
// the series id: append only.
var (
	FamilyRequest = &Family{Name: "request", Topic: Usage,
		Dims: []string{"api", "version", "endpoint", "method", "status", "region"}}
	FamilyError = &Family{Name: "error", Topic: Errors,
		Dims: []string{"api", "version", "endpoint", "status", "error_code"}}
	FamilyInternalError = &Family{Name: "internal_error", Topic: Errors,
		Dims: []string{"reason"}}
	FamilyEmail = &Family{Name: "email", Topic: Emails,
		Dims: []string{"domain", "event", "direction", "transport", "severity", "reason"}}

	// FamilyLatency names the series of latency sketches. It has no rollup rows:
	// counts and sums of latency stand in those of FamilyRequest.
	FamilyLatency = &Family{Name: "latency", Topic: Usage, Dims: []string{"api", "version", "endpoint"}}

	// FamilyRated is of rated.usage events. groupby is a JSON object, metadata a
	// JSON array of names alone: see Rated.
	FamilyRated = &Family{Name: "rated", Topic: Usage, Dims: []string{"metric", "unit", "groupby", "metadata"}}

	Families = []*Family{FamilyRequest, FamilyError, FamilyInternalError, FamilyEmail, FamilyLatency, FamilyRated}
)

// FamilyByName finds a family, or nil.
func FamilyByName(name string) *Family {
	for _, f := range Families {
		if f.Name == name {
			return f
		}
	}
	return nil
}

// Dim is the position of a dimension, or -1.
func (f *Family) Dim(name string) int {
	for i, d := range f.Dims {
		if d == name {
			return i
		}
	}
	return -1
}

// SeriesID is the 128-bit hash (xxh3) of family, account and dimension values,
// each behind its length. It is the same in every installation.
type SeriesID [16]byte

// MakeSeriesID hashes a series; dims are in the family's order, "" where an
// event has no value.
func MakeSeriesID(family, account string, dims []string) SeriesID {
	var stack [512]byte
	b := appendPart(stack[:0], family)
	b = appendPart(b, account)
	for _, d := range dims {
		b = appendPart(b, d)
	}
	return SeriesID(xxh3.Hash128(b).Bytes())
}

func appendPart(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// Series is a rollup's subject: an account and dimension values of a family.
type Series struct {
	ID      SeriesID
	Account string
	Family  string
	Dims    []string // in the family's order
}

// DimsJSON is the dims as a JSON array, the form that the store keeps.
func (s *Series) DimsJSON() string {
	b, err := json.Marshal(s.Dims)
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// Measures are the numbers of a series in a window. All but Min and Max are
// sums and may be added in any order; a retraction's are negative.
type Measures struct {
	Count      int64   // events
	Quantity   Decimal // sum of quantity
	ValueCount int64   // events that had a value (latency_ms)
	ValueSum   Decimal
	ValueMin   Decimal // meaningful where ValueCount > 0
	ValueMax   Decimal
	Bytes      int64   // sum of bytes
	Amount     Decimal // money, in the account's currency
}

// Add adds other to m, or returns ErrOverflow and leaves m as it was.
func (m *Measures) Add(other *Measures) error {
	sum := *m
	var err error
	if sum.Quantity, err = m.Quantity.Add(other.Quantity); err != nil {
		return err
	}
	if sum.ValueSum, err = m.ValueSum.Add(other.ValueSum); err != nil {
		return err
	}
	if sum.Amount, err = m.Amount.Add(other.Amount); err != nil {
		return err
	}
	sum.Bytes += other.Bytes
	if (sum.Bytes > m.Bytes) != (other.Bytes > 0) && other.Bytes != 0 {
		return ErrOverflow
	}
	sum.Count += other.Count
	sum.ValueCount += other.ValueCount
	if other.ValueCount > 0 {
		if m.ValueCount == 0 || other.ValueMin.Cmp(m.ValueMin) < 0 {
			sum.ValueMin = other.ValueMin
		}
		if m.ValueCount == 0 || other.ValueMax.Cmp(m.ValueMax) > 0 {
			sum.ValueMax = other.ValueMax
		}
	}
	*m = sum
	return nil
}

// Measure is which of a row's numbers a meter reads.
type Measure string

const (
	MeasureCount    Measure = "count"
	MeasureQuantity Measure = "quantity"
	MeasureValue    Measure = "value"
	MeasureBytes    Measure = "bytes"
)

// Aggregation is how a meter folds values (meters.md).
type Aggregation string

const (
	Count       Aggregation = "COUNT"
	Sum         Aggregation = "SUM"
	Avg         Aggregation = "AVG"
	Min         Aggregation = "MIN"
	Max         Aggregation = "MAX"
	UniqueCount Aggregation = "UNIQUE_COUNT"
	Latest      Aggregation = "LATEST"
	Percentile  Aggregation = "PERCENTILE"
)

// Aggregations are all of them, in the order in which messages list them.
var Aggregations = []Aggregation{Count, Sum, Avg, Min, Max, UniqueCount, Latest, Percentile}

// Meter asks one question of a family's rollups.
type Meter struct {
	Slug        string
	Description string
	EventType   string // "email.*" stands for every e-mail event
	Family      *Family
	Measure     Measure
	Aggregation Aggregation
	GroupBy     []string // a subset of the family's dimensions
	Billable    bool     // enters /v2/summary
	Percentiles []float64
	// Definition is what a declared meter was declared with; nil: built in. Its
	// family is of this version of it alone.
	Definition *MeterDefinition
	Version    int
}

// Meters are the built-in ones (event-types.md).
var Meters = []Meter{
	{Slug: "requests", Description: "API requests, by their quantity", EventType: TypeRequest, Family: FamilyRequest,
		Measure: MeasureQuantity, Aggregation: Sum, GroupBy: FamilyRequest.Dims, Billable: true},
	{Slug: "latency", Description: "time taken by API requests, in milliseconds", EventType: TypeRequest, Family: FamilyRequest,
		Measure: MeasureValue, Aggregation: Avg, GroupBy: []string{"api", "version", "endpoint"}, Percentiles: []float64{50, 95, 99}},
	{Slug: "bytes", Description: "bytes sent by API requests", EventType: TypeRequest, Family: FamilyRequest,
		Measure: MeasureBytes, Aggregation: Sum, GroupBy: []string{"api", "endpoint", "status"}},
	{Slug: "errors", Description: "API errors", EventType: TypeAPIError, Family: FamilyError,
		Measure: MeasureCount, Aggregation: Count, GroupBy: FamilyError.Dims},
	{Slug: "internal_errors", Description: "records that could not be processed", EventType: TypeInternalError,
		Family: FamilyInternalError, Measure: MeasureCount, Aggregation: Count, GroupBy: FamilyInternalError.Dims},
	{Slug: "emails", Description: "e-mail events", EventType: EmailPrefix + "*", Family: FamilyEmail,
		Measure: MeasureCount, Aggregation: Count, GroupBy: FamilyEmail.Dims},
}

// MeterBySlug finds a built-in meter.
func MeterBySlug(slug string) (Meter, bool) {
	for _, m := range Meters {
		if m.Slug == slug {
			return m, true
		}
	}
	return Meter{}, false
}
