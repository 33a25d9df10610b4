package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

func (r *rig) verify() VerifyReport {
	r.t.Helper()
	report, err := Verify(r.t.Context(), VerifyConfig{Store: r.store, Archive: r.archive, Hashes: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return report
}

// finds checks that exactly one difference is found, of the kind, and that its
// text names the parts.
func (r *rig) finds(kind string, parts ...string) Difference {
	r.t.Helper()
	report := r.verify()
	var all []Difference
	for _, t := range report.Topics {
		all = append(all, t.Differences...)
	}
	all = append(all, report.Built.Differences...)
	if len(all) != 1 || all[0].Kind != kind || report.OK() {
		r.t.Fatalf("got %d differences, want one %s:\n%s", len(all), kind, report)
	}
	for _, part := range parts {
		if !strings.Contains(report.String(), part) {
			r.t.Errorf("the report does not name %q:\n%s", part, report)
		}
	}
	if _, err := json.Marshal(report); err != nil {
		r.t.Error(err)
	}
	return all[0]
}

func (r *rig) file(prefix string) string {
	r.t.Helper()
	var found string
	err := r.bucket.List(r.t.Context(), prefix, "", func(name string, _ int64) error {
		if found == "" {
			found = name
		}
		return nil
	})
	if err != nil || found == "" {
		r.t.Fatalf("no file %s…: %v", prefix, err)
	}
	return found
}

func TestVerifyGood(t *testing.T) {
	r := newRig(t)
	r.fill()
	report := r.verify()
	if !report.OK() {
		t.Fatalf("got\n%s", report)
	}
	for i, want := range []TopicReport{
		{Topic: schemas.Usage, Days: 2, Files: 3, Rows: 6, RollupRows: 3},
		{Topic: schemas.Errors, Days: 2, Files: 3, Rows: 3, RollupRows: 3},
		{Topic: schemas.Emails, Days: 1, Files: 1, Rows: 2, RollupRows: 2},
	} {
		got := report.Topics[i]
		if got.Topic != want.Topic || got.Days != want.Days || got.Files != want.Files || got.Rows != want.Rows || got.RollupRows != want.RollupRows {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
}

func TestVerifyEmpty(t *testing.T) {
	if report := newRig(t).verify(); !report.OK() || len(report.Topics) != 3 {
		t.Errorf("got %+v", report)
	}
}

func TestVerifyFindsFlippedNumbers(t *testing.T) {
	for column, part := range map[string]string{"count": "count is 4, the archive has 3", "quantity_nanos": "quantity is 6.000000002, the archive has 6.000000001",
		"value_count": "value count", "value_units": "value sum", "bytes": "bytes is 31", "amount_units": "amount is 1, the archive has 0"} {
		r := newRig(t)
		r.fill()
		r.sql(`UPDATE rollup_hours SET ` + column + ` = ` + column + ` + 1 WHERE bytes = 30`)
		d := r.finds(DiffRollup, part, "usage/request account acme, 2026-01-01T23:00Z", "endpoint:/a")
		if d.Account != "acme" || d.Dims["region"] != "eu" || d.Dims["status"] != "200" {
			t.Errorf("%s: got %+v", column, d)
		}
	}
	r := newRig(t)
	r.fill()
	key := dec("0.2").SortKey()
	r.sql(`UPDATE rollup_hours SET value_min = ? WHERE bytes = 30`, key[:])
	r.finds(DiffRollup, "value minimum is 0.2, the archive has 0.1")
}

func TestVerifyFindsMissingRollup(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.sql(`DELETE FROM rollup_hours WHERE account = '_unknown'`)
	r.finds(DiffRollup, "errors/internal_error account _unknown", "count is 0, the archive has 3", "reason:invalid_json")
}

func TestVerifyFindsMissingFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	name := r.file("emails/")
	if err := r.bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	report := r.verify()
	got := report.Topics[2]
	if got.Found != 3 || got.Differences[0].Kind != DiffMissing || got.Differences[0].File != name {
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyReadsStagedFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	e := event{kind: "app.event", account: "acme", at: "2026-01-02T01:00:00Z"}
	r.stage(usage0, []event{e}, nil, 0) // committed, not yet published
	if report := r.verify(); !report.OK() || report.Topics[0].Rows != 7 {
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyFindsUnknownFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	from, err := r.store.TakeOver(t.Context(), usage0, 0)
	if err != nil {
		t.Fatal(err)
	}
	files := r.stageRows(usage0, schemas.Usage, from, 100, []event{{kind: "app.event", account: "acme", at: "2026-01-05T01:00:00Z"}})
	if report := r.verify(); !report.OK() {
		t.Errorf("a staged file is no part of the archive; got\n%s", report)
	}
	if err := r.archive.Publish(t.Context(), files[0]); err != nil {
		t.Fatal(err)
	}
	r.finds(DiffUnknown, files[0].Name)
}

// An extra row in a file: an offset that is there already, and a number too many.
func TestVerifyFindsExtraRow(t *testing.T) {
	r := newRig(t)
	r.fill()
	e := event{kind: "api.request", account: "bolt", at: "2026-01-02T00:30:00Z", quantity: "1"}
	rows := rowsOf(usage0, schemas.Usage, 8, []event{e, e})
	rows.Offset[1] = 8
	name := r.file("usage/date=2026-01-02/")
	r.put(name, rows)
	report := r.verify()
	kinds := map[string]int{}
	for _, d := range report.Topics[0].Differences {
		kinds[d.Kind]++
	}
	// The hash, the number of rows, both offsets beyond the file's range; the
	// address; the sums of three series and the sketch of one.
	if kinds[DiffDuplicate] != 1 || kinds[DiffDamaged] < 3 || kinds[DiffRollup] != 4 {
		t.Errorf("got %v\n%s", kinds, report)
	}
}

func (r *rig) put(name string, rows *archive.Rows) {
	r.t.Helper()
	index := make([]int32, rows.Len())
	for i := range index {
		index[i] = int32(i)
	}
	err := r.bucket.Put(r.t.Context(), name, func(w io.Writer) error { return archive.NewWriter().Write(w, rows, index) })
	if err != nil {
		r.t.Fatal(err)
	}
}

func TestVerifyFindsMisplacedRow(t *testing.T) {
	r := newRig(t)
	r.fill()
	name := r.file("emails/")
	e := event{kind: "email.delivered", account: "acme", at: "2026-02-01T10:00:00Z"}
	r.put(name, rowsOf(emails0, schemas.Emails, 0, []event{e, e}))
	report := r.verify()
	if d := report.Topics[2].Differences; len(d) < 3 || d[1].Kind != DiffMisplaced || !strings.Contains(d[1].Detail, "2026-02-01") {
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyFindsDamagedFile(t *testing.T) {
	r := newRig(t)
	r.fill()
	name := r.file("emails/")
	err := r.bucket.Put(t.Context(), name, func(w io.Writer) error { _, err := w.Write(bytes.Repeat([]byte("x"), 100)); return err })
	if err != nil {
		t.Fatal(err)
	}
	report := r.verify()
	if d := report.Topics[2].Differences; len(d) != 4 || d[0].Kind != DiffDamaged || d[1].Kind != DiffDamaged || d[1].File != name {
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyExamples(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.sql(`UPDATE rollup_hours SET count = count + 1`)
	report, err := Verify(t.Context(), VerifyConfig{Store: r.store, Archive: r.archive, Examples: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got := report.Topics[0]; got.Found != 3 || len(got.Differences) != 1 || !strings.Contains(report.String(), "and 2 more") {
		t.Errorf("got\n%s", report)
	}
}

func TestVerifyStopped(t *testing.T) {
	r := newRig(t)
	r.fill()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, VerifyConfig{Store: r.store, Archive: r.archive}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A file that is published between the looks at its two places is found.
func TestWithFile(t *testing.T) {
	f := &store.ArchiveFile{Name: "final", Staged: "staged"}
	var asked []string
	err := withFile(f, func(name string) error {
		asked = append(asked, name)
		if len(asked) == 3 {
			return nil
		}
		return fs.ErrNotExist
	})
	if got := strings.Join(asked, " "); err != nil || got != "final staged final" {
		t.Errorf("got %s, %v", got, err)
	}
	if err := withFile(f, func(string) error { return fs.ErrNotExist }); !errors.Is(err, errMoved) {
		t.Errorf("got %v", err)
	}
}

func TestRetractionFolds(t *testing.T) {
	var sum schemas.Measures
	one := folded{sign: 1, Measures: schemas.Measures{Count: 1, Quantity: dec("2.5"), ValueCount: 1, ValueSum: dec("3"), ValueMin: dec("3"), ValueMax: dec("3"), Bytes: 7, Amount: dec("0.1")}}
	back := one
	back.sign = -1
	for _, f := range []folded{one, one, back} {
		if err := addSigned(&sum, &f); err != nil {
			t.Fatal(err)
		}
	}
	if sum != one.Measures {
		t.Errorf("got %+v, want %+v", sum, one.Measures)
	}
}

func TestAddresses(t *testing.T) {
	a := newAddresses()
	for _, c := range []struct {
		offset int64
		row    int32
		want   bool
	}{{0, 0, true}, {0, 0, false}, {0, 1, true}, {0, 1, false}, {63, 0, true}, {64, 0, true}, {4095, 0, true}, {4096, 0, true}, {64, 0, false},
		{1 << 40, 0, true}, {1<<40 + 1, 0, true}, {1 << 40, 0, false}} {
		if got := a.add(c.offset, c.row); got != c.want {
			t.Errorf("%d/%d: got %v, want %v", c.offset, c.row, got, c.want)
		}
	}
}

// Beside a writer both checks see whole checkpoints only, whether a file is
// published yet or not.
func TestChecksBesideAWriter(t *testing.T) {
	r := newRig(t)
	r.fill()
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				r.fill()
			}
		}
	}()
	for range 8 {
		if report := r.verify(); !report.OK() {
			t.Errorf("verify: got\n%s", report)
		}
		if report := r.balance(); !report.OK() {
			t.Errorf("balance: got\n%s", report)
		}
	}
	close(stop)
	<-done
}

func BenchmarkVerify(b *testing.B) {
	const n = 100_000
	events := make([]event, n)
	for i := range events {
		events[i] = event{kind: "api.request", account: fmt.Sprint("acct-", i%500), at: fmt.Sprintf("2026-01-01T%02d:00:00Z", i%24), status: 200,
			latency: float64(i%1000) + 0.5, quantity: "1", bytes: 100, strings: map[schemas.Field]string{schemas.Endpoint: fmt.Sprint("/", i%20)},
			dimensions: `{"region":"eu"}`, family: schemas.FamilyRequest, dims: []string{"", "", fmt.Sprint("/", i%20), "", "200", "eu"},
			adds: schemas.Measures{Count: 1, Quantity: dec("1"), ValueCount: 1, Bytes: 100}}
		v := dec(fmt.Sprint(events[i].latency))
		events[i].adds.ValueSum, events[i].adds.ValueMin, events[i].adds.ValueMax = v, v, v
	}
	r := newRig(b)
	r.write(usage0, events, nil, 0)
	for b.Loop() {
		report, err := Verify(b.Context(), VerifyConfig{Store: r.store, Archive: r.archive})
		if err != nil || !report.OK() {
			b.Fatal(report, err)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
