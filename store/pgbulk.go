package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// rowsPerArray bounds the rows of one statement with arrays, some megabytes.
const rowsPerArray = 20_000

// unnest is the source of an insert: a row for each element of arrays, one for
// each column, in their order. In the list of a SELECT they go row by row; in FROM
// each would be laid out in memory first, a tenth of a checkpoint's time.
func unnest(columns []column) string {
	var b strings.Builder
	b.WriteString(`SELECT `)
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "unnest($%d::%s[])", i+1, c.kind.sql())
	}
	return b.String()
}

func (k kind) sql() string { return [...]string{"bigint", "text", "text", "bytea"}[k] }

func (k kind) oid() uint32 {
	return [...]uint32{pgtype.Int8OID, pgtype.TextOID, pgtype.TextOID, pgtype.ByteaOID}[k]
}

// writeArrays inserts n rows, whose columns go over the wire as arrays.
func (b *bulk) writeArrays(ctx context.Context, conn *pgConn, n int, row func(i int, args []driver.NamedValue)) error {
	if b.arrays == nil {
		b.arrays = make([]array, len(b.columns))
	}
	args, formats := b.args[:len(b.columns)], make([]int16, len(b.columns))
	values := make([][]byte, len(b.columns))
	for first := 0; first < n; first += rowsPerArray {
		last := min(first+rowsPerArray, n)
		for c := range b.arrays {
			b.arrays[c].begin(b.columns[c].kind, last-first)
		}
		for i := first; i < last; i++ {
			row(i, args)
			for c := range args {
				if err := b.arrays[c].add(args[c].Value); err != nil {
					return fmt.Errorf("column %s: %w", b.columns[c].name, err)
				}
			}
		}
		for c := range b.arrays {
			formats[c], values[c] = pgx.BinaryFormatCode, b.arrays[c].bytes
		}
		if err := conn.execPrepared(ctx, b.unnested, values, formats); err != nil {
			return err
		}
	}
	for c := range b.arrays {
		b.arrays[c].shrink()
	}
	return nil
}

// execPrepared executes a statement that is prepared once for a connection, with
// parameters that are encoded already.
func (c *pgConn) execPrepared(ctx context.Context, query string, values [][]byte, formats []int16) error {
	pg := c.Conn.Conn().PgConn()
	name, ok := c.prepared[query]
	if !ok {
		name = fmt.Sprintf("bulk_%d", len(c.prepared)+1)
		if _, err := pg.Prepare(ctx, name, query, nil); err != nil {
			return err
		}
		c.prepared[query] = name
	}
	_, err := pg.ExecPrepared(ctx, name, values, formats, nil).Close()
	return err
}

// array is a column of rows in PostgreSQL's binary format: dimensions (1), a flag
// for nulls, the element's type, length and lower bound, all of 32 bits; then for
// each element its length, -1 for null, and its bytes.
type array struct {
	kind
	bytes []byte
}

func (a *array) begin(k kind, n int) {
	a.kind, a.bytes = k, a.bytes[:0]
	for _, v := range []uint32{1, 1, k.oid(), uint32(n), 1} {
		a.bytes = binary.BigEndian.AppendUint32(a.bytes, v)
	}
}

func (a *array) add(value any) error {
	switch v := value.(type) {
	case int64:
		if a.kind == integer {
			a.bytes = binary.BigEndian.AppendUint32(a.bytes, 8)
			a.bytes = binary.BigEndian.AppendUint64(a.bytes, uint64(v))
			return nil
		}
	case string:
		if a.kind == text || a.kind == nullText {
			v = pgText(v)
			a.bytes = binary.BigEndian.AppendUint32(a.bytes, uint32(len(v)))
			a.bytes = append(a.bytes, v...)
			return nil
		}
	case []byte:
		if a.kind == blob {
			a.bytes = binary.BigEndian.AppendUint32(a.bytes, uint32(len(v)))
			a.bytes = append(a.bytes, v...)
			return nil
		}
	case nil:
		if a.kind == blob || a.kind == nullText {
			a.bytes = binary.BigEndian.AppendUint32(a.bytes, ^uint32(0))
			return nil
		}
	}
	return fmt.Errorf("%w: a %T for %s", errInvalid, value, a.kind.sql())
}

// maxArrayKept bounds the memory that a column keeps between checkpoints.
const maxArrayKept = 1 << 20

func (a *array) shrink() {
	if cap(a.bytes) > maxArrayKept {
		a.bytes = nil
	}
}
