package jobs

import (
	"strings"
	"testing"

	"tallybook/schemas"
)

// declareMany declares meters over everything that fill writes.
func (r *rig) declareMany() {
	r.t.Helper()
	for _, d := range []schemas.MeterDefinition{
		{Slug: "slow", EventType: "api.request", Aggregation: schemas.Max, ValueProperty: "$.latency_ms", GroupBy: byEndpoint},
		{Slug: "spread", EventType: "api.request", Aggregation: schemas.Percentile, ValueProperty: "$['latency_ms']", Percentiles: []float64{50}},
		{Slug: "tiers", EventType: "api.*", Aggregation: schemas.UniqueCount, ValueProperty: `$["dimensions"].tier`, GroupBy: map[string]string{"status": "$.status"}},
		{Slug: "quantities", EventType: "api.request", Aggregation: schemas.Sum, ValueProperty: "$.quantity"},
		{Slug: "failures", EventType: "api.error", Aggregation: schemas.Avg, ValueProperty: "$.latency_ms", GroupBy: map[string]string{"code": "$.error_code"}},
		{Slug: "mails", EventType: "email.*", Aggregation: schemas.Count, GroupBy: map[string]string{"event": "$.event"}},
	} {
		r.declare(d)
	}
}

func TestVerifyMeters(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.declareMany()
	if report := r.verify(); !report.OK() { // none is complete
		t.Fatalf("before the backfill:\n%s", report)
	}
	if err := r.backfill(r.store, ""); err != nil {
		t.Fatal(err)
	}
	before := r.verify()
	if !before.OK() {
		t.Fatalf("after the backfill:\n%s", before)
	}
	if rows := before.Topics[0].RollupRows; rows < 10 {
		t.Errorf("%d rollup rows of usage were compared", rows)
	}
	if err := MergeSketches(t.Context(), r.store, nil); err != nil {
		t.Fatal(err)
	}
	if report := r.verify(); !report.OK() {
		t.Fatalf("after sketches were merged:\n%s", report)
	}
	for _, wrong := range []struct{ change, undo, family, detail string }{
		{`count = count + 1`, `count = count - 1`, "meter:mails:1", "count is 2"},
		{`value_units = value_units + 1`, `value_units = value_units - 1`, "meter:quantities:1", "value sum"},
		{`value_count = value_count + 1`, `value_count = value_count - 1`, "meter:tiers:1", "value count"},
	} {
		// one row: the least of the family
		where := ` WHERE (window_start, series) = (SELECT r.window_start, r.series FROM rollup_hours r JOIN series s ON s.id = r.series
			WHERE s.family = ? ORDER BY 1, 2 LIMIT 1)`
		r.sql(`UPDATE rollup_hours SET `+wrong.change+where, wrong.family)
		r.finds(DiffRollup, wrong.family, wrong.detail)
		r.sql(`UPDATE rollup_hours SET `+wrong.undo+where, wrong.family)
	}
	// Of the packs of one account and hour the request's and the meter's sketch differ.
	r.sql(`UPDATE sketches SET pack = ? WHERE account = 'bolt'`, []byte{})
	report := r.verify()
	if text := report.String(); report.Topics[0].Found != 2 || !strings.Contains(text, "latency account bolt") ||
		!strings.Contains(text, "meter:spread:1 account bolt") || !strings.Contains(text, "sketch has 0 values, the archive has 1") {
		t.Errorf("sketches that are lost:\n%s", report)
	}
}
