package store

import (
	"context"
	"fmt"

	"tallybook/schemas"
)

// MaxUnknownKeys is how many distinct unknown keys an hour are told apart.
const MaxUnknownKeys = 100

// CountUnknownKeys adds requests by prefix of their key's hash, and returns the
// prefixes of the hour that no internal error tells of yet. Past MaxUnknownKeys
// of an hour the requests of further ones are counted under "", untold.
func (s *Store) CountUnknownKeys(ctx context.Context, hour schemas.Hour, requests map[string]int64) (untold []string, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		var known int
		if err := w.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM unknown_keys WHERE hour = ? AND prefix <> ''`, int64(hour)).Scan(&known); err != nil {
			return engineError(err)
		}
		for prefix, n := range requests {
			changed, err := w.execCount(ctx, `UPDATE unknown_keys SET requests = requests + ? WHERE hour = ? AND prefix = ?`, n, int64(hour), prefix)
			if err != nil {
				return err
			}
			if changed == 1 {
				continue
			}
			if prefix != "" {
				known++
			}
			if known > MaxUnknownKeys {
				prefix, known = "", MaxUnknownKeys
			}
			err = w.exec(ctx, `INSERT INTO unknown_keys (hour, prefix, requests, reported) VALUES (?, ?, ?, 0)
				ON CONFLICT (hour, prefix) DO UPDATE SET requests = unknown_keys.requests + excluded.requests`, int64(hour), prefix, n)
			if err != nil {
				return err
			}
		}
		if err := tellUnknownKeys(ctx, w, hour, requests); err != nil {
			return err
		}
		rows, err := w.conn.QueryContext(ctx, `SELECT prefix FROM unknown_keys WHERE hour = ? AND reported = 0 AND prefix <> ''`, int64(hour))
		untold, err = scanAll(rows, err, scanOne[string])
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count unknown keys: %w", err)
	}
	return untold, nil
}

// tellUnknownKeys adds to the hour's digest.
func tellUnknownKeys(ctx context.Context, w *writeTx, hour schemas.Hour, requests map[string]int64) error {
	var n int64
	for _, count := range requests {
		n += count
	}
	if n == 0 {
		return nil
	}
	return tellDigest(ctx, w, DueAlert{Kind: AlertUnknownKey, Count: n}, "", hour.Time())
}

// UnknownKeysTold notes that internal errors tell of the prefixes.
func (s *Store) UnknownKeysTold(ctx context.Context, hour schemas.Hour, prefixes []string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		for _, prefix := range prefixes {
			if err := w.exec(ctx, `UPDATE unknown_keys SET reported = 1 WHERE hour = ? AND prefix = ?`, int64(hour), prefix); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note what was told of unknown keys: %w", err)
	}
	return nil
}

// UnknownKeys are the requests of an hour with unknown keys, by prefix of the
// key's hash; "" stands for those of keys beyond MaxUnknownKeys.
func (s *Store) UnknownKeys(ctx context.Context, hour schemas.Hour) (map[string]int64, error) {
	type count struct {
		prefix   string
		requests int64
	}
	rows, err := s.read.QueryContext(ctx, `SELECT prefix, requests FROM unknown_keys WHERE hour = ?`, int64(hour))
	list, err := scanAll(rows, err, func(row scanner) (c count, err error) { return c, row.Scan(&c.prefix, &c.requests) })
	if err != nil {
		return nil, fmt.Errorf("read unknown keys: %w", err)
	}
	counts := make(map[string]int64, len(list))
	for _, c := range list {
		counts[c.prefix] = c.requests
	}
	return counts, nil
}
