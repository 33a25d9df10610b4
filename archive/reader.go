package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrDamaged marks a file that is not what was written.
var ErrDamaged = errors.New("damaged Parquet file")

// Count is the number of rows that a file's footer states.
func (a *Archive) Count(ctx context.Context, name string) (int64, error) {
	var n int64
	err := a.withFile(ctx, name, func(r *reader) error {
		n = r.footer.rows
		return nil
	})
	return n, err
}

// Read calls fn with the named columns of a file, a row group at a time, in
// the order of the file; the other columns of Rows are empty, but Dataset and
// Partition are always set. Asked columns are filled also where every row is
// null. Rows is reused: fn must not keep it or what it points to, save the
// strings of Dict. A code means the same string in all calls of one Read.
// A file that is truncated or corrupt is an error that names it (ErrDamaged);
// rows of the row groups before may have been given to fn by then, but none
// that was not written.
func (a *Archive) Read(ctx context.Context, name string, columns []string, fn func(*Rows) error) error {
	all := ScanQuery{Columns: append([]string{"topic_partition"}, columns...), From: math.MinInt64, To: math.MaxInt64}
	return a.Scan(ctx, name, all, fn)
}

// tailBytes is read at the end of a file at first: it has the footer of all but
// the largest files, and all of a small file.
const tailBytes = 32 << 10

// withFile opens a file and calls use with its footer read.
func (a *Archive) withFile(ctx context.Context, name string, use func(*reader) error) error {
	f, err := a.bucket.Open(ctx, name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer f.Close()
	r := a.readers.Get().(*reader)
	defer a.readers.Put(r)
	defer r.release()
	r.file = f
	if r.footer = a.footers.get(name, f.Size()); r.footer == nil {
		if r.footer, err = r.readFooter(tailBytes); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
		a.footers.put(name, r.footer)
	}
	r.rows.Dataset = r.footer.dataset
	if err := use(r); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// reader reads one file at a time, and keeps its buffers from file to file.
type reader struct {
	file   File
	footer *footer
	tail   []byte // the end of the file, where that has been read
	runs   []run  // read ahead, of this row group
	rows   Rows
	codes  map[string]Code // of rows.Dict
	buffer []byte          // a section
	page   pageReader
	picked selection
	needed []neededColumn
	wanted []verdict // by code of rows.Dict: whether it is an account that is asked for
}

func newReader() *reader {
	r := &reader{codes: map[string]Code{}, page: newPageReader()}
	r.page.entries.intern = r.intern
	r.rows.Dict = []string{""}
	return r
}

// release forgets the file, and what callers may have kept views of: only
// strings of Dict outlive a call, and these are never written again.
func (r *reader) release() {
	r.file, r.footer, r.tail, r.runs = nil, nil, r.tail[:0], nil
	clear(r.codes)
	clear(r.rows.Dict[1:])
	r.rows.Dict = r.rows.Dict[:1]
	r.rows.Partition, r.rows.read = 0, 0
	for i := range r.needed {
		clearColumn(r.needed[i].at(&r.rows))
	}
	r.needed, r.wanted = r.needed[:0], r.wanted[:0]
}

// readFooter reads the footer, by one read where it is not longer than first.
func (r *reader) readFooter(first int64) (*footer, error) {
	size := r.file.Size()
	if size < int64(len(magic)+sumBytes+trailerSize) {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, errNoFooter)
	}
	if err := r.readTail(min(size, first)); err != nil {
		return nil, err
	}
	length, err := footerLength(r.tail[len(r.tail)-trailerSize:], size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if length > int64(len(r.tail)) {
		if err := r.readTail(length); err != nil {
			return nil, err
		}
	}
	return parseFooter(r.tail[len(r.tail)-int(length):], size)
}

func (r *reader) readTail(n int64) error {
	r.tail = resize(r.tail, int(n))
	return r.readAt(r.tail, r.file.Size()-n)
}

// readAt fills b. A disk or network that fails is not taken for a damaged file.
func (r *reader) readAt(b []byte, offset int64) error {
	n, err := r.file.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("%w: it ends at %d, within what should be read", ErrDamaged, offset+int64(n))
	}
	return err
}

// section reads a section in one go and answers for its CRC. The bytes are
// valid until the next call.
func (r *reader) section(s section) ([]byte, error) {
	b := r.inMemory(s)
	if b == nil {
		r.buffer = resize(r.buffer, s.length)
		b = r.buffer
		if err := r.readAt(b, s.offset); err != nil {
			return nil, err
		}
	}
	if err := s.verify(b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return b, nil
}

// recoverDamage turns a decoder's panic into an error. What it decodes has
// passed its CRC, so that this is a file that somebody else wrote in our form.
func recoverDamage(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: decode: %v", ErrDamaged, p)
	}
}
