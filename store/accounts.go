package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Account is what was said of an account.
type Account struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	CreatedAt time.Time `json:"createdAt"`
}

// ensureAccount makes the account where it is new.
func (s *Store) ensureAccount(ctx context.Context, w *writeTx, id string) error {
	return w.exec(ctx, `INSERT INTO accounts (id, created_at) VALUES (?, ?) ON CONFLICT DO NOTHING`, id, s.opts.Now().UnixMicro())
}

// PutAccount makes an account, or gives it another name.
func (s *Store) PutAccount(ctx context.Context, actor, id, name string) (Account, error) {
	var a Account
	err := s.transact(ctx, func(w *writeTx) error {
		var before any
		is, err := readAccount(ctx, w.conn, id)
		switch {
		case errors.Is(err, ErrNotFound):
			err = s.ensureAccount(ctx, w, id)
		case err == nil:
			before = map[string]string{"name": is.Name}
		}
		if err != nil || before != nil && is.Name == name {
			return err
		}
		if err := w.exec(ctx, `UPDATE accounts SET name = ? WHERE id = ?`, name, id); err != nil {
			return err
		}
		action := "change"
		if before == nil {
			action = "create"
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: action, Noun: "account", Subject: id, Account: id,
			Before: before, After: map[string]string{"name": name}})
	})
	if err == nil {
		a, err = s.Account(ctx, id)
	}
	if err != nil {
		return Account{}, fmt.Errorf("account %s: %w", id, err)
	}
	return a, nil
}

// Account reads an account; ErrNotFound where nothing was ever said of it.
func (s *Store) Account(ctx context.Context, id string) (Account, error) {
	return readAccount(ctx, s.read, id)
}

func readAccount(ctx context.Context, q querier, id string) (Account, error) {
	a, err := scanAccount(q.QueryRowContext(ctx, `SELECT id, name, created_at FROM accounts WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Account{}, ErrNotFound
	}
	return a, engineError(err)
}

func scanAccount(row scanner) (Account, error) {
	var a Account
	var at int64
	err := row.Scan(&a.ID, &a.Name, &at)
	a.CreatedAt = time.UnixMicro(at).UTC()
	return a, err
}

// Accounts lists accounts by id, those after the given one.
func (s *Store) Accounts(ctx context.Context, after string, limit int) ([]Account, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, name, created_at FROM accounts WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	list, err := scanAll(rows, err, scanAccount)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return list, nil
}
