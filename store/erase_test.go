package store

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
)

// fillPersonal writes rows of everything that may be personal, more than a page
// of each, for an account.
func fillPersonal(t *testing.T, s *Store, account string) {
	t.Helper()
	const rows = erasePage + 3
	o := takeOver(t, s, schemas.Partition{Topic: schemas.Usage, ID: int32(len(account))})
	c := o.next(rows)
	c.Ledger.Counted, c.Ledger.Rejected = 0, rows
	for i := range int64(rows) {
		id := fmt.Sprintf("%s-%03d", account, i)
		c.Errors = append(c.Errors, ErrorRow{ID: id, Account: account, Input: []byte("Ann " + id), Key: []byte("Ann"), Origin: o.pos.Partition, Offset: i, LastOffset: i, Records: 1, Whole: true})
		c.AppEvents = append(c.AppEvents, AppEvent{EventKey: EventKey{account, "test", id}, Session: "Ann", Time: i, Offset: i, Data: []byte(`{"name":"Ann"}`)})
		c.Corrections = append(c.Corrections, Correction{Event: EventKey{account, "test", id}, Revision: 1, Rows: []byte(`[{"client_ip":"Ann"}]`), Source: "fix", ID: id})
	}
	o.apply(c)
	err := s.transact(ctx, func(w *writeTx) error {
		if err := w.exec(ctx, `INSERT INTO sessions (id, account, created_at) VALUES (?, ?, 0)`, "Ann of "+account, account); err != nil {
			return err
		}
		for i := range rows {
			id := fmt.Sprintf("mail-%s-%03d", account, i)
			status := []string{"sent", "deferred"}[min(i, 1)*(i%2)]
			err := w.exec(ctx, `INSERT INTO mails (id, account, to_address, to_name, from_address, from_name, subject, tags, on_ambiguous, header_id, created_at, status)
				VALUES (?, ?, 'Ann@example.com', 'Ann', 'us@example.com', '', 'Dear Ann', '[]', '', '', 0, ?)`, id, account, status)
			if err == nil {
				err = w.exec(ctx, `INSERT INTO mail_bodies (mail, html) VALUES (?, 'Dear Ann')`, id)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// namesAnn counts what still names Ann of an account.
func namesAnn(t *testing.T, s *Store, account string) (counts [5]int) {
	t.Helper()
	for i, query := range []string{
		`SELECT count(*) FROM errors WHERE account = ? AND (input IS NOT NULL OR record_key IS NOT NULL OR whole <> 0)`,
		`SELECT count(*) FROM app_events WHERE account = ? AND (data LIKE '%Ann%' OR session LIKE '%Ann%')`,
		`SELECT count(*) FROM corrected_events WHERE account = ? AND archive_rows LIKE '%Ann%'`,
		`SELECT count(*) FROM sessions WHERE account = ? AND id LIKE '%Ann%'`,
		`SELECT count(*) FROM mails m LEFT JOIN mail_bodies b ON b.mail = m.id WHERE m.account = ?
			AND (m.to_address LIKE '%Ann%' OR m.to_name <> '' OR m.subject <> '' OR b.html IS NOT NULL)`,
	} {
		counts[i] = viewed(t, s, func(v *View) (int, error) {
			n, err := collect(v, scanOne[int], query, account)
			return n[0], err
		})
	}
	return counts
}

func TestErasePersonal(t *testing.T) {
	s := openNew(t)
	fillPersonal(t, s, "a")
	fillPersonal(t, s, "bb")
	all, deferred := namesAnn(t, s, "a"), (erasePage+3)/2
	l, err := s.TakeLease(ctx, "compact", "test", time.Time{}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	e := Erased{Account: "a", Actor: "test", Lease: l, Names: func([]byte) bool { return true },
		Text: func(_, value string) string { return strings.ReplaceAll(value, "Ann", "erased") },
		Rows: func(_ schemas.Topic, rows []byte) ([]byte, error) {
			return bytes.ReplaceAll(rows, []byte("Ann"), []byte("erased")), nil
		}}
	erase := func(want int64) {
		t.Helper()
		if n, err := s.ErasePersonal(context.Background(), e); err != nil || n != want {
			t.Errorf("got %d rows, %v, want %d", n, err, want)
		}
	}
	erase(int64(all[0] + all[1] + all[2] + all[3] + all[4] - deferred))
	if got, want := namesAnn(t, s, "a"), [5]int{4: deferred}; got != want {
		t.Errorf("got %v that name Ann, want the mails alone that are still to be sent: %v", got, want)
	}
	if got := namesAnn(t, s, "bb"); got != all {
		t.Errorf("the other account: got %v, want %v", got, all)
	}
	erase(0)
	e.Account, e.Recipient, e.Names = "bb", "ann@example.com", func(text []byte) bool { return bytes.HasSuffix(text, []byte("7")) }
	e.Rows = func(_ schemas.Topic, rows []byte) ([]byte, error) { return rows, nil }
	erase(int64(20 + all[4] - deferred))
	if got := namesAnn(t, s, "bb"); got != [5]int{all[0] - 20, all[1], all[2], all[3], deferred} {
		t.Errorf("of a recipient: got %v of %v", got, all)
	}
	e.Lease.Token--
	if _, err := s.ErasePersonal(ctx, e); err == nil {
		t.Error("without the lease: got no error")
	}
}
