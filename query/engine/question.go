package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
)

// Account is the name of the account in GroupBy. No dimension can have it.
const Account = "@account"

// Need says which numbers of a group are wanted. Count is always there.
type Need uint16

const (
	Quantity Need = 1 << iota
	Values        // ValueCount, ValueSum
	Extremes      // ValueMin, ValueMax
	Bytes
	Amount
	Quantiles // Group.Quantile
	Latest    // Group.Latest
)

// Question asks for the numbers of a family's events: those with
// From <= time < To of the accounts, that every filter lets through, in one
// group per window and distinct values of the GroupBy names.
type Question struct {
	Family *schemas.Family
	Need   Need
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
	if q.Family == nil {
		return fmt.Errorf("a question needs a family")
	}
	names := slices.Clone(q.GroupBy)
	for name := range q.Filters {
		names = append(names, name)
	}
	if q.Distinct != "" {
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

// fromArchive says whether rollups know nothing of what is asked.
func (q *Question) fromArchive() bool {
	if q.Window.Size == Minute || q.Need&(Quantiles|Latest) != 0 || q.Distinct != "" {
		return true
	}
	unknown := func(name string) bool { return !inRollups(q.Family, name) }
	if slices.ContainsFunc(q.GroupBy, unknown) {
		return true
	}
	for name := range q.Filters {
		if unknown(name) {
			return true
		}
	}
	return false
}

// tooMuch is a 422 that says how to ask for less.
func tooMuch(format string, args ...any) error {
	return &api.Failure{Status: http.StatusUnprocessableEntity, Detail: fmt.Sprintf(format, args...)}
}

func timeOf(micros int64) time.Time { return time.UnixMicro(micros).UTC() }
