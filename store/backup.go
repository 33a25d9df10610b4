package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrOwnBackup: the engine has tools of its own that copy it.
var ErrOwnBackup = errors.New("PostgreSQL is backed up by its own tools, pg_dump or continuous archiving")

// Backup writes one snapshot of the store into a new file, readable by its owner
// alone and durable when it returns. Others read and write meanwhile; SQLite's log
// grows until it is done.
func (s *Store) Backup(ctx context.Context, path string) error {
	if s.postgres {
		return ErrOwnBackup
	}
	if err := s.backup(ctx, path); err != nil {
		return fmt.Errorf("copy the store to %s: %w", path, engineError(err))
	}
	return nil
}

func (s *Store) backup(ctx context.Context, path string) error {
	// A reader of its own: the others refuse to write anywhere.
	db, err := sql.Open("sqlite", s.dsn(s.name))
	if err != nil {
		return err
	}
	defer db.Close()
	if err := makeFile(path); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `VACUUM INTO ?`, path); err != nil {
		return err
	}
	for _, name := range []string{path, filepath.Dir(path)} {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", name, err)
		}
	}
	return nil
}
