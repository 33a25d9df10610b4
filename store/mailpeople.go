package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Suppression is a recipient to whom nothing is sent.
type Suppression struct {
	Address  string // lower case
	Reason   string
	Provider string // who reported it
	At       time.Time
}

// Suppress notes a recipient; the first reason stays.
func (s *Store) Suppress(ctx context.Context, p Suppression) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `INSERT INTO mail_suppressions (address, reason, provider, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			strings.ToLower(p.Address), p.Reason, p.Provider, p.At.UnixMicro())
	})
	if err != nil {
		return fmt.Errorf("suppress %s: %w", p.Address, err)
	}
	return nil
}

// Suppression looks a recipient up; ErrNotFound: mails may be sent there.
func (s *Store) Suppression(ctx context.Context, address string) (Suppression, error) {
	var p Suppression
	var at int64
	err := s.read.QueryRowContext(ctx, `SELECT address, reason, provider, at FROM mail_suppressions WHERE address = ?`,
		strings.ToLower(address)).Scan(&p.Address, &p.Reason, &p.Provider, &at)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return p, fmt.Errorf("look up suppression of %s: %w", address, engineError(err))
	}
	p.At = time.UnixMicro(at).UTC()
	return p, nil
}

// Unsuppress lets mails be sent to a recipient again; ErrNotFound where they are.
func (s *Store) Unsuppress(ctx context.Context, actor, address string) error {
	address = strings.ToLower(address)
	err := s.transact(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, `DELETE FROM mail_suppressions WHERE address = ?`, address)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "delete", Noun: "suppression", Subject: address})
	})
	if err != nil {
		return fmt.Errorf("lift suppression of %s: %w", address, err)
	}
	return nil
}

// Sighting is that a provider's webhook named a mail as one that it took.
type Sighting struct {
	Type     string // of the provider: all that a webhook tells, whenever it comes
	Provider string // by name, as far as it is known
	At       time.Time
}

// MailSeen notes a sighting of a mail. A second provider confirms a duplicate; a
// mail of unknown fate is then sent by the first. A mail that is not ours is ignored.
func (s *Store) MailSeen(ctx context.Context, id string, by Sighting) error {
	err := s.transact(ctx, func(w *writeTx) error {
		err := w.exec(ctx, `INSERT INTO mail_seen (mail, provider, at) SELECT id, CAST(? AS TEXT), CAST(? AS BIGINT) FROM mails WHERE id = ? ON CONFLICT DO NOTHING`,
			by.Type, by.At.UnixMicro(), id)
		if err != nil {
			return err
		}
		err = w.exec(ctx, `UPDATE mails SET status = 'sent', provider = ?, error = '' WHERE id = ? AND status = 'unknown'`, by.Provider, id)
		if err != nil {
			return err
		}
		return w.exec(ctx, `UPDATE mails SET duplicate_confirmed = 1
			WHERE id = ? AND (SELECT count(*) FROM mail_seen WHERE mail = ?) > 1`, id, id)
	})
	if err != nil {
		return fmt.Errorf("note that %s has mail %s: %w", by.Provider, id, err)
	}
	return nil
}

// maxAlerts are kept, the newest.
const maxAlerts = 10_000

func addAlerts(ctx context.Context, w *writeTx, alerts []Alert) error {
	for _, a := range alerts {
		if err := w.exec(ctx, `INSERT INTO operator_alerts (at, kind, key, message) VALUES (?, ?, ?, ?)`,
			a.At.UnixMicro(), a.Kind, a.Key, a.Message); err != nil {
			return err
		}
	}
	if len(alerts) == 0 {
		return nil
	}
	return w.exec(ctx, `DELETE FROM operator_alerts WHERE id <= (SELECT max(id) FROM operator_alerts) - ?`, maxAlerts)
}

// Alerts lists what operators should know, the newest first.
func (s *Store) Alerts(ctx context.Context, limit int) ([]Alert, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT kind, key, message, at FROM operator_alerts ORDER BY id DESC LIMIT ?`, limit)
	list, err := scanAll(rows, err, func(row scanner) (a Alert, err error) {
		var at int64
		err = row.Scan(&a.Kind, &a.Key, &a.Message, &at)
		a.At = time.UnixMicro(at).UTC()
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("list alerts: %w", err)
	}
	return list, nil
}
