package worker

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zeebo/xxh3"
)

// eventID is the 128-bit hash of (account, source, id), seeded with a secret
// of the installation so that nobody can make two ids meet on purpose.
type eventID [2]uint64

type idHasher struct {
	seed   uint64
	prefix [8]byte
	buf    []byte
}

func newIDHasher(secret [16]byte) *idHasher {
	return &idHasher{seed: binary.LittleEndian.Uint64(secret[:8]), prefix: [8]byte(secret[8:])}
}

func (h *idHasher) hash(account, source, id []byte) eventID {
	b := append(h.buf[:0], h.prefix[:]...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(account)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(source)))
	b = append(append(append(b, account...), source...), id...)
	h.buf = b
	sum := xxh3.Hash128Seed(b, h.seed)
	return eventID{sum.Lo, sum.Hi}
}

// window remembers the ids of accepted events: at least those of the last
// span of log clock, as far as the budget of ids allows. Ids sit in tables by
// time, the newest first, and past what memory may hold in files; forgetting
// drops a whole table or file. A repeat does not renew its id. It belongs to the
// goroutine that owns the partition.
type window struct {
	span   int64 // µs of log clock
	budget *idBudget
	tables []*idTable
	files  []*idFile // the newest first; older than the tables but for what is recalled
	err    error     // a file that could not be read: what was asked since may be a repeat
}

// idBudget bounds the ids that all windows of a process remember together.
type idBudget struct {
	max  int64 // in memory
	held atomic.Int64

	folder   string // of files; "": what memory may not hold is forgotten
	maxFiles int64  // ids in files
	inFiles  atomic.Int64
	spills   func(error) // told of each file that could not be written
}

const (
	tableMaxIDs  = 1 << 20
	tableMinSize = 1 << 12
	tablesASpan  = 8 // a table is dropped when all of it is past the span
)

func newWindow(span time.Duration, budget *idBudget) *window {
	return &window{span: span.Microseconds(), budget: budget}
}

// seen reports whether the id is known; a new one is remembered at clock.
func (w *window) seen(id eventID, clock int64) bool {
	if w.has(id) {
		return true
	}
	w.remember(id, idTag(id), clock)
	return false
}

// has reports whether the id is known.
func (w *window) has(id eventID) bool {
	tag := idTag(id)
	for _, t := range w.tables {
		if t.has(id, tag) {
			return true
		}
	}
	for _, f := range w.files {
		found, _, err := f.has(id)
		if err != nil {
			w.err = err
		}
		if found {
			return true
		}
	}
	return false
}

func (w *window) remember(id eventID, tag uint8, clock int64) {
	if len(w.tables) == 0 || w.tables[0].used >= tableMaxIDs || clock-w.tables[0].first > w.span/tablesASpan {
		w.tables = append([]*idTable{newIDTable(clock)}, w.tables...)
		w.expire(clock)
	}
	w.tables[0].add(id, tag, clock)
	if w.budget.held.Add(1) > w.budget.max {
		w.relieve()
	}
}

// recall remembers an id at any clock of the past: they come in the order of
// files. It goes into a table of its own slot of time, so that tables can still be
// dropped as a whole.
func (w *window) recall(id eventID, tag uint8, clock int64) {
	slot := w.slot(clock)
	n := 0
	for n < len(w.tables) && w.slot(w.tables[n].first) > slot {
		n++
	}
	if n == len(w.tables) || w.slot(w.tables[n].first) != slot || w.tables[n].used >= tableMaxIDs {
		w.tables = slices.Insert(w.tables, n, newIDTable(clock))
	}
	w.tables[n].add(id, tag, clock)
	if w.budget.held.Add(1) > w.budget.max {
		w.relieve()
	}
}

func (w *window) slot(clock int64) int64 { return clock / max(w.span/tablesASpan, 1) }

// minSpill ids at least go into a file: with many partitions at the limit each
// keeps that many in memory, past the limit if need be.
const minSpill = tableMinSize

// relieve takes ids out of memory: the largest table into a file, or the oldest
// ids out of the window.
func (w *window) relieve() {
	if w.budget.folder == "" {
		w.forgetOldest()
		return
	}
	largest := 0
	for i, t := range w.tables {
		if t.used >= w.tables[largest].used {
			largest = i
		}
	}
	t := w.tables[largest]
	if t.used < minSpill || largest == 0 && t.used < int(min(w.budget.max/4, tableMaxIDs)) {
		return
	}
	f, err := spillTable(w.budget.folder, t, w.slot(t.first))
	if err != nil { // the disk is full: the window is shorter, as its metric shows
		w.budget.spills(err)
		w.forgetOldest()
		return
	}
	w.drop(largest)
	w.addFile(f)
}

