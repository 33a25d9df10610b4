package engine

import (
	"cmp"
	"encoding/binary"
	"slices"

	"tallybook/schemas"
)

// cellKey names a cell: a window (its start, or the number of its labels) and
// a set of names.
type cellKey struct {
	window int64
	names  int32
}

// cell is a group while it is folded.
type cell struct {
	span
	names int32
	sums  sums
}

// table collects the groups of one question. It is used by one goroutine.
type table struct {
	q      *Question
	limit  int
	share  *share
	shared int // cells that the share was asked for
	names  [][]string
	byName map[string]int32
	cells  []cell
	byKey  map[cellKey]int32

	windows *windows
	labels  map[string]int64
	texts   []string // of labels, by number
	key     []byte
}

func newTable(q *Question, limit int, s *share) *table {
	if q.MaxGroups > 0 {
		limit = q.MaxGroups
	}
	return &table{q: q, limit: limit, share: s, shared: groupsAtOnce, byName: map[string]int32{}, byKey: map[cellKey]int32{},
		windows: newWindows(q.Window.Size, q.Window.zone()), labels: map[string]int64{}}
}

// group numbers a set of names.
func (t *table) group(names []string) int32 {
	t.key = t.key[:0]
	for _, n := range names {
		t.key = binary.AppendUvarint(t.key, uint64(len(n)))
		t.key = append(t.key, n...)
	}
	n, ok := t.byName[string(t.key)]
	if !ok {
		n = int32(len(t.names))
		t.names = append(t.names, slices.Clone(names))
		t.byName[string(t.key)] = n
	}
	return n
}

// place is where the events of a window go.
type place struct {
	span        // that the group shows
	window span // that the instant is in
	key    int64
	keep   bool
}

// at is the place of an instant.
func (t *table) at(micros int64) place {
	if t.q.Window.Size == "" {
		all := span{t.q.From, t.q.To}
		return place{span: all, window: all, keep: true}
	}
	s := t.windows.of(micros)
	p := place{span: s, window: s, key: s.start, keep: true}
	start := timeOf(s.start).In(t.q.Window.zone())
	if keep := t.q.Window.Keep; keep != nil && !keep(start) {
		p.keep = false
		return p
	}
	if labels := t.q.Window.Labels; len(labels) > 0 {
		t.key = t.key[:0]
		for _, label := range labels {
			t.key = append(append(t.key, label(start)...), 0)
		}
		n, ok := t.labels[string(t.key)]
		if !ok {
			n = int64(len(t.texts))
			t.texts = append(t.texts, string(t.key))
			t.labels[t.texts[n]] = n
		}
		p.key, p.span = n, span{t.q.From, t.q.To}
	}
	return p
}

// cell finds or makes the cell of a place and names.
func (t *table) cell(p *place, names int32) (int32, error) {
	key := cellKey{p.key, names}
	n, ok := t.byKey[key]
	if ok {
		return n, nil
	}
	if len(t.cells) >= t.limit {
		return 0, tooMuch("the answer has more than %d rows; ask for a shorter range, larger windows or fewer groups", t.limit)
	}
	if len(t.cells) == t.shared {
		if err := t.share.take(groupsAtOnce); err != nil {
			return 0, err
		}
		t.shared += groupsAtOnce
	}
	n = int32(len(t.cells))
	t.cells = append(t.cells, cell{span: p.span, names: names})
	t.byKey[key] = n
	return n, nil
}

// groups are the groups of events that are left when corrections are taken
// off, by window and names.
func (t *table) groups() ([]*Group, error) {
	all := make([]Group, 0, len(t.cells))
	labels := make(map[int32]string, len(t.cells))
	if len(t.q.Window.Labels) > 0 {
		for key, n := range t.byKey {
			labels[n] = t.texts[key.window]
		}
	}
	for i := range t.cells {
		c := &t.cells[i]
		if c.sums.count == 0 {
			continue
		}
		g := Group{Start: c.start, End: c.end, Names: t.names[c.names]}
		if text, ok := labels[int32(i)]; ok {
			g.Names = slices.Concat(g.Names, splitLabels(text))
		}
		if err := c.sums.fill(&g); err != nil {
			return nil, err
		}
		if t.q.Need&Extremes != 0 && g.values != nil {
			g.values.bounds = extremes{g.ValueMin, g.ValueMax, g.ValueCount > 0}
		}
		all = append(all, g)
	}
	list := make([]*Group, len(all))
	for i := range all {
		list[i] = &all[i]
	}
	slices.SortFunc(list, func(a, b *Group) int {
		return cmp.Or(cmp.Compare(a.Start, b.Start), slices.Compare(a.Names, b.Names))
	})
	return list, nil
}

func splitLabels(text string) (labels []string) {
	for start, i := 0, 0; i < len(text); i++ {
		if text[i] == 0 {
			labels = append(labels, text[start:i])
			start = i + 1
		}
	}
	return labels
}

// total is a sum of decimals that may pass 64 bits of nanos on the way:
// units + nanos/10^9, nanos not yet carried.
type total struct{ units, nanos int64 }

// carryAt bounds nanos between carries.
const carryAt = 1 << 62

func (t *total) add(units, nanos int64) error {
	if !t.addUnits(units, nanos) {
		return schemas.ErrOverflow
	}
	return nil
}

// addUnits reports whether the sum fits.
func (t *total) addUnits(units, nanos int64) bool {
	if !addTo(&t.units, units) {
		return false
	}
	t.nanos += nanos
	return t.nanos < carryAt && t.nanos > -carryAt || t.carry() == nil
}

func (t *total) carry() error {
	units := floor(t.nanos, 1e9) / 1e9
	t.nanos -= units * 1e9
	if !addTo(&t.units, units) {
		return schemas.ErrOverflow
	}
	return nil
}

func (t total) decimal() (schemas.Decimal, error) {
	err := t.carry()
	return schemas.Decimal{Units: t.units, Nanos: int32(t.nanos)}, err
}

func addInt(to *int64, n int64) error {
	if !addTo(to, n) {
		return schemas.ErrOverflow
	}
	return nil
}

// addTo reports whether the sum fits 64 bits.
func addTo(to *int64, n int64) bool {
	sum := *to + n
	fits := (n >= 0) == (sum >= *to)
	*to = sum
	return fits
}
