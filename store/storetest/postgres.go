//go:build postgres

package storetest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Postgres: the stores of tests are PostgreSQL's.
const Postgres = true

// URL is that of a store that does not exist yet, and is gone after the test.
func URL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("POSTGRES_TEST_URL")
	if base == "" {
		t.Fatal("tests of PostgreSQL need its URL in POSTGRES_TEST_URL: scripts/postgres.sh with go test …")
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

// Exec changes a store behind its back; it returns how many rows were changed.
// Parameters are ?, which must not stand anywhere else.
func Exec(t testing.TB, store, query string, args ...any) int64 {
	t.Helper()
	for n := 1; strings.Contains(query, "?"); n++ {
		query = strings.Replace(query, "?", "$"+strconv.Itoa(n), 1)
	}
	return do(t, store, query, args...)
}

// Copy makes one store what another is; nobody has either open.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	source, target := schemaOf(t, from), schemaOf(t, to)
	do(t, to, `DROP SCHEMA `+target+` CASCADE`)
	do(t, to, `CREATE SCHEMA `+target)
	do(t, to, `DO $$
		DECLARE name text; seq text;
		BEGIN
			FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = '`+source+`' LOOP
				EXECUTE format('CREATE TABLE `+target+`.%I (LIKE `+source+`.%I INCLUDING ALL)', name, name);
				EXECUTE format('INSERT INTO `+target+`.%I SELECT * FROM `+source+`.%I', name, name);
				FOREACH seq IN ARRAY ARRAY['id', 'seq'] LOOP
					IF EXISTS (SELECT FROM information_schema.columns WHERE table_schema = '`+target+`'
						AND table_name = name AND column_name = seq AND is_identity = 'YES') THEN
						EXECUTE format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT coalesce(max(%I), 0) + 1 FROM `+target+`.%I))',
							'`+target+`.' || name, seq, seq, name);
					END IF;
				END LOOP;
			END LOOP;
		END $$`)
}

func schemaOf(t testing.TB, store string) string {
	t.Helper()
	u, err := url.Parse(store)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("search_path")
}

func do(t testing.TB, base, query string, args ...any) int64 {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, base)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	tag, err := conn.Exec(ctx, query, args...)
	if err != nil {
		t.Fatal(err)
	}
	return tag.RowsAffected()
}
