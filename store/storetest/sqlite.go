//go:build !postgres

package storetest

import (
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Postgres: the stores of tests are PostgreSQL's.
const Postgres = false

// URL is that of a store that does not exist yet, and is gone after the test.
func URL(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "store.db")
}

// Exec changes a store behind its back; it returns how many rows were changed.
func Exec(t testing.TB, url, query string, args ...any) int64 {
	t.Helper()
	db, err := sql.Open("sqlite", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	result, err := db.Exec(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Copy makes one store what another is; nobody has either open.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	for _, name := range []string{"", "-wal", "-shm"} {
		b, err := os.ReadFile(from + name)
		if errors.Is(err, fs.ErrNotExist) {
			os.Remove(to + name)
			continue
		}
		if err == nil {
			err = os.WriteFile(to+name, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
