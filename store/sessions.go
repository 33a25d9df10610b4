package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Session is what application events belong to; it belongs to an account.
type Session struct {
	ID        string // a UUID in lower case
	Account   string
	CreatedAt time.Time
}

// CreateSession keeps a new session: it is durable when this returns nil.
func (s *Store) CreateSession(ctx context.Context, id, account string) (Session, error) {
	made := Session{ID: id, Account: account, CreatedAt: s.opts.Now().UTC().Truncate(time.Microsecond)}
	err := s.transactBeside(ctx, func(w *writeTx) error {
		if err := s.ensureAccount(ctx, w, account); err != nil {
			return err
		}
		return w.exec(ctx, `INSERT INTO sessions (id, account, created_at) VALUES (?, ?, ?)`, id, account, made.CreatedAt.UnixMicro())
	})
	if err != nil {
		return Session{}, fmt.Errorf("create session of %s: %w", account, err)
	}
	return made, nil
}

// SessionAccount is whose session it is; ErrNotFound where there is none.
func (s *Store) SessionAccount(ctx context.Context, id string) (account string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT account FROM sessions WHERE id = ?`, id).Scan(&account)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return "", fmt.Errorf("session %s: %w", id, engineError(err))
	}
	return account, nil
}

// ListCursor is the row behind which a list that goes from new to old goes on.
type ListCursor struct {
	Time int64 // µs
	ID   string
}

func (f *filter) behind(at *ListCursor, time, id string) {
	if at != nil {
		f.add(`(`+time+` < ? OR `+time+` = ? AND `+id+` < ?)`, at.Time, at.Time, at.ID)
	}
}

// Sessions are the sessions of an account, or all (""), newest first.
func (v *View) Sessions(account string, after *ListCursor, limit int) ([]Session, error) {
	where := filter{}
	if account != "" {
		where.add(`account = ?`, account)
	}
	where.behind(after, `created_at`, `id`)
	query := `SELECT id, account, created_at FROM sessions` + where.sql() + ` ORDER BY created_at DESC, id DESC` + where.limit(limit)
	return collect(v, func(row scanner) (one Session, err error) {
		var at int64
		err = row.Scan(&one.ID, &one.Account, &at)
		one.CreatedAt = time.UnixMicro(at).UTC()
		return one, err
	}, query, where.args...)
}
