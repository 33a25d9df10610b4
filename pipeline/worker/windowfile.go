package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"slices"
	"sort"
)

// idFile is an immutable set of ids on disk: sorted, 16 bytes each. In memory it
// has a filter of 12 bits an id, which tells most ids that are not in it without
// a look, and the first id of each block; a look is one read of a block, and
// exact. The file has no name: it goes with the process, and the archive has
// what is in it.
type idFile struct {
	f           *os.File
	slot        int64 // of time, which the window names
	first, last int64 // log clock of its ids
	n           int
	filter      idFilter
	index       []uint64 // id[0] of the first id of each block
}

const (
	idBytes  = 16
	blockIDs = 256 // 4 KiB
)

// idFilter is a bloom filter of blocks of 512 bits, a cache line: an id is seven
// bits of one block. About 1 of 200 ids that are not in it seem to be.
type idFilter []uint64

const (
	filterBits  = 12 // an id
	filterWords = 8  // a block
	filterMarks = 7  // bits set for an id, of 9 bits of it each
)

func newIDFilter(n int) idFilter { return make(idFilter, (n*filterBits/512+1)*filterWords) }

func (f idFilter) block(id eventID) []uint64 {
	hi, _ := bits.Mul64(id[1], uint64(len(f)/filterWords))
	return f[hi*filterWords:][:filterWords]
}

func (f idFilter) add(id eventID) {
	block, marks := f.block(id), id[0]
	for range filterMarks {
		block[marks>>6&7] |= 1 << (marks & 63)
		marks >>= 9
	}
}

func (f idFilter) mayHave(id eventID) bool {
	block, marks := f.block(id), id[0]
	for range filterMarks {
		if block[marks>>6&7]&(1<<(marks&63)) == 0 {
			return false
		}
		marks >>= 9
	}
	return true
}

func compareIDs(a, b eventID) int {
	for i := range a {
		if a[i] != b[i] {
			if a[i] < b[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// spillTable writes the ids of a table into a file of folder.
func spillTable(folder string, t *idTable, slot int64) (*idFile, error) {
	ids := make([]eventID, 0, t.used)
	for i, tag := range t.tags {
		if tag != 0 {
			ids = append(ids, t.ids[i])
		}
	}
	slices.SortFunc(ids, compareIDs)
	out, err := newIDFileWriter(folder, len(ids))
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		out.add(id)
	}
	return out.finish(idFile{slot: slot, first: t.first, last: t.last})
}

// mergeFiles makes one file of two, which stay as they are.
func mergeFiles(folder string, a, b *idFile) (*idFile, error) {
	out, err := newIDFileWriter(folder, a.n+b.n)
	if err != nil {
		return nil, err
	}
	left, right := a.ids(), b.ids()
	for !left.ended() && !right.ended() {
		if compareIDs(left.id, right.id) <= 0 {
			out.add(left.id)
			left.next()
		} else {
			out.add(right.id)
			right.next()
		}
	}
	for ; !left.ended(); left.next() {
		out.add(left.id)
	}
	for ; !right.ended(); right.next() {
		out.add(right.id)
	}
	out.err = errors.Join(out.err, left.err, right.err)
	return out.finish(idFile{slot: a.slot, first: min(a.first, b.first), last: max(a.last, b.last)})
}

// idFileWriter takes ids in their order.
type idFileWriter struct {
	file idFile
	out  *bufio.Writer
	err  error
}

func newIDFileWriter(folder string, n int) (*idFileWriter, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("dedupe file: %w", err)
	}
	f, err := os.CreateTemp(folder, "ids-*")
	if err == nil {
		err = os.Remove(f.Name()) // a process that is killed leaves nothing
	}
	if err != nil {
		return nil, fmt.Errorf("dedupe file: %w", err)
	}
	return &idFileWriter{file: idFile{f: f, filter: newIDFilter(n)}, out: bufio.NewWriterSize(f, 1<<20)}, nil
}

func (w *idFileWriter) add(id eventID) {
	if w.file.n%blockIDs == 0 {
		w.file.index = append(w.file.index, id[0])
	}
	w.file.n++
	w.file.filter.add(id)
	var b [idBytes]byte
	binary.LittleEndian.PutUint64(b[:], id[0])
	binary.LittleEndian.PutUint64(b[8:], id[1])
	if w.err == nil {
		_, w.err = w.out.Write(b[:])
	}
}

func (w *idFileWriter) finish(what idFile) (*idFile, error) {
	if err := errors.Join(w.err, w.out.Flush()); err != nil {
		w.file.f.Close()
		return nil, fmt.Errorf("dedupe file of %d ids: %w", w.file.n, err)
	}
	what.f, what.n, what.filter, what.index = w.file.f, w.file.n, w.file.filter, w.file.index
	return &what, nil
}

// idCursor reads a file's ids in their order.
type idCursor struct {
	in   *bufio.Reader
	left int
	id   eventID
	err  error
}

func (f *idFile) ids() *idCursor {
	c := &idCursor{in: bufio.NewReaderSize(io.NewSectionReader(f.f, 0, int64(f.n)*idBytes), 1<<20), left: f.n + 1}
	c.next()
	return c
}

func (c *idCursor) ended() bool { return c.left == 0 || c.err != nil }

func (c *idCursor) next() {
	if c.left--; c.left == 0 {
		return
	}
	var b [idBytes]byte
	_, c.err = io.ReadFull(c.in, b[:])
	c.id = eventID{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

// has looks the id up; looked tells whether the filter could not answer.
func (f *idFile) has(id eventID) (found, looked bool, err error) {
	if !f.filter.mayHave(id) {
		return false, false, nil
	}
	// The last block that begins below id[0], and those that begin with it.
	block := max(0, sort.Search(len(f.index), func(i int) bool { return f.index[i] >= id[0] })-1)
	var b [blockIDs * idBytes]byte
	for ; block < len(f.index) && f.index[block] <= id[0]; block++ {
		n, err := f.f.ReadAt(b[:min(blockIDs, f.n-block*blockIDs)*idBytes], int64(block)*blockIDs*idBytes)
		if err != nil {
			return false, true, fmt.Errorf("dedupe file: %w", err)
		}
		at := sort.Search(n/idBytes, func(i int) bool { return compareIDs(idAt(b[:], i), id) >= 0 })
		if at < n/idBytes && idAt(b[:], at) == id {
			return true, true, nil
		}
	}
	return false, true, nil
}

func idAt(b []byte, i int) eventID {
	b = b[i*idBytes:]
	return eventID{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
}

func (f *idFile) close() { f.f.Close() }
