package store

import (
	"context"
	"fmt"
	"time"

	"tallybook/schemas"
)

// Erased says what is to be erased of what the store keeps, and what becomes of
// it. What Text and Rows made they must not change again.
type Erased struct {
	Account   string
	Recipient string // lower case; "": everything of the account
	Subject   string // of the audit log: no personal value
	Actor     string
	Lease     Lease
	Text      func(column, value string) string
	Names     func(text []byte) bool // it is about the recipient
	Rows      func(topic schemas.Topic, rows []byte) ([]byte, error)
}

// erasePage is how many rows a transaction looks at: other writers wait for it.
const erasePage = 200

// ErasePersonal erases personal values of an account in pages of rows: the
// inputs of error rows, application events and their sessions, rows of corrected
// events, mails that were sent or given up. It writes into the audit log first,
// and returns how many rows it changed. Done again, it goes on.
func (s *Store) ErasePersonal(ctx context.Context, e Erased) (changed int64, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, e.Lease); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: e.Actor, Action: "erase", Noun: "personal data", Subject: e.Subject, Account: e.Account})
	})
	if err != nil {
		return 0, err
	}
	parts := []func(context.Context, *writeTx, *Erased, string) (string, int64, error){eraseErrors, eraseCorrected, eraseMails}
	if e.Recipient == "" {
		parts = append(parts, eraseAppEvents, eraseSessions)
	}
	for _, part := range parts {
		for after, more := "", true; more; {
			err := s.transact(ctx, func(w *writeTx) error {
				if err := s.checkLease(ctx, w, e.Lease); err != nil {
					return err
				}
				last, n, err := part(ctx, w, &e, after)
				changed, after, more = changed+n, last, last != ""
				return err
			})
			if err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}

// page reads a page of rows behind a key; last is "" when there are no more.
func page[T any](ctx context.Context, w *writeTx, scan func(scanner) (T, error), key func(*T) string, query string, args ...any) (rows []T, last string, err error) {
	found, err := w.conn.QueryContext(ctx, query, args...)
	rows, err = scanAll(found, err, scan)
	if len(rows) == erasePage {
		last = key(&rows[len(rows)-1])
	}
	return rows, last, err
}

// eraseErrors takes the inputs away, so that these cannot be sent again.
func eraseErrors(ctx context.Context, w *writeTx, e *Erased, after string) (last string, n int64, err error) {
	type row struct {
		id    string
		input []byte
	}
	rows, last, err := page(ctx, w, func(r scanner) (x row, err error) { return x, r.Scan(&x.id, &x.input) },
		func(x *row) string { return x.id }, `SELECT id, input FROM errors WHERE account = ? AND id > ?
		AND (input IS NOT NULL OR record_key IS NOT NULL OR headers IS NOT NULL) ORDER BY id LIMIT ?`, e.Account, after, erasePage)
	if err != nil {
		return "", 0, err
	}
	for i := range rows {
		if !e.Names(rows[i].input) {
			continue
		}
		err := w.exec(ctx, `UPDATE errors SET input = NULL, record_key = NULL, headers = NULL, whole = 0 WHERE id = ?`, rows[i].id)
		if err != nil {
			return "", n, err
		}
		n++
	}
	return last, n, nil
}

func eraseCorrected(ctx context.Context, w *writeTx, e *Erased, after string) (last string, n int64, err error) {
	rows, last, err := page(ctx, w, scanCorrected, func(c *CorrectedEvent) string { return string(c.Topic) + "\x1f" + c.Source + "\x1f" + c.ID },
		`SELECT `+correctedColumns+` FROM corrected_events e WHERE e.account = ? AND e.archive_rows IS NOT NULL
		AND e.topic || '`+"\x1f"+`' || e.source || '`+"\x1f"+`' || e.id > ?
		ORDER BY e.topic || '`+"\x1f"+`' || e.source || '`+"\x1f"+`' || e.id LIMIT ?`, e.Account, after, erasePage)
	if err != nil {
		return "", 0, err
	}
	for i := range rows {
		c := &rows[i]
		is, err := e.Rows(c.Topic, c.Rows)
		if err != nil {
			return "", n, fmt.Errorf("corrected event %s of %s: %w", c.ID, c.Source, err)
		}
		if string(is) == string(c.Rows) {
			continue
		}
		moved, err := w.execCount(ctx, `UPDATE corrected_events SET archive_rows = ? WHERE account = ? AND topic = ? AND source = ? AND id = ? AND revision = ?`,
			string(is), c.Account, string(c.Topic), c.Source, c.ID, c.Revision)
		if err != nil {
			return "", n, err
		}
		n += moved
	}
	return last, n, nil
}

func eraseAppEvents(ctx context.Context, w *writeTx, e *Erased, after string) (last string, n int64, err error) {
	type row struct{ id, source, session, data string }
	rows, last, err := page(ctx, w, func(r scanner) (x row, err error) { return x, r.Scan(&x.id, &x.source, &x.session, &x.data) },
		func(x *row) string { return x.id + "\x1f" + x.source },
		`SELECT id, source, session, data FROM app_events WHERE account = ? AND id || '`+"\x1f"+`' || source > ?
		ORDER BY id || '`+"\x1f"+`' || source LIMIT ?`, e.Account, after, erasePage)
	if err != nil {
		return "", 0, err
	}
	const erased = `{"erased":true}`
	for _, x := range rows {
		session := e.Text("session", x.session)
		if x.data == erased && session == x.session {
			continue
		}
		err := w.exec(ctx, `UPDATE app_events SET data = ?, session = ? WHERE account = ? AND id = ? AND source = ?`,
			erased, session, e.Account, x.id, x.source)
		if err != nil {
			return "", n, err
		}
		n++
	}
	return last, n, nil
}

func eraseSessions(ctx context.Context, w *writeTx, e *Erased, after string) (last string, n int64, err error) {
	ids, last, err := page(ctx, w, scanOne[string], func(id *string) string { return *id },
		`SELECT id FROM sessions WHERE account = ? AND id > ? ORDER BY id LIMIT ?`, e.Account, after, erasePage)
	if err != nil {
		return "", 0, err
	}
	for _, id := range ids {
		if is := e.Text("session", id); is != id {
			if err := w.exec(ctx, `UPDATE sessions SET id = ? WHERE id = ?`, is, id); err != nil {
				return "", n, err
			}
			n++
		}
	}
	return last, n, nil
}

// eraseMails leaves mails alone that are still to be sent.
func eraseMails(ctx context.Context, w *writeTx, e *Erased, after string) (last string, n int64, err error) {
	type row struct{ id, to, messageID string }
	where := filter{}
	where.add(`account = ? AND id > ? AND status IN ('sent', 'rejected', 'unknown') AND event_due IS NULL`, e.Account, after)
	if e.Recipient != "" {
		where.add(`lower(to_address) = ?`, e.Recipient)
	}
	query := `SELECT id, to_address, message_id FROM mails` + where.sql() + ` ORDER BY id` + where.limit(erasePage)
	rows, last, err := page(ctx, w, func(r scanner) (x row, err error) { return x, r.Scan(&x.id, &x.to, &x.messageID) },
		func(x *row) string { return x.id }, query, where.args...)
	if err != nil {
		return "", 0, err
	}
	for _, x := range rows {
		to := e.Text("recipient", x.to)
		if to == x.to {
			continue
		}
		for _, change := range []struct {
			query string
			args  []any
		}{
			{`UPDATE mails SET to_address = ?, to_name = '', subject = '', message_id = ?, error = '' WHERE id = ?`, []any{to, e.Text("message_id", x.messageID), x.id}},
			{`DELETE FROM mail_bodies WHERE mail = ?`, []any{x.id}},
			{`UPDATE mail_attempts SET message = '' WHERE mail = ?`, []any{x.id}},
		} {
			if err := w.exec(ctx, change.query, change.args...); err != nil {
				return "", n, err
			}
		}
		n++
	}
	return last, n, nil
}

// ExpireRetired lets retired files be deleted from now on.
func (s *Store) ExpireRetired(ctx context.Context, l Lease, now time.Time) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		return w.exec(ctx, `UPDATE archive_files SET delete_at = ? WHERE retired_at IS NOT NULL AND delete_at > ?`, now.UnixMicro(), now.UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("expire retired files: %w", err)
	}
	return nil
}
