package known

import (
	"testing"

	"tallybook/jobs"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
)

func TestCompareFindsWhatDiffers(t *testing.T) {
	one, two := producer.Totals{Events: 1}, producer.Totals{Events: 2}
	for _, c := range []struct {
		name      string
		want, got map[string]producer.Totals
		findings  int
	}{
		{"equal", map[string]producer.Totals{"a": one}, map[string]producer.Totals{"a": one}, 0},
		{"doubled", map[string]producer.Totals{"a": one}, map[string]producer.Totals{"a": two}, 1},
		{"lost", map[string]producer.Totals{"a": one, "b": two}, map[string]producer.Totals{"a": one}, 1},
		{"never sent", map[string]producer.Totals{"a": one}, map[string]producer.Totals{"a": one, "b": one}, 1},
		{"latency", map[string]producer.Totals{"a": one},
			map[string]producer.Totals{"a": {Events: 1, LatencyMS: schemas.Decimal{Nanos: 1}}}, 1},
	} {
		var run Report
		Compare(&run, "name", c.want, c.got)
		if got := len(run.Findings); got != c.findings {
			t.Errorf("%s: got %d findings %v, want %d", c.name, got, run.Findings, c.findings)
		}
	}
}

func TestCheckLedgerFindsWhatDiffers(t *testing.T) {
	expected := &producer.Expected{Records: 100, Counted: 90, Duplicates: 6, Malformed: map[schemas.Reason]int64{schemas.EmptyRecord: 4}}
	for _, c := range []struct {
		name                         string
		acknowledged, others, logged int64
		counted, duplicate, rejected int64
		findings                     int
	}{
		{"equal", 100, 0, 100, 90, 6, 4, 0},
		{"sent again", 100, 0, 103, 90, 8, 5, 0},
		{"with another load", 100, 10, 110, 100, 6, 4, 0},
		{"one lost, taken for a duplicate", 100, 0, 100, 89, 7, 4, 1},
		{"one counted twice", 100, 0, 101, 91, 6, 4, 1},
		{"one not in the ledger", 100, 0, 101, 90, 6, 4, 1},
		{"one not sent", 99, 0, 100, 90, 6, 4, 1},
		{"a refused one counted", 100, 0, 100, 91, 6, 3, 2},
	} {
		var run Report
		ledger := &jobs.BalanceLine{Records: c.counted + c.duplicate + c.rejected, Counted: c.counted, Duplicate: c.duplicate, Rejected: c.rejected}
		run.CheckLedger(ledger, Sent{Load: &Load{Acknowledged: c.acknowledged}, Expected: expected, Others: c.others, Logged: c.logged})
		if got := len(run.Findings); got != c.findings {
			t.Errorf("%s: got %d findings %v, want %d", c.name, got, run.Findings, c.findings)
		}
	}
}
