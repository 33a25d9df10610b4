package store

import (
	"context"
	"database/sql"
	"fmt"
	"hash/fnv"

	"tallybook/schemas"
)

// dialect is what differs between the engines. All other SQL is one text that
// both run: see "How SQL is written" in doc.go.
type dialect struct {
	begin     string // of a write transaction
	forUpdate string // behind a SELECT whose rows others must not change before we commit
	view      sql.TxOptions
	// least and greatest are aggregates over a column of sort keys, which are bytes.
	least, greatest string
	postgres        bool
}

// One write transaction at a time, whose first statement takes the lock.
var sqliteDialect = dialect{
	begin: "BEGIN IMMEDIATE",
	view:  sql.TxOptions{ReadOnly: true},
	least: "min(%s)", greatest: "max(%s)",
}

// Any number of write transactions. Each statement sees what was committed
// before it began, so that what was read without a lock may be old by then.
var postgresDialect = dialect{
	begin:     "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
	forUpdate: " FOR UPDATE",
	view:      sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
	least:     `decode(min(encode(%s, 'hex') COLLATE "C"), 'hex')`, // bytea has no min before PostgreSQL 18
	greatest:  `decode(max(encode(%s, 'hex') COLLATE "C"), 'hex')`,
	postgres:  true,
}

// lockClass is what a lock of a transaction is for.
type lockClass string

const (
	// lockCatalog: transactions that were written for one at a time.
	lockCatalog lockClass = "catalog"
	// lockWindow: those that change hours of a built window share it; a build
	// that begins takes it alone, so that it sees what all before have written.
	lockWindow lockClass = "window"
	// lockBuild: one build at a time writes the rows of a window.
	lockBuild lockClass = "build"
	// lockSketches: one merger at a time.
	lockSketches lockClass = "sketches"
)

// lock holds a lock of a class until the transaction ends. SQLite needs none.
func (w *writeTx) lock(ctx context.Context, class lockClass, of int64) error {
	return w.advisory(ctx, `SELECT pg_advisory_xact_lock(?)`, class, of)
}

// lockShared is lock beside others that share it.
func (w *writeTx) lockShared(ctx context.Context, class lockClass, of int64) error {
	return w.advisory(ctx, `SELECT pg_advisory_xact_lock_shared(?)`, class, of)
}

func (w *writeTx) advisory(ctx context.Context, query string, class lockClass, of int64) error {
	if !w.postgres {
		return nil
	}
	// Advisory locks are the database's: the secret keeps installations apart.
	h := fnv.New64a()
	fmt.Fprintf(h, "%x/%s/%d", w.secret, class, of)
	return w.exec(ctx, query, int64(h.Sum64()))
}

func windowLock(res Resolution, start schemas.Hour) int64 { return int64(start)*4 + int64(res) }
