// Package known sends a load whose totals are known, and holds what was counted
// against them, for the tests that break things meanwhile.
package known

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// Finding is a difference that ends a test early.
type Finding string

func (f Finding) Error() string { return string(f) }

// Report is what a test has seen.
type Report struct {
	Findings []string // differences
	rows     []row
}

type row struct{ name, value string }

// Find notes a difference.
func (t *Report) Find(format string, args ...any) {
	t.Findings = append(t.Findings, fmt.Sprintf(format, args...))
}

// Show adds a line to the table.
func (t *Report) Show(name, format string, args ...any) {
	t.rows = append(t.rows, row{name, fmt.Sprintf(format, args...)})
}

// Print writes the table, and the first differences.
func (t *Report) Print(w io.Writer) {
	for _, r := range t.rows {
		fmt.Fprintf(w, "%-24s %s\n", r.name, r.value)
	}
	const most = 50
	for i, f := range t.Findings {
		if i == most {
			fmt.Fprintf(w, "  … and %d more\n", len(t.Findings)-most)
			break
		}
		fmt.Fprintln(w, "  "+f)
	}
}

// Spread says what durations are like.
func Spread(all []time.Duration) string {
	if len(all) == 0 {
		return "never seen"
	}
	all = slices.Sorted(slices.Values(all))
	round := func(d time.Duration) time.Duration {
		if d < time.Second {
			return d.Round(time.Millisecond)
		}
		return d.Round(100 * time.Millisecond)
	}
	return fmt.Sprintf("p50 %s, max %s of %d", round(all[len(all)/2]), round(all[len(all)-1]), len(all))
}
