package jobs

import (
	"strings"
	"testing"

	"tallybook/schemas"
)

func (r *rig) balance() BalanceReport {
	r.t.Helper()
	report, err := Balance(r.t.Context(), BalanceConfig{Store: r.store, Archive: r.archive})
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

func TestBalanceGood(t *testing.T) {
	r := newRig(t)
	if report := r.balance(); !report.OK() {
		t.Errorf("empty: got\n%s", report)
	}
	r.fill()
	report := r.balance()
	if !report.OK() {
		t.Fatalf("got\n%s", report)
	}
	want := `emails/0: offsets 0 to 3 in 1 checkpoints; records 3 = counted 2 + duplicate 1 + rejected 0; archive rows 2, error records 0
errors/0: offsets 0 to 2 in 1 checkpoints; records 2 = counted 1 + duplicate 0 + rejected 1; archive rows 1, error records 1
usage/0: offsets 0 to 11 in 2 checkpoints; records 11 = counted 6 + duplicate 2 + rejected 3; archive rows 6, error records 3
total: records 16 = counted 9 + duplicate 3 + rejected 4; archive rows 9, error records 4
`
	if got := report.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestBalanceFinds(t *testing.T) {
	const usage = ` WHERE topic = 'usage' AND partition = 0 AND first_offset = `
	for _, c := range []struct {
		name, change string
		want         []string
	}{
		{"hole", `UPDATE ledger SET next_offset = 9, records = 9, duplicate = 1` + usage + `0`,
			[]string{"hole: offsets 9 to 9"}},
		{"overlap", `UPDATE ledger SET next_offset = 11, records = 11, duplicate = 3` + usage + `0`,
			[]string{"overlap: offsets 10 to 10 are in two checkpoints"}},
		{"lost row", `DELETE FROM ledger` + usage + `10`,
			[]string{"the ledger ends at 10, the position is 11", "5 records were counted, the archive has 6 rows"}},
		{"empty ledger", `DELETE FROM ledger WHERE topic = 'usage'`, []string{"the position is 11 and the ledger is empty"}},
		{"counted", `UPDATE ledger SET counted = 6, duplicate = 1` + usage + `0`, []string{"7 records were counted, the archive has 6 rows"}},
		{"rejected", `UPDATE errors SET records = 2 WHERE records = 3`, []string{"3 records were rejected, the error rows stand for 2"}},
		{"position", `UPDATE positions SET next_offset = 12 WHERE topic = 'usage'`, []string{"the ledger ends at 11, the position is 12"}},
		{"files", `UPDATE archive_files SET rows = rows + 1 WHERE topic = 'emails'`, []string{"2 records were counted, the archive has 3 rows"}},
		{"file ahead", `UPDATE archive_files SET last_offset = 3 WHERE topic = 'emails'`, []string{"has offset 3, the position is 3"}},
		{"no position", `DELETE FROM positions WHERE topic = 'emails'`, []string{"is of emails/0, which has no position"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.fill()
			r.sql(c.change)
			report := r.balance()
			for _, want := range c.want {
				if got := report.String(); report.OK() || !strings.Contains(got, want) {
					t.Errorf("got\n%s\nwant %q", got, want)
				}
			}
		})
	}
}

func TestBalanceMissingErrorsFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	name := r.file("errors/date=2026-01-01/errors-0")
	if err := r.bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if report := r.balance(); report.OK() || !strings.Contains(report.String(), name) {
		t.Errorf("got\n%s", report)
	}
}

// One row lost and one too many are not even.
func TestBalanceFindsByRange(t *testing.T) {
	const cancel = `UPDATE archive_files SET rows = rows + CASE WHEN first_offset < 10 THEN -1 ELSE 1 END
		WHERE topic = 'usage' AND dataset = 'usage' AND day = 20454` // 2026-01-01
	r := newRig(t)
	r.fill()
	r.sql(cancel)
	report := r.balance()
	if report.Total.Found != 2 || report.Found != 0 {
		t.Errorf("got %d findings\n%s", report.Total.Found, report)
	}
	for _, want := range []string{"offsets 0 to 9: 5 records were counted, the archive has 4 rows",
		"offsets 10 to 10: 1 records were counted, the archive has 2 rows"} {
		if got := report.String(); !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %q", got, want)
		}
	}
	// A file over both ranges: only their sum can be held against it.
	r.sql(`UPDATE archive_files SET last_offset = 10 WHERE topic = 'usage' AND dataset = 'usage' AND first_offset = 0`)
	if report := r.balance(); !report.OK() {
		t.Errorf("got\n%s", report)
	}
}

func TestBalanceErrorsByRange(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	if report := r.balance(); !report.OK() {
		t.Fatalf("got\n%s", report)
	}
	// The counts of two checkpoints are exchanged, those of errors' own files stay.
	r.sql(`UPDATE ledger SET counted = CASE first_offset WHEN 0 THEN 2 ELSE 0 END, rejected = CASE first_offset WHEN 0 THEN 0 ELSE 2 END
		WHERE topic = 'errors'`)
	report := r.balance()
	if got := report.String(); report.Total.Found != 2 || !strings.Contains(got, "offsets 0 to 1: 2 records were counted, the archive has 1 rows") ||
		!strings.Contains(got, "offsets 2 to 3: 0 records were counted, the archive has 1 rows") {
		t.Errorf("got\n%s", got)
	}
}

func TestBalanceFileOfNoRange(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.sql(`DELETE FROM ledger WHERE topic = 'usage' AND first_offset = 0`)
	if got := r.balance().String(); !strings.Contains(got, "offsets 0 to 1: 0 records were counted, the archive has 2 rows") {
		t.Errorf("got\n%s", got)
	}
}

func TestBalancePages(t *testing.T) {
	r := newRig(t)
	e := event{kind: "app.event", account: "acme", at: "2026-01-02T01:00:00Z"}
	next := e
	next.at = "2026-01-03T01:00:00Z"
	for range 4 {
		r.write(usage0, []event{e, next}, nil, 0) // two files each
	}
	for page := 1; page <= 4; page++ {
		line := &BalanceLine{Topic: schemas.Usage, Position: 6} // as of before the fourth
		w := &balanceWalk{balance: &balance{cfg: &BalanceConfig{Store: r.store}}, line: line, page: page}
		if err := w.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if line.Checkpoints != 3 || line.Next != 6 || line.ArchiveRows != 6 || line.Found != 0 {
			t.Errorf("pages of %d: got %+v", page, line)
		}
	}
}
