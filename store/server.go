package store

import (
	"context"
	"fmt"
	"strings"
)

// Name is the store in messages: an SQLite file's path, or a PostgreSQL database
// by host and name, without user and password.
func (s *Store) Name() string { return s.name }

// Server is what the database server says of itself.
type Server struct {
	About    string   // its version and what durability rests on
	Problems []string // what it lacks, and what to do
}

// leastPostgres is the oldest version that has what is used here.
const leastPostgres = 13_00_00

// Server asks PostgreSQL; SQLite has no server: the zero Server.
func (s *Store) Server(ctx context.Context) (v Server, err error) {
	if !s.postgres {
		return v, nil
	}
	var number int
	var version, fsync, pages, commit, encoding, denied string
	var standby, create bool
	err = s.read.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_setting('fsync'),
		current_setting('full_page_writes'), current_setting('synchronous_commit'), current_setting('server_encoding'), pg_is_in_recovery(),
		has_schema_privilege(current_schema(), 'CREATE'), coalesce((SELECT string_agg(tablename::text, ', ') FROM pg_tables WHERE schemaname = current_schema()
			AND NOT (has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'SELECT') AND
				has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'INSERT') AND
				has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'UPDATE') AND
				has_table_privilege(quote_ident(schemaname) || '.' || quote_ident(tablename), 'DELETE'))), '')`).
		Scan(&number, &version, &fsync, &pages, &commit, &encoding, &standby, &create, &denied)
	if err != nil {
		return v, fmt.Errorf("ask the server: %w", engineError(err))
	}
	v.About = fmt.Sprintf("PostgreSQL %s, synchronous_commit %s, fsync %s", version, commit, fsync)
	problem := func(is bool, format string, args ...any) {
		if is {
			v.Problems = append(v.Problems, fmt.Sprintf(format, args...))
		}
	}
	problem(number < leastPostgres, "PostgreSQL %s is older than 13; use a newer one", version)
	problem(fsync != "on", "fsync is %s: what was committed is lost with the power; set it to on", fsync)
	problem(pages != "on", "full_page_writes is %s: a page that is written half is lost; set it to on", pages)
	problem(!strings.EqualFold(encoding, "UTF8"), "the database's encoding is %s; make one with ENCODING 'UTF8'", encoding)
	problem(standby, "this server is a standby, which cannot be written to; name the primary in --store")
	problem(!create, "the user may not make tables in the schema, which the next version's migrations need: GRANT CREATE ON SCHEMA …")
	problem(denied != "", "the user may not read and write these tables: %s", denied)
	return v, nil
}
