package jobs

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// errorIDs are the error rows that are there.
func (r *rig) errorIDs() string {
	r.t.Helper()
	var ids []string
	err := r.store.View(r.t.Context(), func(v *store.View) error {
		rows, err := v.Errors(store.ErrorFilter{})
		for i := range rows {
			ids = append(ids, rows[i].ID)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return fmt.Sprint(ids)
}

func TestRetention(t *testing.T) {
	r := newRig(t)
	r.fill()
	r.fill()
	resolved, other := "errors-0-1", "usage-0-5"
	if _, err := r.store.ResolveError(t.Context(), "test", "", resolved, store.ErrorResolved); err != nil {
		t.Fatal(err)
	}
	all := r.errorIDs()
	run := func(now string, keep time.Duration) (said []string) {
		t.Helper()
		err := Retention(t.Context(), RetentionConfig{Store: r.store, Lease: r.lease("retention"), Now: time.UnixMicro(micros(now)),
			Mails: keep, Errors: keep, Progress: func(text string) { said = append(said, text) }})
		if err != nil {
			t.Fatal(err)
		}
		return said
	}
	for _, kept := range []struct {
		now  string
		keep time.Duration
	}{{"2046-01-01T00:00:00Z", 0}, {"2026-01-08T10:00:00Z", RetainAtLeast}} { // for ever; the error is of 10:00 a week before
		if said := run(kept.now, kept.keep); said != nil || r.errorIDs() != all {
			t.Errorf("%s, kept for %s: %q, errors %s; want all %s", kept.now, kept.keep, said, r.errorIDs(), all)
		}
	}
	if said := fmt.Sprint(run("2026-01-08T10:00:00.000001Z", RetainAtLeast)); said != "[removed 1 errors]" {
		t.Errorf("got progress %s", said)
	}
	if said := run("2046-01-01T00:00:00Z", RetainAtLeast); said != nil {
		t.Errorf("nothing is settled any more, and it said %q", said)
	}
	if _, err := r.store.Error(t.Context(), "", resolved); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the resolved error: got %v, want %v", err, store.ErrNotFound)
	}
	if _, err := r.store.Error(t.Context(), "", other); err != nil {
		t.Errorf("an open error: %v", err)
	}
	r.sound() // also balance: records of removed rows are accounted for

	r.sql(`UPDATE errors_removed SET records = records - 1`)
	report, err := Balance(t.Context(), BalanceConfig{Store: r.store, Archive: r.archive, Topics: []schemas.Topic{schemas.Errors}})
	if err != nil || report.OK() {
		t.Errorf("a record of a removed error is missing, and balance says %+v, %v", report, err)
	}
}
