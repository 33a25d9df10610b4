package archive

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go"

	"tallybook/schemas"
)

// Count is the number of rows that a file's footer states.
func (a *Archive) Count(ctx context.Context, name string) (int64, error) {
	var n int64
	err := a.withFile(ctx, name, func(file *parquet.File, _ schemas.Topic) error {
		n = file.NumRows()
		return nil
	})
	return n, err
}

// Read calls fn with the named columns of a file, a row group at a time, in
// the order of the file; the other columns of Rows are empty, but Dataset and
// Partition are always set. Asked columns are filled also where every row is
// null. Rows is reused: fn must not keep it or what it points to, save the
// strings of Dict. A code means the same string in all calls of one Read.
// A file that is truncated or corrupt is an error that names it; rows of the
// row groups before may have been given to fn by then.
func (a *Archive) Read(ctx context.Context, name string, columns []string, fn func(*Rows) error) error {
	return a.withFile(ctx, name, func(file *parquet.File, dataset schemas.Topic) error {
		r, err := newReader(file, dataset, columns)
		if err != nil {
			return err
		}
		left := file.NumRows()
		for _, group := range file.RowGroups() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if left -= group.NumRows(); group.NumRows() < 0 || left < 0 {
				return fmt.Errorf("%w: row groups hold more than %d rows", ErrDamaged, file.NumRows())
			}
			if err := r.readGroup(group); err != nil {
				return fmt.Errorf("%w: %w", ErrDamaged, err)
			}
			if err := fn(&r.rows); err != nil {
				return err
			}
		}
		if left != 0 {
			return fmt.Errorf("%w: %d of %d rows are missing", ErrDamaged, left, file.NumRows())
		}
		return nil
	})
}

// ErrDamaged marks a file that is not what was written.
var ErrDamaged = errors.New("damaged Parquet file")

// source is a file as the decoder sees it. It keeps the first error of reading,
// so that a disk or network that fails is not taken for a damaged file.
type source struct {
	File
	failed error
}

func (s *source) ReadAt(b []byte, offset int64) (int, error) {
	n, err := s.File.ReadAt(b, offset)
	if err != nil && !errors.Is(err, io.EOF) && s.failed == nil {
		s.failed = err
	}
	return n, err
}

func (a *Archive) withFile(ctx context.Context, name string, use func(*parquet.File, schemas.Topic) error) error {
	f, err := a.bucket.Open(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	src := &source{File: f}
	if err := useFile(src, use); err != nil {
		if src.failed != nil {
			err = src.failed
		}
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

func useFile(src *source, use func(*parquet.File, schemas.Topic) error) error {
	file, err := openParquet(src)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	dataset, _ := file.Lookup(keyDataset)
	version, _ := file.Lookup(keyFormat)
	if columnsOf[schemas.Topic(dataset)] == nil || version != formatVersion {
		return fmt.Errorf("not an archive file of this version (dataset %q, format %q)", dataset, version)
	}
	return use(file, schemas.Topic(dataset))
}

func openParquet(src *source) (file *parquet.File, err error) {
	defer recoverDamage(&err)
	// parquet-go would allocate whatever length the last bytes state.
	var tail [8]byte
	room := src.Size() - int64(len(magic)+len(tail))
	if room < 0 {
		return nil, fmt.Errorf("%d bytes are no Parquet file", src.Size())
	}
	if _, err := src.ReadAt(tail[:], src.Size()-int64(len(tail))); err != nil {
		return nil, err
	}
	if string(tail[4:]) != magic || int64(binary.LittleEndian.Uint32(tail[:])) > room {
		return nil, errors.New("it has no footer at its end: cut short, or never finished")
	}
	return parquet.OpenFile(src, src.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true),
		parquet.OptimisticRead(true), parquet.ReadBufferSize(64<<10))
}

// recoverDamage turns a decoder's panic into an error: parquet-go trusts some
// of the numbers in a file.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("decode: %v", p)
	}
}

// reader reads one file.
type reader struct {
	rows    Rows
	columns []readColumn
	codes   map[string]Code
	entries entries
}

type readColumn struct {
	*column
	leaf int // its position in the file
}

func newReader(file *parquet.File, dataset schemas.Topic, names []string) (*reader, error) {
	r := &reader{codes: map[string]Code{}}
	r.rows.Dataset = dataset
	r.rows.Dict = []string{""}
	asked := map[string]bool{}
	for _, name := range append([]string{"topic_partition"}, names...) {
		if asked[name] {
			continue
		}
		asked[name] = true
		c, err := findColumn(dataset, name)
		if err != nil {
			return nil, err
		}
		leaf, ok := file.Schema().Lookup(name)
		if !ok {
			return nil, fmt.Errorf("%w: column %s is missing", ErrDamaged, name)
		}
		if have, want := leaf.Node.Type().Kind(), parquet.Kind(c.physical()); have != want || leaf.Node.Optional() == c.required {
			return nil, fmt.Errorf("%w: column %s has another type", ErrDamaged, name)
		}
		r.columns = append(r.columns, readColumn{c, leaf.ColumnIndex})
	}
	return r, nil
}

func (r *reader) readGroup(group parquet.RowGroup) (err error) {
	defer recoverDamage(&err)
	chunks := group.ColumnChunks()
	for _, c := range r.columns {
		if err := r.readColumn(c, chunks[c.leaf], int(group.NumRows())); err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	return nil
}

// readColumn replaces what rows has of the column by that of the row group.
func (r *reader) readColumn(c readColumn, chunk parquet.ColumnChunk, rows int) error {
	pages := chunk.Pages()
	defer pages.Close()
	to := c.at(&r.rows)
	clearColumn(to)
	r.entries.reset()
	for n := 0; n < rows; {
		page, err := pages.ReadPage()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%d of %d rows", n, rows)
		}
		if err != nil {
			return err
		}
		n += int(page.NumRows())
		if n > rows {
			err = fmt.Errorf("more than %d rows", rows)
		} else {
			err = r.readPage(to, page)
		}
		parquet.Release(page)
		if err != nil {
			return err
		}
	}
	return nil
}

func clearColumn(to any) {
	switch col := to.(type) {
	case *[]Code:
		*col = (*col)[:0]
	case *Texts:
		col.Data, col.Ends = col.Data[:0], col.Ends[:0]
	case *[]int64:
		*col = (*col)[:0]
	case *[]int32:
		*col = (*col)[:0]
	case *[]int8:
		*col = (*col)[:0]
	case *[]float64:
		*col = (*col)[:0]
	case *[]schemas.Decimal:
		*col = (*col)[:0]
	}
}
