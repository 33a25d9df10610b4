package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// engineError gives the errors of the engines that callers ask for names of
// ours: ErrBusy where others hold what we need, ErrAway where nobody answers.
func engineError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrBusy), errors.Is(err, ErrAway),
		errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case isBusy(err):
		return fmt.Errorf("%w: %w", ErrBusy, err)
	case isAway(err):
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	return err
}

func isBusy(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code()&0xff == sqlite3.SQLITE_BUSY || lite.Code()&0xff == sqlite3.SQLITE_LOCKED
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "55P03", // a lock was waited for for lock_timeout
			"57014",          // a statement took statement_timeout
			"40001", "40P01": // tried again in vain
			return true
		}
	}
	return false
}

// isAway: no connection, or the server ends ours, or takes no more.
func isAway(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "58": // connections; out of memory, disk or connections; the system
			return true
		}
		switch pg.Code {
		case "57P01", "57P02", "57P03", "57P05", // it shuts down, crashed, starts, ended an idle session
			"25P03", // a transaction stood idle for too long, as that of a stopped process does
			"25006": // it is a standby
			return true
		}
		return false
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// isAgain: nothing is wrong, but for another transaction at the same time.
func isAgain(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "40001" || pg.Code == "40P01")
}

// isDataError tells an error of the data, which comes again however often it is
// tried, from one of the engine.
func isDataError(err error) bool {
	if errors.Is(err, errInvalid) {
		return true
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG:
			return true
		}
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "21", "22", "23", "54": // a key twice in one statement, values, constraints, too large
			return true
		}
	}
	return false
}

// isTaken: a key is another row's already.
func isTaken(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE
	}
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23505"
}

// errInvalid: a checkpoint contradicts itself.
var errInvalid = errors.New("invalid checkpoint")
