package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// WebhookKey says that an account has a key for a provider's webhooks, and since
// when. The key itself is for checking signatures alone: WebhookSecret.
type WebhookKey struct {
	Provider  string    `json:"provider"`
	ChangedAt time.Time `json:"changedAt"`
}

// PutWebhookKey sets the key that a provider signs its webhooks to the account
// with. The audit log says that it changed, not what it is.
func (s *Store) PutWebhookKey(ctx context.Context, actor, account, provider, secret string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.ensureAccount(ctx, w, account); err != nil {
			return err
		}
		now := s.now().UnixMicro()
		err := w.exec(ctx, `INSERT INTO webhook_keys (account, provider, secret, changed_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (account, provider) DO UPDATE SET secret = excluded.secret, changed_at = excluded.changed_at`, account, provider, secret, now)
		if err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "change", Noun: "webhook key", Subject: provider, Account: account,
			After: WebhookKey{provider, time.UnixMicro(now).UTC()}})
	})
	if err != nil {
		return fmt.Errorf("set the %s webhook key of account %s: %w", provider, account, err)
	}
	return nil
}

// DeleteWebhookKey: ErrNotFound where there is none.
func (s *Store) DeleteWebhookKey(ctx context.Context, actor, account, provider string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, `DELETE FROM webhook_keys WHERE account = ? AND provider = ?`, account, provider)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "delete", Noun: "webhook key", Subject: provider, Account: account})
	})
	if err != nil {
		return fmt.Errorf("delete the %s webhook key of account %s: %w", provider, account, err)
	}
	return nil
}

// WebhookKeys lists the keys of an account, without their text.
func (s *Store) WebhookKeys(ctx context.Context, account string) ([]WebhookKey, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT provider, changed_at FROM webhook_keys WHERE account = ? ORDER BY provider`, account)
	list, err := scanAll(rows, err, func(row scanner) (k WebhookKey, err error) {
		var at int64
		err = row.Scan(&k.Provider, &at)
		k.ChangedAt = time.UnixMicro(at).UTC()
		return k, engineError(err)
	})
	if err != nil {
		return nil, fmt.Errorf("list the webhook keys of account %s: %w", account, err)
	}
	return list, nil
}

// WebhookSecret is the key of an account, "" where it has none of its own.
func (s *Store) WebhookSecret(ctx context.Context, account, provider string) (secret string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT secret FROM webhook_keys WHERE account = ? AND provider = ?`, account, provider).Scan(&secret)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the %s webhook key of account %s: %w", provider, account, engineError(err))
	}
	return secret, nil
}

// WebhookToken is a one-time token of a webhook, with what it came with.
type WebhookToken struct {
	Token, Body [sha256.Size]byte
	ExpiresAt   time.Time
}

// FindWebhookToken is the hash of the body that a token came with; ErrNotFound
// where it is not remembered.
func (s *Store) FindWebhookToken(ctx context.Context, token [sha256.Size]byte) (body [sha256.Size]byte, err error) {
	var b []byte
	err = s.read.QueryRowContext(ctx, `SELECT body FROM webhook_tokens WHERE token = ?`, token[:]).Scan(&b)
	if errors.Is(err, sql.ErrNoRows) {
		return body, ErrNotFound
	}
	if err != nil {
		return body, fmt.Errorf("look up a webhook's token: %w", engineError(err))
	}
	copy(body[:], b)
	return body, nil
}

// tokenQueue gathers tokens while a transaction is under way, so that the next
// one takes them together.
type tokenQueue struct {
	writing sync.Mutex
	mu      sync.Mutex
	waiting []*tokenWrite
}

type tokenWrite struct {
	WebhookToken
	done bool // read and written by the holder of writing
	err  error
}

// RememberWebhookToken keeps a token until it expires: durable on return. One
// that is there stays as it is. Expired ones go, some at a time.
func (s *Store) RememberWebhookToken(ctx context.Context, t WebhookToken) error {
	ctx = context.WithoutCancel(ctx) // others' tokens may be written here
	q, mine := &s.tokens, &tokenWrite{WebhookToken: t}
	q.mu.Lock()
	q.waiting = append(q.waiting, mine)
	q.mu.Unlock()
	q.writing.Lock()
	defer q.writing.Unlock()
	if mine.done {
		return mine.err
	}
	q.mu.Lock()
	all := q.waiting
	q.waiting = nil
	q.mu.Unlock()
	err := s.transact(ctx, func(w *writeTx) error {
		err := w.exec(ctx, `DELETE FROM webhook_tokens WHERE token IN (SELECT token FROM webhook_tokens WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`,
			s.now().UnixMicro(), 2*len(all)+100)
		for _, one := range all {
			if err == nil {
				err = w.exec(ctx, `INSERT INTO webhook_tokens (token, body, expires_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
					one.Token[:], one.Body[:], one.ExpiresAt.UnixMicro())
			}
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("remember a webhook's token: %w", err)
	}
	for _, one := range all {
		one.done, one.err = true, err
	}
	return err
}
