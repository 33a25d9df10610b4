package jobs

import (
	"fmt"
	"strings"
	"time"

	"tallybook/schemas"
)

// Kinds of Difference.
const (
	DiffRollup    = "rollup"            // a number differs, or a row is on one side only
	DiffMissing   = "missing file"      // a live file is not in the archive
	DiffDamaged   = "damaged file"      // it does not read, or is not what the store says it is
	DiffUnknown   = "unknown file"      // a published file that the store does not know
	DiffDuplicate = "duplicate address" // one row of the log twice
	DiffAmount    = "amount"            // a request does not cost what its price says
	DiffMisplaced = "misplaced row"     // a row in the file of another date
	DiffDay       = "day row"           // a built row is not the sum of its hours
	DiffMonth     = "month row"         // a built row is not the sum of its days and hours
	DiffManifest  = "manifest"          // that of a date does not name its live files
	DiffListed    = "list of days"      // the store's list of days and what it has of a day disagree
)

// Difference is one thing that Verify found.
type Difference struct {
	Kind    string            `json:"kind"`
	Topic   schemas.Topic     `json:"topic"`
	Account string            `json:"account,omitempty"`
	Family  string            `json:"family,omitempty"`
	Window  time.Time         `json:"window,omitzero"` // the hour, or where the day or month begins
	Dims    map[string]string `json:"dims,omitempty"`
	Rollup  *schemas.Measures `json:"rollup,omitempty"`  // what the store says
	Archive *schemas.Measures `json:"archive,omitempty"` // what the archive's rows add up to
	Sources *schemas.Measures `json:"sources,omitempty"` // what the rows that a day or month is built from add up to
	File    string            `json:"file,omitempty"`
	Detail  string            `json:"detail"`
}

func (d Difference) String() string {
	switch d.Kind {
	case DiffRollup:
	case DiffDay, DiffMonth:
		layout := map[string]string{DiffDay: "2006-01-02", DiffMonth: "2006-01"}[d.Kind]
		family := strings.TrimPrefix(string(d.Topic)+"/"+d.Family, "/") // a declared meter's names no topic
		return fmt.Sprintf("%s: %s account %s, %s, %v: %s", d.Kind, family, d.Account, d.Window.Format(layout), d.Dims, d.Detail)
	case DiffListed:
		return fmt.Sprintf("%s: %s: %s", d.Kind, d.Window.Format("2006-01-02"), d.Detail)
	default:
		return fmt.Sprintf("%s: %s: %s", d.Kind, d.File, d.Detail)
	}
	return fmt.Sprintf("%s/%s account %s, %s, %v: %s", d.Topic, d.Family, d.Account, d.Window.Format("2006-01-02T15:04Z"), d.Dims, d.Detail)
}

// TopicReport is what Verify did and found in one topic's dataset.
type TopicReport struct {
	Topic       schemas.Topic `json:"topic"`
	Days        int64         `json:"days"`
	Files       int64         `json:"files"`
	Rows        int64         `json:"rows"`        // archive rows read
	RollupRows  int64         `json:"rollup_rows"` // hour rows compared
	Found       int64         `json:"found"`
	Differences []Difference  `json:"differences,omitempty"` // the first of them
}

// BuiltReport is what Verify did and found in built days and months.
type BuiltReport struct {
	Days        int64        `json:"days"`
	Months      int64        `json:"months"`
	Rows        int64        `json:"rows"`    // built rows compared
	Skipped     int64        `json:"skipped"` // windows that changed while they were compared
	Found       int64        `json:"found"`
	Differences []Difference `json:"differences,omitempty"` // the first of them
}

// VerifyReport is what Verify did and found.
type VerifyReport struct {
	Topics []TopicReport `json:"topics"`
	Built  BuiltReport   `json:"built"`
}

// OK: no difference was found.
func (r VerifyReport) OK() bool {
	for i := range r.Topics {
		if r.Topics[i].Found != 0 {
			return false
		}
	}
	return r.Built.Found == 0
}

// String is the report in lines for people.
func (r VerifyReport) String() string {
	var b strings.Builder
	for i := range r.Topics {
		t := &r.Topics[i]
		fmt.Fprintf(&b, "%s: %d days, %d files, %d rows, %d rollup rows, %d differences\n",
			t.Topic, t.Days, t.Files, t.Rows, t.RollupRows, t.Found)
		writeDifferences(&b, t.Differences, t.Found)
	}
	fmt.Fprintf(&b, "built: %d days, %d months, %d rows, %d windows skipped, %d differences\n",
		r.Built.Days, r.Built.Months, r.Built.Rows, r.Built.Skipped, r.Built.Found)
	writeDifferences(&b, r.Built.Differences, r.Built.Found)
	return b.String()
}

func writeDifferences(b *strings.Builder, differences []Difference, found int64) {
	for _, d := range differences {
		fmt.Fprintf(b, "  %s\n", d)
	}
	if more := found - int64(len(differences)); more > 0 {
		fmt.Fprintf(b, "  … and %d more\n", more)
	}
}

// describe names each number of a row that differs from the other side's, whose
// words begin with who ("the archive has").
func describe(row, other *schemas.Measures, who string) string {
	var parts []string
	number := func(name string, a, b any) {
		if a != b {
			parts = append(parts, fmt.Sprintf("%s is %v, %s %v", name, a, who, b))
		}
	}
	number("count", row.Count, other.Count)
	number("quantity", row.Quantity, other.Quantity)
	number("value count", row.ValueCount, other.ValueCount)
	number("value sum", row.ValueSum, other.ValueSum)
	number("value minimum", row.ValueMin, other.ValueMin)
	number("value maximum", row.ValueMax, other.ValueMax)
	number("bytes", row.Bytes, other.Bytes)
	number("amount", row.Amount, other.Amount)
	return strings.Join(parts, "; ")
}