// forgetOldest leaves the newest table, which has the ids of the batch.
func (w *window) forgetOldest() {
	if len(w.tables) > 1 {
		w.drop(len(w.tables) - 1)
	}
}

// addFile puts a file into its place and merges it with others of its slot, as
// long as they are not much larger: so an id is rewritten a few times, and a slot
// has a few files.
func (w *window) addFile(f *idFile) {
	n := 0
	for n < len(w.files) && w.files[n].slot > f.slot {
		n++
	}
	for n < len(w.files) && w.files[n].slot == f.slot && w.files[n].n <= 2*f.n {
		merged, err := mergeFiles(w.budget.folder, f, w.files[n])
		if err != nil {
			w.budget.spills(err)
			break // they stay two
		}
		f.close()
		w.budget.inFiles.Add(-int64(w.files[n].n))
		w.files[n].close()
		w.files = slices.Delete(w.files, n, n+1)
		f = merged
	}
	w.files = slices.Insert(w.files, n, f)
	w.budget.inFiles.Add(int64(f.n))
	for w.budget.inFiles.Load() > w.budget.maxFiles && len(w.files) > 0 {
		w.dropFile(len(w.files) - 1)
	}
}

func (w *window) dropFile(n int) {
	w.budget.inFiles.Add(-int64(w.files[n].n))
	w.files[n].close()
	w.files = slices.Delete(w.files, n, n+1)
}

func (w *window) expire(clock int64) {
	for n := len(w.tables) - 1; n > 0 && w.tables[n].last < clock-w.span; n-- {
		w.drop(n)
	}
	for n := len(w.files) - 1; n >= 0 && w.files[n].last < clock-w.span; n-- {
		w.dropFile(n)
	}
}

func (w *window) drop(n int) {
	w.budget.held.Add(-int64(w.tables[n].used))
	w.tables = append(w.tables[:n], w.tables[n+1:]...)
}

// close gives the window's share of the budget back.
func (w *window) close() {
	for len(w.tables) > 0 {
		w.drop(len(w.tables) - 1)
	}
	for len(w.files) > 0 {
		w.dropFile(len(w.files) - 1)
	}
}

// length is how far back, in µs of log clock, a repeat is recognised.
func (w *window) length(clock int64) int64 {
	first := clock
	for _, t := range w.tables {
		first = min(first, t.first)
	}
	for _, f := range w.files {
		first = min(first, f.first)
	}
	return clock - first
}

func (w *window) ids() (n int) {
	for _, t := range w.tables {
		n += t.used
	}
	for _, f := range w.files {
		n += f.n
	}
	return n
}

// idTable is an open-addressing set. A byte of each id is kept apart, so that
// a miss, the usual answer, touches one cache line.
type idTable struct {
	first, last int64 // log clock of its ids
	used        int
	tags        []uint8 // 0: empty
	ids         []eventID
}

func newIDTable(clock int64) *idTable {
	return &idTable{first: clock, last: clock, tags: make([]uint8, tableMinSize), ids: make([]eventID, tableMinSize)}
}

func idTag(id eventID) uint8 { return uint8(id[1]>>56) | 1 }

func (t *idTable) has(id eventID, tag uint8) bool {
	mask := uint64(len(t.tags) - 1)
	for i := id[0] & mask; t.tags[i] != 0; i = (i + 1) & mask {
		if t.tags[i] == tag && t.ids[i] == id {
			return true
		}
	}
	return false
}

func (t *idTable) add(id eventID, tag uint8, clock int64) {
	if 4*(t.used+1) > 3*len(t.tags) {
		t.grow()
	}
	t.put(id, tag)
	t.used++
	t.first, t.last = min(t.first, clock), max(t.last, clock)
}

func (t *idTable) put(id eventID, tag uint8) {
	mask := uint64(len(t.tags) - 1)
	i := id[0] & mask
	for t.tags[i] != 0 {
		i = (i + 1) & mask
	}
	t.tags[i], t.ids[i] = tag, id
}

func (t *idTable) grow() {
	tags, ids := t.tags, t.ids
	t.tags, t.ids = make([]uint8, 2*len(tags)), make([]eventID, 2*len(ids))
	for i, tag := range tags {
		if tag != 0 {
			t.put(ids[i], tag)
		}
	}
}
