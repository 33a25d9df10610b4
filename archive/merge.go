package archive

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/zeebo/xxh3"

	"tallybook/schemas"
)

// rowsSum is a sum over rows that has no order: of a hash of every column, the
// address with them. Files that hold the same rows have the same sum.
type rowsSum struct {
	rows       int64
	lo, hi     uint64
	impersonal bool // personal columns are left out
}

// PersonalColumns hold what may be personal; neither sums nor proofs are made of them.
var PersonalColumns = []string{"client_ip", "recipient", "message_id", "session", "input", "data"}

// Rewrite gives the value that a personal column of row i has from now on, empty
// for null; value may be returned as it is, and must not be changed.
type Rewrite func(r *Rows, i int, column string, value []byte) []byte

// Merger collects the rows of files of one dataset, date and partition, to be
// written as one. Its memory is that of the rows.
type Merger struct {
	rows    Rows
	codes   map[string]Code // of rows.Dict
	sum     rowsSum
	rewrite Rewrite // nil: rows stay what they are
	changed int64
	known   []Code // by code of the file being read
	buf     []byte
}

// NewMerger is for rows of a dataset and partition.
func NewMerger(dataset schemas.Topic, partition int32) *Merger {
	return &Merger{rows: Rows{Dataset: dataset, Partition: partition, Dict: []string{""}}, codes: map[string]Code{}}
}

// Rewriting has personal columns changed from now on. Sum leaves them out then.
func (m *Merger) Rewriting(by Rewrite) { m.rewrite, m.sum.impersonal = by, true }

// Changed is how many values were rewritten.
func (m *Merger) Changed() int64 { return m.changed }

// ReadFile adds all rows of a file.
func (m *Merger) ReadFile(ctx context.Context, a *Archive, name string) error {
	m.known = m.known[:0]
	return a.Read(ctx, name, Columns(m.rows.Dataset), func(r *Rows) error {
		if r.Partition != m.rows.Partition || r.Dataset != m.rows.Dataset {
			return fmt.Errorf("rows of %s, partition %d, in a file of %s, partition %d", r.Dataset, r.Partition, m.rows.Dataset, m.rows.Partition)
		}
		m.sum.add(r, &m.buf)
		m.append(r)
		return nil
	})
}

// Len is the number of rows.
func (m *Merger) Len() int64 { return m.sum.rows }

// TextBytes are the bytes of the long texts that are held, most of its memory
// where rows are large.
func (m *Merger) TextBytes() int {
	return len(m.rows.ID.Data) + len(m.rows.Data.Data) + len(m.rows.Input.Data)
}

// Stage writes the rows as one file, sorted by account, time, offset and row.
func (m *Merger) Stage(ctx context.Context, a *Archive, f StageFile) (FileInfo, error) {
	days := ByDay(&m.rows)
	if len(days) != 1 || days[0].Day != f.Day.Day {
		return FileInfo{}, fmt.Errorf("merge files of %s: they have rows of %d dates", f.Day.Day, len(days))
	}
	m.sortTies(days[0].Index)
	f.Rows, f.Day, f.Merged = &m.rows, days[0], true
	return a.Stage(ctx, f)
}

// sortTies puts rows of one account and time in the order of the log, whatever
// files they came from.
func (m *Merger) sortTies(index []int32) {
	r := &m.rows
	same := func(a, b int32) bool { return r.Account[a] == r.Account[b] && r.Time[a] == r.Time[b] }
	for from := 0; from < len(index); {
		to := from + 1
		for to < len(index) && same(index[from], index[to]) {
			to++
		}
		if to-from > 1 {
			slices.SortFunc(index[from:to], func(a, b int32) int {
				return cmp.Or(cmp.Compare(r.Offset[a], r.Offset[b]), cmp.Compare(r.Row[a], r.Row[b]))
			})
		}
		from = to
	}
}

// Holds reports whether a file has the rows that were read into m, as far as
// they were not rewritten.
func (m *Merger) Holds(ctx context.Context, a *Archive, name string) (bool, error) {
	var buf []byte
	sum := rowsSum{impersonal: m.sum.impersonal}
	err := a.Read(ctx, name, Columns(m.rows.Dataset), func(r *Rows) error {
		sum.add(r, &buf)
		return nil
	})
	return sum == m.sum, err
}

