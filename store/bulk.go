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

// bulk is an insert of many rows, prepared once on the writer's connection, for
// rowsPerStatement rows and for the one that the rest is written with. It goes
// to the driver directly: database/sql checks and copies each of 700 arguments
// for every 50 rows. It belongs to whoever holds the write transaction.
type bulk struct {
	cols          int
	many, one     string
	conn          driver.Conn // whose statements these are
	stMany, stOne driver.Stmt
	args          []driver.NamedValue
}

func newBulk(cols int, head, tail string) *bulk {
	row := "(" + placeholders(cols) + ")"
	b := &bulk{cols: cols, one: head + row + tail}
	b.many = head + strings.Repeat(row+",", rowsPerStatement-1) + row + tail
	b.args = make([]driver.NamedValue, cols*rowsPerStatement)
	for i := range b.args {
		b.args[i].Ordinal = i + 1
	}
	return b
}

// write inserts n rows; row fills the arguments of row i.
func (b *bulk) write(ctx context.Context, w *writeTx, n int, row func(i int, args []driver.NamedValue)) error {
	if n == 0 {
		return nil
	}
	// With a context that can end, the driver starts a goroutine for each
	// execution; these are short, and ctx is looked at between them.
	free := context.WithoutCancel(ctx)
	err := w.conn.Raw(func(dc any) error {
		if err := b.prepare(ctx, dc.(driver.Conn)); err != nil {
			return err
		}
		i := 0
		for ; i+rowsPerStatement <= n; i += rowsPerStatement {
			for k := range rowsPerStatement {
				row(i+k, b.args[k*b.cols:(k+1)*b.cols])
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := execStmt(free, b.stMany, b.args); err != nil {
				return err
			}
		}
		for ; i < n; i++ {
			row(i, b.args[:b.cols])
			if err := execStmt(free, b.stOne, b.args[:b.cols]); err != nil {
				return err
			}
		}
		return nil
	})
	for i := range b.args {
		b.args[i].Value = nil // hold on to nothing of the batch
	}
	return engineError(err)
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
