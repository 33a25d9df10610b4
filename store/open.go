package store

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqliteReaders bounds the snapshots that are open at a time.
const sqliteReaders = 4

// sqlitePath is the absolute path of the database file that a store URL names.
func sqlitePath(storeURL string) (string, error) {
	path, isURL := strings.CutPrefix(storeURL, "sqlite://")
	if scheme, _, found := strings.Cut(storeURL, "://"); found && !isURL {
		return "", fmt.Errorf("%w %s://…: sqlite:///path/to/file.db, a path, or postgres://user@host/database is allowed", ErrURL, scheme)
	}
	if path == "" {
		return "", fmt.Errorf("%w: it names no file", ErrURL)
	}
	return filepath.Abs(path)
}

func (s *Store) openSQLite(ctx context.Context, path string) error {
	if s.opts.ReadOnly {
		if _, err := os.Stat(path); err != nil {
			return err
		}
	} else {
		if err := makeFile(path); err != nil {
			return err
		}
		if err := s.openWriter(path); err != nil {
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
	s.read.SetMaxOpenConns(sqliteReaders)
	s.read.SetMaxIdleConns(sqliteReaders)
	if !s.opts.ReadOnly {
		if err := s.migrate(ctx, s.write, goose.DialectSQLite3); err != nil {
			return engineError(err)
		}
	}
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

// openWriter opens the one connection that writes. A bigger log than SQLite's
// default of 1000 pages lets hot pages of many checkpoints be copied into the
// database once.
func (s *Store) openWriter(path string) error {
	dsn := s.dsn(path, "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(0)",
		"temp_store(MEMORY)", "cache_size(-65536)", "wal_autocheckpoint(8000)", "journal_size_limit(67108864)")
	var err error
	if s.write, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	s.write.SetMaxIdleConns(1)
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
