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
	// ErrBusy: another process holds what we need, and kept it for longer than we wait.
	ErrBusy = errors.New("the store is in use by another process")
	// ErrAway: the database does not answer, or ended our connection. Only where
	// it is ErrUnknown too may anything have been applied.
	ErrAway = errors.New("the store does not answer")
	// ErrReadOnly: the store was opened to read only.
	ErrReadOnly = errors.New("the store is open to read only")
	// ErrVersion: the tables are of another version than this program's.
	ErrVersion = errors.New("the store has tables of another version")
	// ErrURL: the store's URL is none.
	ErrURL = errors.New("store URL")
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
	BusyTimeout time.Duration    // how long a write waits for another one; 0: 5 s
	ViewTimeout time.Duration    // how long a View may last; 0: 5 s
	BlockBytes  int64            // memory for rollups that were read; 0: 128 MiB

	// Fault is a hook for tests, called at the steps of Checkpoint: "begin",
	// then for each of the batch "checkpoint" (the compare-and-swap), "series",
	// "rollups", "files", "errors", "corrections", "app_events", "quotas",
	// "ledger", and "commit"; of SwapFiles: "swap", within it "retire" and "add";
	// and of BuildRollups "built", its last transaction. An error before: the step is not done and this is its answer;
	// after: it is done, and fails. Checkpoints then come one after the other.
	Fault func(step string) (before, after error)
}

// Store is the SQL store of one installation. Its methods may be called
// concurrently; with SQLite, writes wait for each other.
type Store struct {
	*dialect
	opts  Options
	name  string  // without a password
	write *sql.DB // nil when read only; SQLite: one connection
	read  *sql.DB
	bulk  *bulkStatements // SQLite: of the writer's connection
	bulks sync.Pool       // PostgreSQL: of *bulkStatements
	known *knownSet       // of series that are committed

	quotas quotaCache

	blocks *blockCache // rollups that were read

	secret [16]byte  // of the installation; set by Open
	macs   sync.Pool // of hash.Hash, keyed with it

	tokens tokenQueue // of webhooks, to be remembered
}

// Open opens the database at url: "sqlite:///path/to/file.db" or a plain path,
// which is made where there is none, or "postgres://user@host/database", which
// must exist. It brings its tables to this version.
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
	s := &Store{opts: o, bulk: newBulkStatements(), known: newKnownSet(knownSeriesMax), blocks: newBlockCache(o.BlockBytes)}
	s.bulks.New = func() any { return newBulkStatements() }
	var err error
	if s.name, err = s.openEngine(ctx, url); err == nil {
		s.secret, err = s.Secret(ctx)
	}
	if errors.Is(err, sql.ErrNoRows) && s.write != nil {
		if err = s.makeSecret(ctx); err == nil {
			s.secret, err = s.Secret(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", s.name, err), s.Close())
	}
	return s, nil
}

// openEngine also gives the name that errors may show: without a password.
func (s *Store) openEngine(ctx context.Context, url string) (name string, err error) {
	if isPostgres(url) {
		s.dialect = &postgresDialect
		return s.openPostgres(ctx, url)
	}
	s.dialect = &sqliteDialect
	path, err := sqlitePath(url)
	if err != nil {
		return "", err
	}
	return path, s.openSQLite(ctx, path)
}

// Close waits for running calls and closes the database.
func (s *Store) Close() error {
	var errs []error
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil { // the last to close clears SQLite's log
		errs = append(errs, s.closeStatements(), s.write.Close())
	}
	return errors.Join(errs...)
}

func (s *Store) closeStatements() error {
	if s.postgres {
		return nil
	}
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

// makeSecret is done once, when the tables were made.
func (s *Store) makeSecret(ctx context.Context) error {
	secret := make([]byte, 16)
	rand.Read(secret)
	return s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `INSERT INTO meta (key, value) VALUES ('secret', ?) ON CONFLICT DO NOTHING`, secret)
	})
}
