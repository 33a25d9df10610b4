package store

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Connections that a process may have, beside one while it migrates. A server
// allows 100 as a rule.
const (
	postgresWriters = 6
	postgresReaders = 8
	// postgresIdle is how long one that nobody uses is kept.
	postgresIdle = 5 * time.Minute
)

const (
	// statementTimeout bounds a statement at the server, whatever became of us.
	statementTimeout = 60 * time.Second
	// idleTimeout ends transactions of a process that was stopped, so that its
	// locks do not keep its successor waiting.
	idleTimeout = 10 * time.Second
	// connectTimeout bounds making a connection.
	connectTimeout = 5 * time.Second
	// silence is how long the other side may leave the network's questions
	// unanswered until the connection counts as cut.
	silence = 20 * time.Second
)

func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

// openPostgres also returns the name of the database for errors: the URL may
// have a password.
func (s *Store) openPostgres(ctx context.Context, url string) (name string, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return "postgres://…", fmt.Errorf("%w: %w", ErrURL, err) // pgx hides the password
	}
	name = fmt.Sprintf("postgres://%s/%s", net.JoinHostPort(cfg.Host, strconv.Itoa(int(cfg.Port))), cfg.Database)
	if cfg.ConnectTimeout == 0 || cfg.ConnectTimeout > connectTimeout {
		cfg.ConnectTimeout = connectTimeout
	}
	cfg.DialFunc = dialer().DialContext
	s.read = openPool(cfg, postgresReaders, map[string]string{
		"default_transaction_read_only": "on",
		"statement_timeout":             millis(s.opts.ViewTimeout),
		"cursor_tuple_fraction":         "1", // cursors are read to their end
	})
	if !s.opts.ReadOnly {
		s.write = openPool(cfg, postgresWriters, map[string]string{
			"statement_timeout": millis(statementTimeout),
			"lock_timeout":      millis(s.opts.BusyTimeout),
		})
		if err := s.migratePostgres(ctx, cfg); err != nil {
			return name, engineError(err)
		}
	}
	return name, engineError(s.checkVersion(ctx))
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// openPool opens connections as they are needed. Each waits for the disk at a
// commit, also where the server would not by default.
func openPool(cfg *pgx.ConnConfig, conns int, settings map[string]string) *sql.DB {
	cfg = cfg.Copy()
	for name, value := range map[string]string{
		"application_name":                    "tallybook",
		"idle_in_transaction_session_timeout": millis(idleTimeout),
		"TimeZone":                            "UTC",
	} {
		if _, chosen := cfg.RuntimeParams[name]; !chosen {
			cfg.RuntimeParams[name] = value
		}
	}
	for name, value := range settings {
		cfg.RuntimeParams[name] = value
	}
	durable := func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SELECT set_config('synchronous_commit', 'on', false)
			WHERE current_setting('synchronous_commit') IN ('off', 'local')`)
		return err
	}
	db := sql.OpenDB(pgConnector{stdlib.GetConnector(*cfg, stdlib.OptionAfterConnect(durable))})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxIdleTime(postgresIdle)
	return db
}

// migrationLock is the advisory lock of whoever migrates: there is no secret yet
// to tell installations apart.
const migrationLock = 0x7461_6c6c_7962_6f6f // "tallyboo"

// migratePostgres migrates on connections of its own, which wait for as long as
// another process migrates.
func (s *Store) migratePostgres(ctx context.Context, cfg *pgx.ConnConfig) error {
	db := openPool(cfg, 3, map[string]string{"idle_in_transaction_session_timeout": "0"})
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock(?)`, int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for others that migrate: %w", err)
	}
	defer conn.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock(?)`, int64(migrationLock))
	return s.migrate(ctx, db, goose.DialectPostgres)
}

// dialer notices a network that was cut.
func dialer() *net.Dialer {
	return &net.Dialer{Timeout: connectTimeout, Control: cutUnanswered,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: silence / 2, Interval: silence / 8, Count: 4}}
}
