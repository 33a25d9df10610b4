package jobs

import (
	"fmt"
	"strings"

	"tallybook/schemas"
	"tallybook/store"
)

const maxFindings = 20 // in words, per partition

// BalanceLine is what Balance summed up and found of one partition.
type BalanceLine struct {
	Topic        schemas.Topic `json:"topic"`
	Partition    int32         `json:"partition"`
	First        int64         `json:"first"` // where the ledger begins and ends
	Next         int64         `json:"next"`
	Position     int64         `json:"position"`
	Checkpoints  int64         `json:"checkpoints"`
	Records      int64         `json:"records"`
	Gaps         int64         `json:"gaps"`
	Counted      int64         `json:"counted"`
	Duplicate    int64         `json:"duplicate"`
	Rejected     int64         `json:"rejected"`
	OtherKey     int64         `json:"other_key"`
	HandedOn     int64         `json:"handed_on"`     // of Duplicate: sent to the partition that has their account since a change of their number
	ExtraRows    int64         `json:"extra_rows"`    // second rows of counted records: an amendment makes two
	ArchiveRows  int64         `json:"archive_rows"`  // to equal Counted + ExtraRows
	ErrorRecords int64         `json:"error_records"` // to equal Rejected
	Found        int64         `json:"found"`
	Findings     []string      `json:"findings,omitempty"` // the first of them

	empty bool // no record was ever processed
}

// BalanceReport has a line per partition, and their sums.
type BalanceReport struct {
	Partitions []BalanceLine `json:"partitions"`
	Total      BalanceLine   `json:"total"`
	Found      int64         `json:"found"` // what belongs to no partition
	Findings   []string      `json:"findings,omitempty"`
}

// OK: everything adds up.
func (r BalanceReport) OK() bool { return r.Found == 0 && r.Total.Found == 0 }

// String is the report in lines for people.
func (r BalanceReport) String() string {
	var b strings.Builder
	for i := range r.Partitions {
		l := &r.Partitions[i]
		fmt.Fprintf(&b, "%s/%d: offsets %d to %d in %d checkpoints; %s\n", l.Topic, l.Partition, l.First, l.Position, l.Checkpoints, l.sums())
		writeFindings(&b, l.Findings, l.Found)
	}
	fmt.Fprintf(&b, "total: %s\n", r.Total.sums())
	writeFindings(&b, r.Findings, r.Found)
	return b.String()
}

func (l *BalanceLine) sums() string {
	text := fmt.Sprintf("records %d = counted %d + duplicate %d + rejected %d; archive rows %d, error records %d",
		l.Records, l.Counted, l.Duplicate, l.Rejected, l.ArchiveRows, l.ErrorRecords)
	if l.HandedOn > 0 {
		text += fmt.Sprintf("; of the duplicates %d were handed on to another partition", l.HandedOn)
	}
	return text
}

func writeFindings(b *strings.Builder, findings []string, found int64) {
	for _, f := range findings {
		fmt.Fprintf(b, "  %s\n", f)
	}
	if more := found - int64(len(findings)); more > 0 {
		fmt.Fprintf(b, "  … and %d more\n", more)
	}
}

func (r *BalanceReport) find(format string, args ...any) {
	r.Found++
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, fmt.Sprintf(format, args...))
	}
}

func (l *BalanceLine) find(format string, args ...any) {
	l.Found++
	if len(l.Findings) < maxFindings {
		l.Findings = append(l.Findings, fmt.Sprintf(format, args...))
	}
}

// take adds the next ledger row.
func (l *BalanceLine) take(r *store.Ledger) {
	switch {
	case l.Checkpoints == 0:
		l.First, l.Next = r.First, r.First
	case r.First > l.Next:
		l.find("hole: offsets %d to %d are in no checkpoint", l.Next, r.First-1)
	case r.First < l.Next:
		l.find("overlap: offsets %d to %d are in two checkpoints", r.First, min(l.Next, r.Next)-1)
	}
	if r.Next <= r.First || min(r.Records, r.Gaps, r.Counted, r.Duplicate, r.Rejected, r.OtherKey, r.Extra, r.HandedOn) < 0 || r.HandedOn > r.Duplicate {
		l.find("the checkpoint at %d cannot be: %+v", r.First, *r)
	}
	if r.Records+r.Gaps != r.Next-r.First {
		l.find("the checkpoint at %d has %d records and %d gaps in %d offsets", r.First, r.Records, r.Gaps, r.Next-r.First)
	}
	if r.Counted+r.Duplicate+r.Rejected != r.Records {
		l.find("the checkpoint at %d has %d records: %d counted, %d duplicate, %d rejected", r.First, r.Records, r.Counted, r.Duplicate, r.Rejected)
	}
	l.Checkpoints++
	l.Next = max(l.Next, r.Next)
	l.Records += r.Records
	l.Gaps += r.Gaps
	l.Counted += r.Counted
	l.ExtraRows += r.Extra
	l.Duplicate += r.Duplicate
	l.Rejected += r.Rejected
	l.OtherKey += r.OtherKey
	l.HandedOn += r.HandedOn
}

// close holds the sums against position, archive and error rows.
func (l *BalanceLine) close() {
	switch {
	case l.Checkpoints == 0 && l.empty:
		l.First, l.Next = l.Position, l.Position // nothing was processed yet
	case l.Checkpoints == 0:
		l.find("the position is %d and the ledger is empty", l.Position)
	case l.Next != l.Position:
		l.find("the ledger ends at %d, the position is %d", l.Next, l.Position)
	}
	if l.Counted+l.ExtraRows != l.ArchiveRows {
		l.find("%s", countedText(l.Counted, l.ExtraRows, l.ArchiveRows))
	}
	if l.Rejected != l.ErrorRecords {
		l.find("%d records were rejected, the error rows stand for %d", l.Rejected, l.ErrorRecords)
	}
}

func countedText(counted, extra, archived int64) string {
	if extra == 0 {
		return fmt.Sprintf("%d records were counted, the archive has %d rows", counted, archived)
	}
	return fmt.Sprintf("%d records were counted, with %d second rows, the archive has %d rows", counted, extra, archived)
}

func (l *BalanceLine) add(o *BalanceLine) {
	l.Checkpoints += o.Checkpoints
	l.Records += o.Records
	l.Gaps += o.Gaps
	l.Counted += o.Counted
	l.ExtraRows += o.ExtraRows
	l.Duplicate += o.Duplicate
	l.Rejected += o.Rejected
	l.OtherKey += o.OtherKey
	l.HandedOn += o.HandedOn
	l.ArchiveRows += o.ArchiveRows
	l.ErrorRecords += o.ErrorRecords
	l.Found += o.Found
}
