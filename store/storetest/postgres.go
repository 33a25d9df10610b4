//go:build postgres

package storetest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres: the stores of tests are PostgreSQL's.
const Postgres = true

// URL is that of a store that does not exist yet, and is gone after the test.
func URL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("TALLYBOOK_TEST_POSTGRES")
	if base == "" {
		t.Fatal("tests of PostgreSQL need its URL in TALLYBOOK_TEST_POSTGRES: scripts/postgres.sh with go test …")
	}
	schema := "test_" + strings.ToLower(rand.Text()[:16])
	do(t, base, `CREATE SCHEMA `+schema)
	t.Cleanup(func() { do(t, base, `DROP SCHEMA `+schema+` CASCADE`) })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

func do(t testing.TB, base, query string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, query, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
}
