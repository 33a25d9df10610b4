package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/stdlib"
)

// pgConnector makes connections that take the texts of this package.
type pgConnector struct{ driver.Connector }

func (c pgConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &pgConn{Conn: conn.(*stdlib.Conn), prepared: map[string]string{}}, nil
}

// pgConn is pgx's connection for database/sql, with ? for parameters and with
// texts made such that PostgreSQL can hold them.
type pgConn struct {
	*stdlib.Conn
	prepared map[string]string // of bulk: the names of statements, by text
	cursors  int
}

// CheckNamedValue lets database/sql turn our named types into its few.
func (c *pgConn) CheckNamedValue(v *driver.NamedValue) (err error) {
	if v.Value, err = driver.DefaultParameterConverter.ConvertValue(v.Value); err == nil {
		if text, ok := v.Value.(string); ok {
			v.Value = pgText(text)
		}
	}
	return err
}

func (c *pgConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if query == "COMMIT" {
		return c.commit(ctx)
	}
	res, err := c.Conn.ExecContext(ctx, numbered(query), args)
	return res, ended(ctx, err)
}

// ended: an error behind the end of the context is the context's. To
// database/sql it may look like a connection that broke.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return err
}

func (c *pgConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.Conn.QueryContext(ctx, numbered(query), args)
	return rows, ended(ctx, err)
}

func (c *pgConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	return c.Conn.PrepareContext(ctx, numbered(query))
}

// errRolledBack: PostgreSQL answers COMMIT of a transaction in which a statement
// failed with ROLLBACK, which is no error to it.
var errRolledBack = errors.New("the transaction had failed and was rolled back")

func (c *pgConn) commit(ctx context.Context) (driver.Result, error) {
	if c.Conn.Conn().IsClosed() {
		return nil, driver.ErrBadConn
	}
	tag, err := c.Conn.Conn().Exec(ctx, "COMMIT")
	if err == nil && tag.String() != "COMMIT" {
		err = errRolledBack
	}
	return driver.RowsAffected(0), err
}

// cursorRows is how many rows of a cursor come at a time.
const cursorRows = 8192

// eachByCursor calls each with every row of a query, some thousands at a time:
// between them the connection is free for what each asks itself, and a reader
// that has enough need not wait for the rest. It must be within a transaction,
// whose end closes the cursor.
func (c *pgConn) eachByCursor(ctx context.Context, each func(row []driver.Value) error, query string, args []driver.NamedValue) error {
	c.cursors++
	name := "rows_" + strconv.Itoa(c.cursors)
	values := []any{pgx.QueryExecModeExec} // nothing is prepared: the name is new
	for _, a := range args {
		values = append(values, a.Value)
	}
	if _, err := c.Conn.Conn().Exec(ctx, "DECLARE "+name+" NO SCROLL CURSOR FOR "+numbered(query), values...); err != nil {
		return err
	}
	fetch := "FETCH " + strconv.Itoa(cursorRows) + " FROM " + name
	for rows := (&fetchedRows{}); ; {
		n, err := rows.read(c.Conn.Conn().PgConn().ExecParams(ctx, fetch, nil, nil, nil, []int16{pgx.BinaryFormatCode}))
		if err != nil {
			return err
		}
		for i := range n {
			row, err := rows.at(i)
			if err == nil {
				err = each(row)
			}
			if err != nil {
				return err
			}
		}
		if n < cursorRows {
			return nil
		}
	}
}

// fetchedRows are rows of one answer; their values lie in one buffer.
type fetchedRows struct {
	types []uint32 // of the columns
	data  []byte
	spans []span
	row   []driver.Value
}

// span is a value's place; to is below 0 for null.
type span struct{ from, to int }

func (r *fetchedRows) read(answer *pgconn.ResultReader) (rows int, err error) {
	r.data, r.spans, r.types = r.data[:0], r.spans[:0], r.types[:0]
	for answer.NextRow() {
		for _, v := range answer.Values() {
			s := span{len(r.data), -1}
			if v != nil {
				r.data = append(r.data, v...)
				s.to = len(r.data)
			}
			r.spans = append(r.spans, s)
		}
		rows++
	}
	for _, f := range answer.FieldDescriptions() {
		r.types = append(r.types, f.DataTypeOID)
	}
	r.row = slices.Grow(r.row[:0], len(r.types))[:len(r.types)]
	_, err = answer.Close()
	return rows, err
}

// at is a row as database/sql's drivers give it: int64, string, []byte, nil. It
// is used again for the next.
func (r *fetchedRows) at(i int) ([]driver.Value, error) {
	for c, oid := range r.types {
		s := r.spans[i*len(r.types)+c]
		if s.to < 0 {
			r.row[c] = nil
			continue
		}
		v := r.data[s.from:s.to]
		switch oid {
		case pgtype.Int8OID:
			r.row[c] = int64(binary.BigEndian.Uint64(v))
		case pgtype.ByteaOID:
			r.row[c] = v
		case pgtype.TextOID:
			r.row[c] = string(v)
		default:
			return nil, fmt.Errorf("column %d has the type %d, which no row of ours has", c+1, oid)
		}
	}
	return r.row, nil
}

// numberedTexts are the texts with $1, $2, … by those with ?: there are as many
// as this package has, and some of different lengths of lists.
var numberedTexts struct {
	sync.RWMutex
	by map[string]string
}

const maxNumberedTexts = 4000

func numbered(query string) string {
	if !strings.Contains(query, "?") {
		return query
	}
	t := &numberedTexts
	t.RLock()
	text, ok := t.by[query]
	t.RUnlock()
	if ok {
		return text
	}
	text = numberParameters(query)
	t.Lock()
	defer t.Unlock()
	if t.by == nil || len(t.by) >= maxNumberedTexts {
		t.by = map[string]string{}
	}
	t.by[query] = text
	return text
}

// numberParameters writes $1, $2, … for each ? outside of quotes. Texts of this
// package have no comments with quotes in them.
func numberParameters(query string) string {
	var b strings.Builder
	b.Grow(len(query) + 16)
	n, quote := 0, byte(0)
	for i := range len(query) {
		switch ch := query[i]; {
		case quote != 0:
			if ch == quote {
				quote = 0
			}
			b.WriteByte(ch)
		case ch == '\'' || ch == '"':
			quote = ch
			b.WriteByte(ch)
		case ch == '?':
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		default:
			b.WriteByte(ch)
		}
	}
	return b.String()
}

// pgText is the text as PostgreSQL can hold it: valid UTF-8 without NUL. Names
// and ids have been checked for both; a message about a record that was refused
// may quote anything.
func pgText(s string) string {
	if strings.IndexByte(s, 0) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}
