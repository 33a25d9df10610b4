package jobs

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// built is a rig whose two days, and their month, are built.
func built(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	r.fill()
	r.build()
	return r
}

func (r *rig) build() {
	r.t.Helper()
	if err := BuildRollups(r.t.Context(), r.store, time.UnixMicro(micros("2026-03-01T00:00:00Z")), nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestVerifyBuiltGood(t *testing.T) {
	r := built(t)
	report := r.verify()
	if want := "built: 2 days, 1 months, 15 rows, 0 windows skipped, 0 differences\n"; !report.OK() || !strings.Contains(report.String(), want) {
		t.Errorf("got\n%swant %s", report, want)
	}
}

// Each number of a day, and of a month, is compared; so are rows of one side.
func TestVerifyFindsBuiltRows(t *testing.T) {
	low := dec("0.05").SortKey()
	for _, c := range []struct {
		change     string // TABLE is the table, ROW the row of acme's requests
		args       []any
		day, month string // month "": as day
	}{
		{`UPDATE TABLE SET count = count + 100 ROW`, nil, "count is 103, WHO 3", "count is 104, WHO 4"},
		{`UPDATE TABLE SET quantity_units = 9 ROW`, nil, "quantity is 9.000000001, WHO 6.000000001", "quantity is 9.500000001, WHO 3.500000001"},
		{`UPDATE TABLE SET quantity_nanos = 2 ROW`, nil, "quantity is 6.000000002, WHO 6.000000001", "quantity is 3.000000002, WHO 3.500000001"},
		{`UPDATE TABLE SET value_count = 4 ROW`, nil, "value count is 4, WHO 3", ""},
		{`UPDATE TABLE SET value_units = value_units - 1 ROW`, nil, "value sum is 110.85, WHO 111.85", ""},
		{`UPDATE TABLE SET value_min = ? ROW`, []any{low[:]}, "value minimum is 0.05, WHO 0.1", ""},
		{`UPDATE TABLE SET value_max = NULL ROW`, nil, "value maximum is none, WHO 99.25", ""},
		{`UPDATE TABLE SET value_max = ? ROW`, []any{[]byte{0}}, "value maximum is 00, which is no number, WHO 99.25", ""},
		{`UPDATE TABLE SET bytes = 31 ROW`, nil, "bytes is 31, WHO 30", "bytes is 31, WHO 40"},
		{`UPDATE TABLE SET amount_nanos = 500000000 ROW`, nil, "amount is 0.5, WHO 0", ""},
		{`DELETE FROM TABLE ROW`, nil, "count is 0, WHO 3", "count is 0, WHO 4"},
		{`UPDATE TABLE SET account = 'zeta' ROW`, nil, "account zeta", ""},
	} {
		r := built(t)
		r.sql(strings.NewReplacer("TABLE", "rollup_days", "ROW", "WHERE account = 'acme' AND bytes = 30").Replace(c.change), c.args...)
		r.findsBuilt(DiffDay, "day row: usage/request account ", strings.ReplaceAll(c.day, "WHO", "its hours have"))
		r = built(t)
		r.sql(strings.NewReplacer("TABLE", "rollup_months", "ROW", "WHERE account = 'acme' AND bytes = 40").Replace(c.change), c.args...)
		report := r.findsBuilt(DiffMonth, "month row: usage/request account ",
			strings.ReplaceAll(cmp.Or(c.month, c.day), "WHO", "its days and hours have"))
		if got := report.Built.Differences[0]; got.Kind != DiffMonth { // the days are as they were
			t.Errorf("%s: got %v", c.change, got)
		}
	}
}

// findsBuilt checks that a built row of the kind is found, in these words.
func (r *rig) findsBuilt(kind string, parts ...string) VerifyReport {
	r.t.Helper()
	report := r.verify()
	if report.OK() || len(report.Built.Differences) == 0 || report.Built.Differences[0].Kind != kind {
		r.t.Fatalf("got no %s:\n%s", kind, report)
	}
	for _, part := range parts {
		if got := report.String(); !strings.Contains(got, part) {
			r.t.Errorf("got\n%swant %q", got, part)
		}
	}
	if _, err := json.Marshal(report); err != nil {
		r.t.Error(err)
	}
	return report
}

// A month takes the hours of a day that is not built.
func TestVerifyMonthFromHours(t *testing.T) {
	r := newRig(t)
	r.fill()
	ctx, day := t.Context(), schemas.DayOf(micros("2026-01-01T00:00:00Z"))
	if err := r.store.BuildRollups(ctx, store.Daily, day+1); err != nil {
		t.Fatal(err)
	}
	if err := r.store.BuildRollups(ctx, store.Monthly, day); err != nil {
		t.Fatal(err)
	}
	if report := r.verify(); !report.OK() || report.Built.Days != 1 || report.Built.Months != 1 {
		t.Errorf("got\n%s", report)
	}
	r.sql(`UPDATE rollup_months SET count = count + 1 WHERE account = 'bolt'`)
	r.finds(DiffMonth)
}

// More rows than one View reads: each is compared, also the last.
func TestVerifyBuiltInParts(t *testing.T) {
	const n = 12_000
	events := make([]event, n)
	for i := range events {
		events[i] = event{kind: "api.request", account: fmt.Sprintf("acct-%05d", i/2), at: fmt.Sprintf("2026-01-01T%02d:00:00Z", i%3),
			family: schemas.FamilyRequest, dims: []string{"", "", fmt.Sprint("/", i%2), "", "", ""},
			strings: map[schemas.Field]string{schemas.Endpoint: fmt.Sprint("/", i%2)}, adds: schemas.Measures{Count: 1}}
	}
	r := newRig(t)
	r.write(usage0, events, nil, 0)
	r.build()
	if report := r.verify(); !report.OK() || report.Built.Rows != 2*n {
		t.Fatalf("got\n%s", report)
	}
	for _, account := range []string{"acct-00000", "acct-02500", "acct-05999"} {
		r.sql(`UPDATE rollup_months SET count = count + 1 WHERE account = ?`, account)
	}
	report := r.verify()
	if report.Built.Found != 6 || len(report.Built.Differences) != 6 {
		t.Errorf("got\n%s", report)
	}
	cut, err := Verify(t.Context(), VerifyConfig{Store: r.store, Archive: r.archive, Examples: 2})
	if err != nil || cut.Built.Found != 6 || len(cut.Built.Differences) != 2 || !strings.Contains(cut.String(), "and 4 more") {
		t.Errorf("got %v\n%s", err, cut)
	}
}

// A window that a checkpoint touches is no difference, and not called compared.
func TestVerifyBuiltSkipsChanged(t *testing.T) {
	r := built(t)
	r.sql(`UPDATE rollup_days SET count = count + 1`)
	touched := false
	report, err := Verify(t.Context(), VerifyConfig{Store: r.store, Archive: r.archive, Progress: func(text string) {
		if !touched && strings.HasPrefix(text, "verify built day 2026-01-01") {
			touched = true
			r.fill()
		}
	}})
	if err != nil || !touched || !report.OK() {
		t.Errorf("got %v\n%s", err, report)
	}
	if got := report.Built; got.Skipped != 3 || got.Days+got.Months+got.Rows+got.Found != 0 {
		t.Errorf("got %+v", got)
	}
	if report := r.verify(); report.Built.Skipped != 0 { // dirty: no answer uses them
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyFindsUnlistedDays(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.sql(`DELETE FROM topic_days WHERE topic = 'usage' AND day = 20455`)
	d := r.finds(DiffListed, "list of days: 2026-01-02: it is not on the list, and the store has 1 files and 2 rollup rows of it")
	if d.Topic != schemas.Usage {
		t.Errorf("got %+v", d)
	}
	// What lies in a day that is not listed is still compared.
	r.sql(`UPDATE rollup_hours SET count = count + 1 WHERE account = 'bolt'`)
	if report := r.verify(); report.Topics[0].Found != 2 {
		t.Errorf("got\n%s", report)
	}
	// Neither list nor files: the hours alone show it.
	r.sql(`DELETE FROM archive_files WHERE dataset = 'usage' AND day = 20455`)
	if got := r.verify().String(); !strings.Contains(got, "the store has 0 files and 2 rollup rows of it") {
		t.Errorf("got\n%s", got)
	}
}

func TestVerifyFindsListedEmptyDay(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.sql(`INSERT INTO topic_days (topic, day) VALUES ('emails', 20460)`)
	r.finds(DiffListed, "list of days: 2026-01-07: it is on the list, and the store has no file and no rollup row of it")
}

// Built rows take extremes as the hours have them, also where a retraction made
// those wrong, or left no value.
func TestVerifyBuiltOfRetractions(t *testing.T) {
	r := newRig(t)
	r.write(usage0, []event{valued(5, false), valued(1, false), valued(9, false)}, nil, 0)
	other := valued(7, false)
	other.at = "2026-01-02T12:00:00Z"
	r.write(usage0, []event{valued(1, true), other}, nil, 0)
	r.build()
	r.wantVerified("stale")
	r.recompute()
	r.build()
	r.wantVerified("computed")
	r.write(usage0, []event{valued(5, true), valued(9, true)}, nil, 0)
	r.build()
	r.wantVerified("no value left in one hour, stale")
	r.recompute()
	r.build()
	r.wantVerified("no value left in one hour")
	other.taken = true
	r.write(usage0, []event{other}, nil, 0)
	r.build()
	r.wantVerified("nothing left")
	if got := r.verify().Built; got.Days != 1 || got.Months != 1 || got.Skipped != 0 {
		t.Errorf("got %+v", got)
	}
}
