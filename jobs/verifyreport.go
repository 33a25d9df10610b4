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
	DiffMisplaced = "misplaced row"     // a row in the file of another date
)

// Difference is one thing that Verify found.
type Difference struct {
	Kind    string            `json:"kind"`
	Topic   schemas.Topic     `json:"topic"`
	Account string            `json:"account,omitempty"`
	Family  string            `json:"family,omitempty"`
	Window  time.Time         `json:"window,omitzero"` // the hour
	Dims    map[string]string `json:"dims,omitempty"`
	Rollup  *schemas.Measures `json:"rollup,omitempty"`  // what the store says
	Archive *schemas.Measures `json:"archive,omitempty"` // what the archive's rows add up to
	File    string            `json:"file,omitempty"`
	Detail  string            `json:"detail"`
}

func (d Difference) String() string {
	if d.Kind != DiffRollup {
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

// VerifyReport is what Verify did and found.
type VerifyReport struct {
	Topics []TopicReport `json:"topics"`
}

// OK: no difference was found.
func (r VerifyReport) OK() bool {
	for i := range r.Topics {
		if r.Topics[i].Found != 0 {
			return false
		}
	}
	return true
}

// String is the report in lines for people.
func (r VerifyReport) String() string {
	var b strings.Builder
	for i := range r.Topics {
		t := &r.Topics[i]
		fmt.Fprintf(&b, "%s: %d days, %d files, %d rows, %d rollup rows, %d differences\n",
			t.Topic, t.Days, t.Files, t.Rows, t.RollupRows, t.Found)
		for _, d := range t.Differences {
			fmt.Fprintf(&b, "  %s\n", d)
		}
		if more := t.Found - int64(len(t.Differences)); more > 0 {
			fmt.Fprintf(&b, "  … and %d more\n", more)
		}
	}
	return b.String()
}

// describe names each number that differs.
func describe(rollup, archive *schemas.Measures) string {
	var parts []string
	number := func(name string, a, b any) {
		if a != b {
			parts = append(parts, fmt.Sprintf("%s is %v, the archive has %v", name, a, b))
		}
	}
	number("count", rollup.Count, archive.Count)
	number("quantity", rollup.Quantity, archive.Quantity)
	number("value count", rollup.ValueCount, archive.ValueCount)
	number("value sum", rollup.ValueSum, archive.ValueSum)
	number("value minimum", rollup.ValueMin, archive.ValueMin)
	number("value maximum", rollup.ValueMax, archive.ValueMax)
	number("bytes", rollup.Bytes, archive.Bytes)
	number("amount", rollup.Amount, archive.Amount)
	return strings.Join(parts, "; ")
}
