package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Domain is a sending domain of an account, lower case and without a dot at its
// end.
type Domain struct {
	Domain    string    `json:"domain"`
	Account   string    `json:"account"`
	CreatedAt time.Time `json:"createdAt"`
}

// MaxDomains bounds the domains of an account: the totals of all of them are
// one answer.
const MaxDomains = 10_000

// ErrTooMany: a list of things is as long as it may be.
var ErrTooMany = errors.New("there are as many as there may be")

// PutDomain registers a domain for an account, which is made where it is new;
// made is false where it was registered before. ErrExists: it is another
// account's. ErrTooMany: the account has MaxDomains.
func (s *Store) PutDomain(ctx context.Context, actor, account, domain string) (d Domain, made bool, err error) {
	err = s.transact(ctx, func(w *writeTx) (err error) {
		made = false
		d, err = scanDomain(w.conn.QueryRowContext(ctx, `SELECT domain, account, created_at FROM domains WHERE domain = ?`, domain))
		switch {
		case err == nil && d.Account != account:
			return ErrExists
		case err == nil:
			return nil
		case !errors.Is(err, ErrNotFound):
			return err
		}
		var n int
		if err := w.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM domains WHERE account = ?`, account).Scan(&n); err != nil {
			return engineError(err)
		}
		if n >= MaxDomains {
			return ErrTooMany
		}
		if err := s.ensureAccount(ctx, w, account); err != nil {
			return err
		}
		made = true
		d = Domain{Domain: domain, Account: account, CreatedAt: s.now().UTC().Truncate(time.Microsecond)}
		if err := w.exec(ctx, `INSERT INTO domains (domain, account, created_at) VALUES (?, ?, ?)`, domain, account, d.CreatedAt.UnixMicro()); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "domain", Subject: domain, Account: account, After: d})
	})
	if err != nil {
		return Domain{}, false, fmt.Errorf("register domain %s for account %s: %w", domain, account, err)
	}
	return d, made, nil
}

// DeleteDomain ends a registration; ErrNotFound where the account has no such
// domain. What was counted stays.
func (s *Store) DeleteDomain(ctx context.Context, actor, account, domain string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		d, err := scanDomain(w.conn.QueryRowContext(ctx, `SELECT domain, account, created_at FROM domains WHERE domain = ? AND account = ?`, domain, account))
		if err != nil {
			return err
		}
		if err := w.exec(ctx, `DELETE FROM domains WHERE domain = ?`, domain); err != nil {
			return err
		}
		return s.audit(ctx, w, Audit{Actor: actor, Action: "delete", Noun: "domain", Subject: domain, Account: account, Before: d})
	})
	if err != nil {
		return fmt.Errorf("delete domain %s of account %s: %w", domain, account, err)
	}
	return nil
}

// Domains lists an account's domains by name: those after the given one; limit
// 0: all.
func (s *Store) Domains(ctx context.Context, account, after string, limit int) ([]Domain, error) {
	rows, err := s.read.QueryContext(ctx, domainsQuery, account, after, domainLimit(limit))
	list, err := scanAll(rows, err, scanDomain)
	if err != nil {
		return nil, fmt.Errorf("list domains of account %s: %w", account, err)
	}
	return list, nil
}

const domainsQuery = `SELECT domain, account, created_at FROM domains WHERE account = ? AND domain > ? ORDER BY domain LIMIT ?`

func domainLimit(limit int) int {
	if limit == 0 {
		return MaxDomains
	}
	return limit
}

// Domains is Store.Domains in the view's snapshot, all of them.
func (v *View) Domains(account string) ([]Domain, error) {
	return collect(v, scanDomain, domainsQuery, account, "", domainLimit(0))
}

func scanDomain(row scanner) (d Domain, err error) {
	var at int64
	if err = row.Scan(&d.Domain, &d.Account, &at); errors.Is(err, sql.ErrNoRows) {
		return d, ErrNotFound
	}
	d.CreatedAt = time.UnixMicro(at).UTC()
	return d, engineError(err)
}
