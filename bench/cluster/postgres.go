package main

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// database is one of the PostgreSQL server, of one run. The methods that may be
// called on nil, for SQLite, say nothing there.
type database struct{ server, name, url string }

func (c *cluster) createDatabase(ctx context.Context, name string) (*database, error) {
	u, err := url.Parse(c.postgres.Address)
	if err != nil {
		return nil, err
	}
	u.Path = "/" + name
	d := &database{server: c.postgres.Address, name: name, url: u.String()}
	if err := execAt(ctx, d.server, `CREATE DATABASE `+name); err != nil {
		return nil, err
	}
	if c.options.statements {
		return d, execAt(ctx, d.url, `CREATE EXTENSION pg_stat_statements`)
	}
	return d, nil
}

func execAt(ctx context.Context, url string, statements ...string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%.60s: %w", text, err)
		}
	}
	return nil
}

// drop also ends who is still connected.
func (d *database) drop() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return execAt(ctx, d.server, `DROP DATABASE `+d.name+` WITH (FORCE)`)
}

// shut keeps workers from taking partitions over until open is called.
func (d *database) shut(ctx context.Context) (open func(), err error) {
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return nil, err
	}
	end := sync.OnceFunc(func() { conn.Close(context.WithoutCancel(ctx)) }) // which rolls back
	if _, err = conn.Exec(ctx, `BEGIN`); err == nil {
		_, err = conn.Exec(ctx, `LOCK TABLE positions IN EXCLUSIVE MODE`)
	}
	if err != nil {
		end()
	}
	return end, err
}

// touched is what the database counts of its work.
type touched struct{ written, read, blocks, wal int64 }

func (t touched) minus(o touched) touched {
	return touched{t.written - o.written, t.read - o.read, t.blocks - o.blocks, t.wal - o.wal}
}

func (d *database) touched(ctx context.Context) (t touched, err error) {
	if d == nil {
		return t, nil
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return t, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	err = conn.QueryRow(ctx, `
		SELECT (SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables)::bigint,
			(SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables)::bigint,
			(SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = current_database()),
			pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`).Scan(&t.written, &t.read, &t.blocks, &t.wal)
	return t, err
}

// forget begins the statements anew.
func (d *database) forget(ctx context.Context) error {
	if d == nil {
		return nil
	}
	return execAt(ctx, d.url, `SELECT pg_stat_statements_reset()`)
}

// statements are those that took longest.
func (d *database) statements(ctx context.Context) (lines []string, err error) {
	if d == nil {
		return nil, nil
	}
	conn, err := pgx.Connect(ctx, d.url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	rows, err := conn.Query(ctx, `
		SELECT round(total_exec_time)::bigint, calls, rows, shared_blks_hit + shared_blks_read, left(regexp_replace(query, '\s+', ' ', 'g'), 90)
		FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
		ORDER BY total_exec_time DESC LIMIT 8`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var ms, calls, n, blocks int64
		var query string
		err := row.Scan(&ms, &calls, &n, &blocks, &query)
		return fmt.Sprintf("%7d ms %6d calls %8d rows %9d blocks  %s", ms, calls, n, blocks, query), err
	})
}
