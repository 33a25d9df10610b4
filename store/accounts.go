package store

import (
	"context"
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
func (s *Store) PutAccount(ctx context.Context, actor, id, name string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.ensureAccount(ctx, w, id); err != nil {
			return err
		}
		n, err := w.execCount(ctx, `UPDATE accounts SET name = ? WHERE id = ? AND name <> ?`, name, id, name)
		if err != nil || n == 0 {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "change", Noun: "account", Subject: id, Account: id, After: map[string]string{"name": name}})
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	return nil
}

// Accounts lists accounts by id, those after the given one.
func (s *Store) Accounts(ctx context.Context, after string, limit int) ([]Account, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, name, created_at FROM accounts WHERE id > ? ORDER BY id LIMIT ?`, after, limit)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", engineError(err))
	}
	defer rows.Close()
	list := []Account{}
	for rows.Next() {
		var a Account
		var at int64
		if err := rows.Scan(&a.ID, &a.Name, &at); err != nil {
			return nil, fmt.Errorf("list accounts: %w", engineError(err))
		}
		a.CreatedAt = time.UnixMicro(at).UTC()
		list = append(list, a)
	}
	return list, engineError(rows.Err())
}
