package producer

import (
	"maps"
	"slices"
	"strings"
	"time"

	"tallybook/store"
)

// Progress of the file as a whole.
type Progress struct {
	Bytes, TotalBytes int64 // of the decompressed content
	Report            *Report
}

// Report is what became of the file's lines, of all runs together where it
// was interrupted: Lines = Events + the sum of Skipped.
type Report struct {
	Lines     int64
	Events    int64            // acknowledged by Kafka
	Skipped   map[string]int64 // by reason
	FirstTime time.Time        // least and greatest event time; zero: none was given
	LastTime  time.Time

	AlreadyDone bool          // the Journal knew the file as finished: nothing was sent
	Known       store.Import  // what the Journal knew before this run
	Resumed     bool          // an interrupted import went on
	Interrupted time.Duration // Resumed: since the last acknowledged batch
}

// Names of the Journal's counts; a reason for skipping has its own behind
// countSkipped.
const (
	countLines   = "lines"
	countEvents  = "events"
	countFirst   = "first_time_us"
	countLast    = "last_time_us"
	countAcked   = "acknowledged_at_us"
	countSkipped = "skipped_"
)

func (r *Report) counts(now time.Time) map[string]int64 {
	c := map[string]int64{countLines: r.Lines, countEvents: r.Events, countAcked: now.UnixMicro()}
	for reason, n := range r.Skipped {
		c[countSkipped+reason] = n
	}
	if !r.FirstTime.IsZero() {
		c[countFirst], c[countLast] = r.FirstTime.UnixMicro(), r.LastTime.UnixMicro()
	}
	return c
}

func reportOf(known store.Import) Report {
	r := Report{Lines: known.Counts[countLines], Events: known.Counts[countEvents], Skipped: map[string]int64{}, Known: known}
	for name, n := range known.Counts {
		if reason, ok := strings.CutPrefix(name, countSkipped); ok {
			r.Skipped[reason] = n
		}
	}
	if first, ok := known.Counts[countFirst]; ok {
		r.FirstTime, r.LastTime = time.UnixMicro(first).UTC(), time.UnixMicro(known.Counts[countLast]).UTC()
	}
	return r
}

// OtherFormat: there are lines, and not one is of the format.
func (r *Report) OtherFormat() bool {
	malformed := r.Skipped[string(skipMalformed)]
	return malformed > 0 && malformed+r.Skipped[string(skipEmpty)] == r.Lines
}

func (r *Report) clone() Report {
	c := *r
	c.Skipped = maps.Clone(r.Skipped)
	return c
}

func (r *Report) span(t time.Time) {
	if r.FirstTime.IsZero() || t.Before(r.FirstTime) {
		r.FirstTime = t
	}
	if r.LastTime.IsZero() || t.After(r.LastTime) {
		r.LastTime = t
	}
}

// Reasons are the reasons of Skipped in order.
func (r *Report) Reasons() []string { return slices.Sorted(maps.Keys(r.Skipped)) }
