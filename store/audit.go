package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Audit is one change: who did what to which thing, and how it was before and after.
type Audit struct {
	ID      int64
	At      time.Time
	Actor   string // "key 0123456789abcdef", "admin" (--no-auth), "command line", …
	Action  string // create, change, delete, revoke, …
	Noun    string // key, domain, route, customer, …
	Subject string // its id
	Account string // "" where it is of none
	Before  any    // marshalled to JSON; nil: there was nothing. json.RawMessage when read
	After   any
}

// audit writes a change in the transaction that makes it, which must be one of
// transact: so rows are committed in the order of their ids, and whoever has read
// up to one has read all below it. Where prices depend on what changed, it raises
// their generation.
func (s *Store) audit(ctx context.Context, w *writeTx, a Audit) error {
	if !w.alone {
		return errors.New("the audit log is written by a transaction that is not alone")
	}
	before, err := auditJSON(a.Before)
	if err != nil {
		return err
	}
	after, err := auditJSON(a.After)
	if err != nil {
		return err
	}
	if w.audited != nil {
		w.audited(a)
	}
	if err := notePrices(ctx, w, &a); err != nil {
		return err
	}
	return w.exec(ctx, `INSERT INTO audit (at, actor, action, noun, subject, account, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		s.opts.Now().UnixMicro(), a.Actor, a.Action, a.Noun, a.Subject, a.Account, before, after)
}

func auditJSON(v any) (sql.NullString, error) {
	if v == nil {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(v)
	return sql.NullString{String: string(b), Valid: true}, err
}

// AuditLog lists changes, newest first, those before the given id (0: the newest):
// of one account, or of all ("").
func (s *Store) AuditLog(ctx context.Context, account string, before int64, limit int) ([]Audit, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, at, actor, action, noun, subject, account, before, after FROM audit
		WHERE (? = '' OR account = ?) AND (? = 0 OR id < ?) ORDER BY id DESC LIMIT ?`, account, account, before, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list the audit log: %w", engineError(err))
	}
	defer rows.Close()
	list := []Audit{}
	for rows.Next() {
		var a Audit
		var at int64
		var was, is sql.NullString
		if err := rows.Scan(&a.ID, &at, &a.Actor, &a.Action, &a.Noun, &a.Subject, &a.Account, &was, &is); err != nil {
			return nil, fmt.Errorf("list the audit log: %w", engineError(err))
		}
		a.At = time.UnixMicro(at).UTC()
		if was.Valid {
			a.Before = json.RawMessage(was.String)
		}
		if is.Valid {
			a.After = json.RawMessage(is.String)
		}
		list = append(list, a)
	}
	return list, engineError(rows.Err())
}
