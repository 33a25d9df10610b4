package engine

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
)

// Names that no dimension can have: the account of an event, and, for
// Distinct, the value that a declared meter reads.
const (
	Account = "@account"
	Value   = "@value"
)

// Need says which numbers of a group are wanted. Count is always there.
type Need uint16

const (
	Quantity Need = 1 << iota
	Values        // ValueCount, ValueSum
	Extremes      // ValueMin, ValueMax
	Bytes
	Amount
	Quantiles // Group.Quantile; from the archive exact, from rollups within schemas.SketchError
	Latest    // Group.Latest
)

// Question asks for the numbers of a family's events: those with
// From <= time < To of the accounts, that every filter lets through, in one
// group per window and distinct values of the GroupBy names.
type Question struct {
	Family *schemas.Family
	// Meter is the declared meter whose family it is; nil for other families.
	Meter *schemas.Meter
	Need  Need
	// From and To are any instants, in µs. From >= To: nothing matches.
	From, To int64
	Accounts []string // nil: all; empty: none
	// Filters has the values that are allowed for a name. A name that an event
	// does not have has the value "".
	Filters map[string][]string
	// GroupBy has Account and the names that Known accepts.
	GroupBy []string
	Window  Window
	// Distinct is a name whose different values are counted, "" not among them.
	Distinct string
	// MaxGroups bounds the answer; 0: the engine's limit.
	MaxGroups int
}

// Group is one row of an answer.
type Group struct {
	// Start and End are the window's edges in µs, also where the question begins
	// or ends within it; without windows, and with Labels, the question's own.
	Start, End int64
	Names      []string // values of GroupBy, then of Window.Labels
	schemas.Measures
	Distinct  int64
	HasLatest bool
	Latest    schemas.Decimal // the value of the latest event that had one

	values *valueSet
}

// Known says whether the events of a family can have the name: a dimension of
// its rollups, or what the archive alone knows: a column, "dimensions.X" or
// "data.X" (a path of names).
func Known(f *schemas.Family, name string) bool {
	if inRollups(f, name) {
		return true
	}
	_, ok := (&source{family: f}).name(name, true)
	return ok
}

func (q *Question) check() error {
	if q.Family == nil || schemas.IsMeterFamily(q.Family.Name) != (q.Meter != nil && q.Meter.Definition != nil) {
		return fmt.Errorf("a question needs a family, and that of a declared meter the meter")
	}
	names := q.names()
	if q.Distinct != "" && (q.Distinct != Value || q.Meter == nil) {
		names = append(names, q.Distinct)
	}
	slices.Sort(names)
	for _, name := range names {
		if !Known(q.Family, name) {
			return api.Invalid(name, "events of %s have no %q; they have %s", q.Family.Name, name, strings.Join(q.Family.Dims, ", "))
		}
	}
	return q.Window.check()
}

// names are those that divide or choose events.
func (q *Question) names() []string {
	return slices.AppendSeq(slices.Clone(q.GroupBy), maps.Keys(q.Filters))
}

// fromArchive says whether rollups know nothing of what is asked.
func (q *Question) fromArchive() bool {
	if q.Window.Size == Minute || q.Need&Latest != 0 || q.Distinct != "" || q.Need&Quantiles != 0 && q.sketches() == nil {
		return true
	}
	return slices.ContainsFunc(q.names(), func(name string) bool { return !inRollups(q.Family, name) })
}

// sketches is the family whose sketches answer quantiles; nil: none does.
func (q *Question) sketches() *schemas.Family {
	f := q.Family
	switch {
	case f == schemas.FamilyRequest:
		f = schemas.FamilyLatency
	case q.Meter == nil || q.Meter.Aggregation != schemas.Percentile:
		return nil
	}
	if slices.ContainsFunc(q.names(), func(name string) bool { return !inRollups(f, name) }) {
		return nil
	}
	return f
}

// tooMuch is a 422 that says how to ask for less.
func tooMuch(format string, args ...any) error {
	return &api.Failure{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf(format, args...)}
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
