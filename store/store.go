package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"time"
)

var (
	// ErrNotFound: there is no such row.
	ErrNotFound = errors.New("not found")
	// ErrPartitionsChanged: a topic has another number of partitions than was admitted.
	ErrPartitionsChanged = errors.New("the number of partitions changed")
	// ErrUnknown: the answer to a commit was lost. All of it was applied or
	// nothing; Position tells.
	ErrUnknown = errors.New("unknown whether the commit was applied")
	// ErrBusy: another process holds the database, and kept it for longer than we wait.
	ErrBusy = errors.New("the store is in use by another process")
	// ErrReadOnly: the store was opened to read only.
	ErrReadOnly = errors.New("the store is open to read only")
)

// Options of a store. The zero value is good.
type Options struct {
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: slog.Default()
	ReadOnly bool             // the database must exist and have this version's tables

	// Fault is a hook for tests, called at the steps "begin", "checkpoint"
	// (behind the compare-and-swap) and "commit". An error before: the step is
	// not done and this is its answer; an error after: it is done, and fails.
	Fault func(step string) (before, after error)
}

// Store is the SQL store of one installation. Its methods may be called
// concurrently; writes wait for each other.
type Store struct {
	opts  Options
	write *sql.DB
	read  *sql.DB
}

// Open opens the database at url ("sqlite:///path/to/file.db" or a plain path),
// makes it where there is none, and brings its tables to this version.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	return nil, errors.ErrUnsupported
}

// Close waits for running calls and closes the database.
func (s *Store) Close() error { return errors.ErrUnsupported }

// Secret is made once per installation; it seeds the dedupe hash.
func (s *Store) Secret(ctx context.Context) ([16]byte, error) {
	return [16]byte{}, errors.ErrUnsupported
}
