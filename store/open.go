package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// readConns bounds the snapshots that are open at a time.
const readConns = 4

// sqlitePath is the absolute path of the database file that a store URL names.
func sqlitePath(storeURL string) (string, error) {
	path, isURL := strings.CutPrefix(storeURL, "sqlite://")
	if scheme, _, found := strings.Cut(storeURL, "://"); found && !isURL {
		return "", fmt.Errorf("store URL %s://…: sqlite:///path/to/file.db or a path is allowed", scheme)
	}
	if path == "" {
		return "", errors.New("store URL: it names no file")
	}
	return filepath.Abs(path)
}

func (s *Store) open(ctx context.Context, path string) error {
	if s.opts.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	} else {
		if err := makeFile(path); err != nil {
			return err
		}
		if err := s.openWriter(ctx, path); err != nil {
			return engineError(err)
		}
	}
	// A reader never waits for the writer in WAL mode; query_only makes sure
	// that it never becomes one.
	dsn := s.dsn(path, "query_only(1)", "cache_size(-8192)")
	var err error
	if s.read, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readConns)
	s.read.SetMaxIdleConns(readConns)
	return engineError(s.checkVersion(ctx))
}

// makeFile makes the database file readable by its owner alone: the secret is
// in it. SQLite gives the log beside it the same mode.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// openWriter opens the one connection that writes, and migrates. A bigger log
// than SQLite's default of 1000 pages lets hot pages of many checkpoints be
// copied into the database once.
func (s *Store) openWriter(ctx context.Context, path string) error {
	dsn := s.dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(0)",
		"temp_store(MEMORY)", "cache_size(-65536)", "wal_autocheckpoint(8000)", "journal_size_limit(67108864)")
	var err error
	if s.write, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	s.write.SetMaxIdleConns(1)
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, s.write, files, goose.WithSlog(s.opts.Log),
		goose.WithAllowOutofOrder(true)) // numbers are handed out ahead of time
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return s.makeSecret(ctx)
}

// checkVersion refuses tables that a newer program made, or, when nothing may
// be written, that an older one did.
func (s *Store) checkVersion(ctx context.Context) error {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		return err
	}
	want := int64(len(entries)) // numbers may have holes
	var got int64
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM goose_db_version WHERE version_id > 0`).Scan(&got)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%w: %d migrations were made, this program has %d", ErrVersion, got, want)
	}
	return nil
}

func (s *Store) dsn(path string, pragmas ...string) string {
	q := url.Values{
		"_txlock":       {"immediate"},
		"_busy_timeout": {fmt.Sprint(s.opts.BusyTimeout.Milliseconds())},
		"_pragma":       pragmas,
	}
	if s.opts.ReadOnly {
		q.Set("mode", "ro")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
}
