package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// commitTimeout bounds the wait for the answer to a commit, which no caller's
// context cuts short.
const commitTimeout = 30 * time.Second

// writeTx is an open write transaction. With SQLite there is one at a time in a
// process, since the writer has one connection; other processes wait for
// BusyTimeout.
type writeTx struct {
	*dialect
	conn   *sql.Conn
	bulk   *bulkStatements
	secret [16]byte
	alone  bool // no other transaction that is alone is under way
	end    func()

	audited func(Audit) // hears of each change that is written; nil: nobody does
}

// begin waits for a connection, and with SQLite for the database's write lock.
func (s *Store) begin(ctx context.Context) (*writeTx, error) {
	if s.opts.ReadOnly {
		return nil, ErrReadOnly
	}
	conn, err := s.write.Conn(ctx)
	if err != nil {
		return nil, engineError(err)
	}
	w := &writeTx{dialect: s.dialect, conn: conn, secret: s.secret}
	w.bulk, w.end = s.takeStatements()
	if err := w.exec(ctx, w.dialect.begin); err != nil {
		w.rollback()
		return nil, err
	}
	return w, nil
}

// takeStatements lends bulk statements to a transaction. Those of SQLite are of
// the one connection that writes.
func (s *Store) takeStatements() (b *bulkStatements, end func()) {
	if !s.postgres {
		return s.bulk, func() {}
	}
	b = s.bulks.Get().(*bulkStatements)
	return b, func() { s.bulks.Put(b) }
}

// commit makes the transaction durable and gives the connection back. It is
// not cut short by a context, so that its answer is lost only with the process,
// the disk or the network.
func (w *writeTx) commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	if err := w.exec(ctx, "COMMIT"); err != nil {
		w.rollback()
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	w.end()
	return w.conn.Close()
}

// rollback ends the transaction, if the engine has not done so by itself, and
// gives the connection back; one that may still be inside a transaction is
// thrown away.
func (w *writeTx) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	_, err := w.conn.ExecContext(ctx, "ROLLBACK")
	var lite *sqlite.Error
	if err != nil && !(errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_ERROR) { // "no transaction is active"
		w.conn.Raw(func(any) error { return errors.Join(w.bulk.close(), driver.ErrBadConn) })
	}
	w.end()
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

// transact runs fn in a write transaction: durable when it returns nil. It is
// alone among all that transact runs, in whichever process: what fn reads stays
// so until it ends, but for what transactBeside and Checkpoint write.
func (s *Store) transact(ctx context.Context, fn func(w *writeTx) error) error {
	return s.transaction(ctx, func(w *writeTx) error {
		if err := w.lock(ctx, lockCatalog, 0); err != nil {
			return err
		}
		w.alone = true
		return fn(w)
	})
}

// beginsAgain bounds how often a transaction is tried that others were in the
// way of: a deadlock is rare, since all go by one order of tables and keys.
const beginsAgain = 10

// transactBeside runs fn in a write transaction beside any others. Each of fn's
// statements must be right whatever they commit meanwhile, or lock first what
// it relies on; fn may be called again.
func (s *Store) transactBeside(ctx context.Context, fn func(w *writeTx) error) (err error) {
	for range beginsAgain {
		if err = s.transaction(ctx, fn); !isAgain(err) {
			break
		}
	}
	return err
}

func (s *Store) transaction(ctx context.Context, fn func(w *writeTx) error) error {
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