// add adds the hash of each row: its values behind their lengths, null told from
// every value.
func (s *rowsSum) add(r *Rows, buf *[]byte) {
	columns := columnsOf[r.Dataset]
	for i := range r.Len() {
		b := (*buf)[:0]
		for k := range columns {
			if s.impersonal && isPersonal(&columns[k]) {
				continue
			}
			b = appendValue(b, r, columns[k].at(r), i)
		}
		h := xxh3.Hash128(b)
		var carry uint64
		s.lo, carry = bits.Add64(s.lo, h.Lo, 0)
		s.hi, _ = bits.Add64(s.hi, h.Hi, carry)
		s.rows++
		*buf = b
	}
}

func appendValue(b []byte, r *Rows, column any, i int) []byte {
	number := func(n int64) []byte { return binary.AppendVarint(b, n) }
	text := func(t string) []byte { return append(binary.AppendUvarint(b, uint64(len(t))), t...) }
	switch col := column.(type) {
	case *[]Code:
		if (*col)[i] == 0 {
			return append(b, 0)
		}
		b = append(b, 1)
		return text(r.Dict[(*col)[i]])
	case *Texts:
		return text(string(col.At(i)))
	case *[]int64:
		return number((*col)[i])
	case *[]int32:
		return number(int64((*col)[i]))
	case *[]int8:
		return number(int64((*col)[i]))
	case *int32:
		return number(int64(*col))
	case *[]float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits((*col)[i]))
	case *[]schemas.Decimal:
		b = number((*col)[i].Units)
		return number(int64((*col)[i].Nanos))
	}
	panic(fmt.Sprintf("a column of type %T", column)) // columnsOf has no other
}

func isPersonal(c *column) bool { return slices.Contains(PersonalColumns, c.name) }

// append copies rows of which every column was read.
func (m *Merger) append(r *Rows) {
	for k := range columnsOf[m.rows.Dataset] {
		c := &columnsOf[m.rows.Dataset][k]
		if m.rewrite != nil && isPersonal(c) {
			m.appendRewritten(c, r)
			continue
		}
		switch to := c.at(&m.rows).(type) {
		case *[]Code:
			for _, code := range *c.at(r).(*[]Code) {
				*to = append(*to, m.code(r, code))
			}
		case *Texts:
			from := c.at(r).(*Texts)
			for i := range from.Ends {
				to.Append(from.At(i))
			}
		case *[]int64:
			*to = append(*to, *c.at(r).(*[]int64)...)
		case *[]int32:
			*to = append(*to, *c.at(r).(*[]int32)...)
		case *[]int8:
			*to = append(*to, *c.at(r).(*[]int8)...)
		case *[]float64:
			*to = append(*to, *c.at(r).(*[]float64)...)
		case *[]schemas.Decimal:
			*to = append(*to, *c.at(r).(*[]schemas.Decimal)...)
		}
	}
}

// appendRewritten is append of a personal column.
func (m *Merger) appendRewritten(c *column, r *Rows) {
	for i := range r.Len() {
		was := textAt(c, r, i)
		is := was
		if len(was) > 0 {
			is = m.rewrite(r, i, c.name, was)
		}
		if !bytes.Equal(is, was) {
			m.changed++
		}
		switch to := c.at(&m.rows).(type) {
		case *[]Code:
			*to = append(*to, m.intern(string(is)))
		case *Texts:
			to.Append(is)
		}
	}
}

func (m *Merger) intern(text string) Code {
	if text == "" {
		return 0
	}
	is, ok := m.codes[text]
	if !ok {
		is = Code(len(m.rows.Dict))
		m.rows.Dict = append(m.rows.Dict, text)
		m.codes[text] = is
	}
	return is
}

// code is the merged rows' code of one of the file's, which it is for all of it.
func (m *Merger) code(r *Rows, code Code) Code {
	if code == 0 {
		return 0
	}
	if int(code) >= len(m.known) {
		m.known = append(m.known, make([]Code, len(r.Dict)-len(m.known))...)
	}
	if m.known[code] != 0 {
		return m.known[code]
	}
	m.known[code] = m.intern(r.Dict[code])
	return m.known[code]
}

// WouldRewrite reports whether rewriting changes a row.
func WouldRewrite(r *Rows, rewrite Rewrite) bool {
	for k := range columnsOf[r.Dataset] {
		c := &columnsOf[r.Dataset][k]
		if !isPersonal(c) {
			continue
		}
		for i := range r.Len() {
			if was := textAt(c, r, i); len(was) > 0 && !bytes.Equal(rewrite(r, i, c.name, was), was) {
				return true
			}
		}
	}
	return false
}

// textAt is row i's value of a column of strings.
func textAt(c *column, r *Rows, i int) []byte {
	if codes, ok := c.at(r).(*[]Code); ok {
		return []byte(r.String((*codes)[i]))
	}
	return c.at(r).(*Texts).At(i)
}
