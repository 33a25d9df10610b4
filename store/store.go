package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
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
	// ErrExists: another has the name or the key already.
	ErrExists = errors.New("exists already")
	// ErrBusy: another process holds the database, and kept it for longer than we wait.
	ErrBusy = errors.New("the store is in use by another process")
	// ErrReadOnly: the store was opened to read only.
	ErrReadOnly = errors.New("the store is open to read only")
	// ErrVersion: the tables are of another version than this program's.
	ErrVersion = errors.New("the store has tables of another version")
)

const (
	defaultBusyTimeout = 5 * time.Second
	defaultViewTimeout = 5 * time.Second
)

// Options of a store. The zero value is good.
type Options struct {
	Now         func() time.Time // nil: time.Now
	Log         *slog.Logger     // nil: slog.Default()
	ReadOnly    bool             // the database must exist and have this version's tables
	BusyTimeout time.Duration    // how long a write waits for another process; 0: 5 s
	ViewTimeout time.Duration    // how long a View may last; 0: 5 s
	BlockBytes  int64            // memory for rollups that were read; 0: 128 MiB

	// Fault is a hook for tests, called at the steps of Checkpoint: "begin",
	// then for each of the batch "checkpoint" (the compare-and-swap), "series",
	// "rollups", "files", "errors", "corrections", "app_events", "quotas",
	// "ledger", and "commit"; and of SwapFiles: "swap", within it "retire" and
	// "add". An error before: the step is not done and this is its answer;
	// after: it is done, and fails.
	Fault func(step string) (before, after error)
}

// Store is the SQL store of one installation. Its methods may be called
// concurrently; writes wait for each other.
type Store struct {
	opts  Options
	write *sql.DB // one connection; nil when read only
	read  *sql.DB
	bulk  *bulkStatements // of the writer's connection
	known *knownSet       // of series and days that are committed

	quotas quotaCache // of whoever holds the write transaction

	blocks *blockCache // rollups that were read

	secret [16]byte  // of the installation; set by Open
	macs   sync.Pool // of hash.Hash, keyed with it

	tokens tokenQueue // of webhooks, to be remembered
}

// Open opens the database at url ("sqlite:///path/to/file.db" or a plain path),
// makes it where there is none, and brings its tables to this version.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = defaultBusyTimeout
	}
	if o.BlockBytes <= 0 {
		o.BlockBytes = defaultBlockBytes
	}
	if o.ViewTimeout <= 0 {
		o.ViewTimeout = defaultViewTimeout
	}
	path, err := sqlitePath(url)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: o, bulk: newBulkStatements(), known: newKnownSet(knownSeriesMax), blocks: newBlockCache(o.BlockBytes)}
	if err := s.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.Close())
	}
	if s.secret, err = s.Secret(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", path, err), s.Close())
	}
	return s, nil
}

// Close waits for running calls and closes the database.
func (s *Store) Close() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil { // the last to close clears the log
		errs = append(errs, s.closeStatements(), s.write.Close())
	}
	return errors.Join(errs...)
}

func (s *Store) closeStatements() error {
	conn, err := s.write.Conn(context.Background())
	if err != nil {
		return nil // no connection, so none that has statements
	}
	defer conn.Close()
	return conn.Raw(func(any) error { return s.bulk.close() })
}

// Secret is made once per installation; it seeds the dedupe hash.
func (s *Store) Secret(ctx context.Context) ([16]byte, error) {
	var secret [16]byte
	var b []byte
	err := s.read.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'secret'`).Scan(&b)
	if err != nil {
		return secret, fmt.Errorf("read the secret: %w", engineError(err))
	}
	if copy(secret[:], b) != len(secret) || len(b) != len(secret) {
		return secret, fmt.Errorf("read the secret: it has %d bytes, not %d", len(b), len(secret))
	}
	return secret, nil
}

// makeSecret is done once, when the tables are made.
func (s *Store) makeSecret(ctx context.Context) error {
	secret := make([]byte, 16)
	rand.Read(secret)
	return s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `INSERT INTO meta (key, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING`, secret)
	})
}
