package worker

import (
	"bytes"
	"cmp"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// sketchLog collects the values of a table's cells as they come, a word each:
// adding is all that the hot path pays. They are sorted when the batch is
// written, beside the folding of the next.
type sketchLog struct {
	entries []uint64 // cell<<32 | (bucket+bucketBias)<<1 | taken back
}

const bucketBias = 1 << 20 // makes every bucket positive

func (l *sketchLog) reset() { l.entries = l.entries[:0] }

func (l *sketchLog) add(cell int, b schemas.Bucket, sign int64) {
	e := uint64(cell)<<32 | uint64(b+bucketBias)<<1
	if sign < 0 {
		e |= 1
	}
	l.entries = append(l.entries, e)
}

// byCell sorts the entries of n cells: those of cell i are low[starts[i]:starts[i+1]],
// in the order of their buckets.
func (l *sketchLog) byCell(n int) (low []uint32, starts []int32) {
	starts = make([]int32, n+1)
	for _, e := range l.entries {
		starts[e>>32+1]++
	}
	for i := range n {
		starts[i+1] += starts[i]
	}
	low = make([]uint32, len(l.entries))
	next := slices.Clone(starts)
	for _, e := range l.entries {
		low[next[e>>32]] = uint32(e)
		next[e>>32]++
	}
	for i := range n {
		slices.Sort(low[starts[i]:starts[i+1]])
	}
	return low, starts
}

// sketchOfEntries counts sorted entries.
func sketchOfEntries(to schemas.Sketch, low []uint32) schemas.Sketch {
	for _, e := range low {
		bucket, count := schemas.Bucket(e>>1)-bucketBias, 1-2*int64(e&1)
		if n := len(to); n == 0 || to[n-1].Bucket != bucket {
			to = append(to, schemas.SketchCount{Bucket: bucket, Count: count})
		} else {
			to[n-1].Count += count
		}
	}
	return slices.DeleteFunc(to, func(c schemas.SketchCount) bool { return c.Count == 0 })
}

// sketchPacker gathers the sketches of a batch into one pack for each account
// and hour.
type sketchPacker struct {
	items []sketchItem
}

type sketchItem struct {
	series int32 // of the checkpoint
	hour   schemas.Hour
	sketch schemas.Sketch
}

// add takes the sketches of a table's cells, of which series[i] is that of cell i.
func (p *sketchPacker) add(c *cells, series []int32, values *sketchLog) {
	if len(values.entries) == 0 {
		return
	}
	low, starts := values.byCell(len(c.keys))
	counts := make([]schemas.SketchCount, 0, len(values.entries)) // of all sketches
	p.items = slices.Grow(p.items, len(c.keys))
	for i := range c.keys {
		first := len(counts)
		sketch := sketchOfEntries(counts[first:first:cap(counts)], low[starts[i]:starts[i+1]])
		counts = counts[:first+len(sketch)]
		if len(sketch) > 0 {
			p.items = append(p.items, sketchItem{series[i], c.keys[i].hour, sketch})
		}
	}
}

// appendTo writes the packs. The series are ranked first, so that the items
// compare as integers.
func (p *sketchPacker) appendTo(cp *store.Checkpoint) {
	if len(p.items) == 0 {
		return
	}
	accounts, ranks := make([]int32, len(cp.Series)), make([]int32, len(cp.Series))
	var order []int32 // series that have a sketch
	for i := range p.items {
		if at := p.items[i].series; ranks[at] == 0 {
			ranks[at] = 1
			order = append(order, at)
		}
	}
	slices.SortFunc(order, func(a, b int32) int {
		x, y := &cp.Series[a], &cp.Series[b]
		return cmp.Or(cmp.Compare(x.Account, y.Account), bytes.Compare(x.ID[:], y.ID[:]))
	})
	account := int32(0)
	for r, i := range order {
		if r > 0 && cp.Series[order[r-1]].Account != cp.Series[i].Account {
			account++
		}
		accounts[i], ranks[i] = account, int32(r)
	}
	slices.SortFunc(p.items, func(a, b sketchItem) int {
		return cmp.Or(cmp.Compare(accounts[a.series], accounts[b.series]), cmp.Compare(a.hour, b.hour),
			cmp.Compare(ranks[a.series], ranks[b.series]))
	})
	var last *sketchItem
	for i := range p.items {
		item := &p.items[i]
		if last == nil || accounts[last.series] != accounts[item.series] || last.hour != item.hour {
			cp.Sketches = append(cp.Sketches, store.SketchPack{Account: cp.Series[item.series].Account, Hour: item.hour})
		}
		pack := &cp.Sketches[len(cp.Sketches)-1]
		pack.Pack = store.AppendSketch(pack.Pack, cp.Series[item.series].ID, item.sketch)
		last = item
	}
}

// latencies are the sketches of FamilyLatency, whose series are made of some of
// the dimensions of a request's cell.
type latencies struct {
	cells  *cells
	of     []int32 // by the cell of the request: 1 + the cell here; 0: not looked up yet
	values sketchLog
}

func newLatencies() *latencies { return &latencies{cells: newCells(schemas.FamilyLatency)} }

func (l *latencies) reset() {
	l.cells.reset()
	l.of = l.of[:0]
	l.values.reset()
}

// add folds the latency of an event of a request's cell.
func (l *latencies) add(cell int, key *cellKey, ms float64, sign int64) {
	for len(l.of) <= cell {
		l.of = append(l.of, 0)
	}
	at := l.of[cell]
	if at == 0 { // api, version and endpoint lead the dimensions of both families
		at = 1 + int32(l.cells.index(&cellKey{account: key.account, hour: key.hour,
			dims: [maxDims]archive.Code{key.dims[0], key.dims[1], key.dims[2]}}))
		l.of[cell] = at
	}
	l.values.add(int(at)-1, schemas.BucketOf(ms), sign)
}

func (l *latencies) appendTo(cp *store.Checkpoint, packer *sketchPacker, strings []string) {
	if len(l.cells.keys) == 0 {
		return
	}
	series := appendSeries(cp, l.cells, func(k *cellKey, dims []string) []string {
		for d := range l.cells.family.Dims {
			text := ""
			if code := k.dims[d]; code != 0 {
				text = strings[code]
			}
			dims = append(dims, text)
		}
		return dims
	}, strings)
	packer.add(l.cells, series, &l.values)
}
