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
// time, the newest first; forgetting drops a whole table. A repeat does not
// renew its id. It belongs to the goroutine that owns the partition.
type window struct {
	span   int64 // µs of log clock
	budget *idBudget
	tables []*idTable
}

// idBudget bounds the ids that all windows of a process remember together.
type idBudget struct {
	max  int64
	held atomic.Int64
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
	return false
}

func (w *window) remember(id eventID, tag uint8, clock int64) {
	if len(w.tables) == 0 || w.tables[0].used >= tableMaxIDs || clock-w.tables[0].first > w.span/tablesASpan {
		w.tables = append([]*idTable{newIDTable(clock)}, w.tables...)
		w.expire(clock)
	}
	w.tables[0].add(id, tag, clock)
	if w.budget.held.Add(1) > w.budget.max && len(w.tables) > 1 {
		w.drop(len(w.tables) - 1)
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
	if w.budget.held.Add(1) > w.budget.max && len(w.tables) > 1 {
		w.drop(len(w.tables) - 1)
	}
}

func (w *window) slot(clock int64) int64 { return clock / max(w.span/tablesASpan, 1) }

func (w *window) expire(clock int64) {
	for n := len(w.tables) - 1; n > 0 && w.tables[n].last < clock-w.span; n-- {
		w.drop(n)
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
}

// length is how far back, in µs of log clock, a repeat is recognised.
func (w *window) length(clock int64) int64 {
	if len(w.tables) == 0 {
		return 0
	}
	return clock - w.tables[len(w.tables)-1].first
}

func (w *window) ids() (n int) {
	for _, t := range w.tables {
		n += t.used
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
