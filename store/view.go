package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// View is one snapshot of the store: all that is read through it is of one
// state. It is valid within the function it was given to, on its goroutine.
type View struct {
	ctx    context.Context
	conn   *sql.Conn
	tx     *sql.Tx
	cache  *blockCache
	budget time.Duration // for reading blocks
}

// View calls fn with a snapshot. It is a read transaction, which must be short
// (ViewTimeout, then its reads fail): an old snapshot keeps SQLite's write ahead
// log, and PostgreSQL's dead rows, from being cleared.
func (s *Store) View(ctx context.Context, fn func(v *View) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.opts.ViewTimeout,
		fmt.Errorf("%w: a view of the store may last %v", context.DeadlineExceeded, s.opts.ViewTimeout))
	defer cancel()
	err := s.view(ctx, fn)
	if err != nil && context.Cause(ctx) != nil && !errors.Is(err, context.Cause(ctx)) {
		err = fmt.Errorf("%w (%w)", context.Cause(ctx), err)
	}
	return err
}

func (s *Store) view(ctx context.Context, fn func(v *View) error) error {
	conn, err := s.read.Conn(ctx)
	if err != nil {
		return fmt.Errorf("begin view: %w", engineError(err))
	}
	defer conn.Close()
	tx, err := conn.BeginTx(ctx, &s.dialect.view)
	if err != nil {
		return fmt.Errorf("begin view: %w", engineError(err))
	}
	defer tx.Rollback()
	return fn(&View{ctx: ctx, conn: conn, tx: tx, cache: s.blocks, budget: s.opts.ViewTimeout / 3})
}

// stream calls each for every row of a query.
func (v *View) stream(each func(*sql.Rows) error, query string, args ...any) error {
	rows, err := v.tx.QueryContext(v.ctx, query, args...)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return engineError(rows.Err())
}

// collect reads all rows of a query.
func collect[T any](v *View, scan func(scanner) (T, error), query string, args ...any) ([]T, error) {
	rows, err := v.tx.QueryContext(v.ctx, query, args...)
	return scanAll(rows, err, scan)
}

// scanAll reads all rows of the answer to a query, and closes it.
func scanAll[T any](rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, engineError(err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, engineError(rows.Err())
}
