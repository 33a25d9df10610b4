//go:build !postgres

package storetest

import (
	"path/filepath"
	"testing"
)

// Postgres: the stores of tests are PostgreSQL's.
const Postgres = false

// URL is that of a store that does not exist yet, and is gone after the test.
func URL(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "store.db")
}
