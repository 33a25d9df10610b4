package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
)

// rowsPerStatement is how many rows one execution of a bulk statement writes.
// From 20 to 100 BenchmarkCheckpoint shows no difference beyond its noise.
const rowsPerStatement = 50

// kind is a column's type.
type kind byte

const (
	integer kind = iota
	text
	nullText
	blob // null where it is nil
)

// column of a bulk statement.
type column struct {
	name string
	kind
}

// bulk is an insert of many rows. With SQLite it is prepared once on the
// writer's connection, for rowsPerStatement rows and for the one that the rest
// is written with, and goes to the driver directly: database/sql checks and
// copies each of 700 arguments for every 50 rows. With PostgreSQL the rows go as
// one array for each column. It belongs to whoever holds the write transaction.
type bulk struct {
	columns       []column
	many, one     string
	conn          driver.Conn // whose statements these are
	stMany, stOne driver.Stmt
	args          []driver.NamedValue

	unnested string // the text with arrays
	arrays   []array
}

// newBulk inserts into columns of a table; tail says what becomes of rows whose
// key is there.
func newBulk(table string, columns []column, tail string) *bulk {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	head := `INSERT INTO ` + table + ` (` + strings.Join(names, ", ") + `) `
	row := "(" + placeholders(len(columns)) + ")"
	b := &bulk{columns: columns, one: head + `VALUES ` + row + tail}
	b.many = head + `VALUES ` + strings.Repeat(row+",", rowsPerStatement-1) + row + tail
	b.args = make([]driver.NamedValue, len(columns)*rowsPerStatement)
	for i := range b.args {
		b.args[i].Ordinal = i + 1
	}
	b.unnested = head + unnest(columns) + tail
	return b
}

// write inserts n rows; row fills the arguments of row i. Rows come in the order
// of the table's key, for SQLite's pages and PostgreSQL's locks alike.
func (b *bulk) write(ctx context.Context, w *writeTx, n int, row func(i int, args []driver.NamedValue)) error {
	if n == 0 {
		return nil
	}
	err := w.conn.Raw(func(dc any) error {
		if pg, ok := dc.(*pgConn); ok {
			return b.writeArrays(ctx, pg, n, row)
		}
		return b.writeRows(ctx, dc.(driver.Conn), n, row)
	})
	for i := range b.args {
		b.args[i].Value = nil // hold on to nothing of the batch
	}
	return engineError(err)
}

func (b *bulk) writeRows(ctx context.Context, conn driver.Conn, n int, row func(i int, args []driver.NamedValue)) error {
	if err := b.prepare(ctx, conn); err != nil {
		return err
	}
	// With a context that can end, the driver starts a goroutine for each
	// execution; these are short, and ctx is looked at between them.
	free, cols, i := context.WithoutCancel(ctx), len(b.columns), 0
	for ; i+rowsPerStatement <= n; i += rowsPerStatement {
		for k := range rowsPerStatement {
			row(i+k, b.args[k*cols:(k+1)*cols])
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := execStmt(free, b.stMany, b.args); err != nil {
			return err
		}
	}
	for ; i < n; i++ {
		row(i, b.args[:cols])
		if err := execStmt(free, b.stOne, b.args[:cols]); err != nil {
			return err
		}
	}
	return nil
}

func (b *bulk) prepare(ctx context.Context, conn driver.Conn) error {
	if b.conn == conn {
		return nil
	}
	if err := b.close(); err != nil {
		return err
	}
	p, ok := conn.(driver.ConnPrepareContext)
	if !ok {
		return fmt.Errorf("the driver's %T cannot prepare", conn)
	}
	var err error
	if b.stMany, err = p.PrepareContext(ctx, b.many); err != nil {
		return err
	}
	if b.stOne, err = p.PrepareContext(ctx, b.one); err != nil {
		return errors.Join(err, b.stMany.Close())
	}
	b.conn = conn
	return nil
}

// close finalizes the statements: SQLite keeps a connection that has some, and
// with it the log, alive.
func (b *bulk) close() error {
	if b.conn == nil {
		return nil
	}
	b.conn = nil
	return errors.Join(b.stMany.Close(), b.stOne.Close())
}

func execStmt(ctx context.Context, st driver.Stmt, args []driver.NamedValue) error {
	e, ok := st.(driver.StmtExecContext)
	if !ok {
		return fmt.Errorf("the driver's %T cannot execute with a context", st)
	}
	_, err := e.ExecContext(ctx, args)
	return err
}
