package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

// fillOld writes old and new rows of everything that retention may remove, more
// than a page of the old ones.
func fillOld(t *testing.T, s *Store, horizon time.Time) {
	t.Helper()
	o := takeOver(t, s, usage0)
	c := o.next(0)
	type statement struct {
		query string
		args  []any
	}
	var then []statement
	exec := func(query string, args ...any) { then = append(then, statement{query, args}) }
	at := func(before time.Duration) int64 { return horizon.Add(-before).UnixMicro() }
	addError := func(id string, time int64, set string) {
		offset := c.Ledger.Next
		c.Errors = append(c.Errors, ErrorRow{ID: id, Time: time, Account: "a", Origin: usage0, Offset: offset, LastOffset: offset + 1, Records: 2})
		c.Ledger.Next, c.Ledger.Records, c.Ledger.Rejected = offset+2, c.Ledger.Records+2, c.Ledger.Rejected+2
		exec(`UPDATE errors SET `+set+` WHERE id = ?`, id)
		exec(`INSERT INTO app_errors (error, account, time, event) VALUES (?, 'a', 0, '')`, id)
	}
	addMail := func(id, status, due string, created int64) {
		exec(`INSERT INTO mails (id, account, to_address, to_name, from_address, from_name, subject, tags, on_ambiguous, header_id,
			created_at, status, event_due) VALUES (?, 'a', '', '', '', '', '', '[]', '', '', ?, ?, `+due+`)`, id, created, status)
		exec(`INSERT INTO mail_bodies (mail, html) VALUES (?, '')`, id)
		exec(`INSERT INTO mail_attachments (mail, name, type, content) VALUES (?, '', '', ?)`, id, []byte{})
		exec(`INSERT INTO mail_keys (account, key, request_hash, mail) VALUES ('a', ?, ?, ?)`, "key-"+id, []byte{}, id)
		exec(`INSERT INTO mail_attempts (mail, n, provider, class, status_code, message, duration_ms, at) VALUES (?, 1, '', '', 0, '', 0, 0)`, id)
		exec(`INSERT INTO mail_seen (mail, provider, at) VALUES (?, '', 0)`, id)
	}
	addAlert := func(id string, done int, created int64) {
		exec(`INSERT INTO alerts (id, kind, key, account, customer, details, count, created_at, due_at, done)
			VALUES (?, '', ?, '', '', '', 1, ?, 0, ?)`, id, id, created, done)
	}
	for i := range retentionPage {
		addError(fmt.Sprintf("old-%03d", i), at(time.Hour), "status = 1")
		addMail(fmt.Sprintf("old-%03d", i), []string{"sent", "rejected", "unknown"}[i%3], "NULL", at(time.Hour))
		addAlert(fmt.Sprintf("old-%03d", i), 1, at(time.Hour))
	}
	addError("old-resent", at(time.Hour), fmt.Sprintf("status = 2, resend_at = 1, resent_at = %d", at(1)))
	addError("open", at(time.Hour), "status = 0")
	addError("being-sent", at(time.Hour), "status = 2, resend_at = 1")
	addError("just-resent", at(time.Hour), fmt.Sprintf("status = 2, resend_at = 1, resent_at = %d", at(0)))
	addError("new", at(0), "status = 1")
	addMail("old-last", "sent", "NULL", at(1000))
	addMail("deferred", "deferred", "NULL", at(time.Hour))
	addMail("sending", "sending", "NULL", at(time.Hour))
	addMail("event-due", "sent", "'delivered'", at(time.Hour))
	addMail("new", "sent", "NULL", at(0))
	addAlert("old-last", 1, at(1000))
	addAlert("due", 0, at(time.Hour))
	addAlert("new", 1, at(0))
	c.To.Next = c.Ledger.Next
	o.apply(c)
	err := s.transact(ctx, func(w *writeTx) error {
		for _, one := range then {
			if err := w.exec(ctx, one.query, one.args...); err != nil {
				return fmt.Errorf("%s: %w", one.query, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRetention(t *testing.T) {
	s, horizon := openNew(t), closedAt
	fillOld(t, s, horizon)
	l, err := s.TakeLease(ctx, "retention", "test", time.Time{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	counted := func() int64 {
		return viewed(t, s, func(v *View) (int64, error) {
			counts, err := v.ErrorCounts()
			return counts[usage0], err
		})
	}
	before := counted()
	for _, part := range []struct {
		name   string
		remove func(context.Context, Lease, time.Time) (int, bool, error)
	}{{"mails", s.RemoveMails}, {"alerts", s.RemoveAlerts}, {"errors", s.RemoveErrors}} {
		lost := l
		lost.Token--
		if _, _, err := part.remove(ctx, lost, horizon); !errors.Is(err, ErrLeaseLost) {
			t.Errorf("%s without the lease: got %v, want %v", part.name, err, ErrLeaseLost)
		}
		for i, want := range []int{retentionPage, 1, 0} { // two pages, and nothing twice
			n, more, err := part.remove(ctx, l, horizon)
			if err != nil || n != want || more != (want == retentionPage) {
				t.Errorf("%s, page %d: got %d removed, more %v, %v; want %d", part.name, i, n, more, err, want)
			}
		}
	}
	for query, want := range map[string][]string{
		`SELECT id FROM mails`:               {"deferred", "event-due", "new", "sending"},
		`SELECT mail FROM mail_bodies`:       {"deferred", "event-due", "new", "sending"},
		`SELECT mail FROM mail_attachments`:  {"deferred", "event-due", "new", "sending"},
		`SELECT mail FROM mail_attempts`:     {"deferred", "event-due", "new", "sending"},
		`SELECT mail FROM mail_seen`:         {"deferred", "event-due", "new", "sending"},
		`SELECT mail FROM mail_keys`:         {"deferred", "event-due", "new", "sending"},
		`SELECT id FROM alerts`:              {"due", "new"},
		`SELECT id FROM errors`:              {"being-sent", "just-resent", "new", "open"},
		`SELECT error AS id FROM app_errors`: {"being-sent", "just-resent", "new", "open"},
	} {
		got := viewed(t, s, func(v *View) ([]string, error) { return collect(v, scanOne[string], query) })
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
	if got := counted(); got != before || got != 2*(retentionPage+5) {
		t.Errorf("error rows stand for %d records, want %d as before, %d", got, before, 2*(retentionPage+5))
	}
}
