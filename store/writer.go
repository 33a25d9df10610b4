package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// writeTx is the open write transaction. There is at most one in a process,
// since the writer has one connection; other processes wait for BusyTimeout.
type writeTx struct {
	conn *sql.Conn
	bulk *bulkStatements

	audited func(Audit) // hears of each change that is written; nil: nobody does
}

// begin waits for the connection and the database's write lock.
func (s *Store) begin(ctx context.Context) (*writeTx, error) {
	if s.opts.ReadOnly {
		return nil, ErrReadOnly
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, engineError(err)
	}
	w := &writeTx{conn: conn, bulk: s.bulk}
	if err := w.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		w.rollback()
		return nil, err
	}
	return w, nil
}

// commit makes the transaction durable and gives the connection back. It is
// not cut short by a context, so that its answer is lost only with the process
// or the disk.
func (w *writeTx) commit() error {
	if err := w.exec(context.Background(), "COMMIT"); err != nil {
		w.rollback()
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return w.conn.Close()
}

// rollback ends the transaction, if SQLite has not done so by itself, and gives
// the connection back; one that may still be inside a transaction is thrown away.
func (w *writeTx) rollback() {
	_, err := w.conn.ExecContext(context.Background(), "ROLLBACK")
	var e *sqlite.Error
	if err != nil && !(errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR) { // "no transaction is active"
		w.conn.Raw(func(any) error { return errors.Join(w.bulk.close(), driver.ErrBadConn) })
	}
	w.conn.Close()
}

func (w *writeTx) exec(ctx context.Context, query string, args ...any) error {
	_, err := w.conn.ExecContext(ctx, query, args...)
	return engineError(err)
}

// execCount also says how many rows were changed.
func (w *writeTx) execCount(ctx context.Context, query string, args ...any) (int64, error) {
	res, err := w.conn.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, engineError(err)
	}
	return res.RowsAffected()
}

// transact runs fn in a write transaction: durable when it returns nil.
func (s *Store) transact(ctx context.Context, fn func(w *writeTx) error) error {
	w, err := s.begin(ctx)
	if err != nil {
		return err
	}
	if err := fn(w); err != nil {
		w.rollback()
		return err
	}
	return w.commit()
}

// engineError gives the errors of SQLite that callers ask for their own names.
func engineError(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) && !errors.Is(err, ErrBusy) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			return fmt.Errorf("%w: %w", ErrBusy, err)
		}
	}
	return err
}

// isDataError tells an error of the data, which comes again however often it is
// tried, from one of the engine.
func isDataError(err error) bool {
	if errors.Is(err, errInvalid) {
		return true
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
		return true
	}
	return false
}

// errInvalid: a checkpoint contradicts itself.
var errInvalid = errors.New("invalid checkpoint")
