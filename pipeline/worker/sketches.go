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
	account string
	hour    schemas.Hour
	id      schemas.SeriesID
	sketch  schemas.Sketch
}

// add takes the sketches of a table's cells, of which series[i] is that of cell i.
func (p *sketchPacker) add(cp *store.Checkpoint, c *cells, series []int32, values *sketchLog) {
	if len(values.entries) == 0 {
		return
	}
	low, starts := values.byCell(len(c.keys))
	counts := make([]schemas.SketchCount, 0, len(values.entries)) // of all sketches
	for i := range c.keys {
		first := len(counts)
		sketch := sketchOfEntries(counts[first:first:cap(counts)], low[starts[i]:starts[i+1]])
		counts = counts[:first+len(sketch)]
		if len(sketch) > 0 {
			s := &cp.Series[series[i]]
			p.items = append(p.items, sketchItem{s.Account, c.keys[i].hour, s.ID, sketch})
		}
	}
}

// appendTo writes the packs.
func (p *sketchPacker) appendTo(cp *store.Checkpoint) {
	slices.SortFunc(p.items, func(a, b sketchItem) int {
		return cmp.Or(cmp.Compare(a.account, b.account), cmp.Compare(a.hour, b.hour), bytes.Compare(a.id[:], b.id[:]))
	})
	for i := range p.items {
		item := &p.items[i]
		n := len(cp.Sketches)
		if n == 0 || cp.Sketches[n-1].Account != item.account || cp.Sketches[n-1].Hour != item.hour {
			cp.Sketches = append(cp.Sketches, store.SketchPack{Account: item.account, Hour: item.hour})
			n++
		}
		cp.Sketches[n-1].Pack = store.AppendSketch(cp.Sketches[n-1].Pack, item.id, item.sketch)
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
	packer.add(cp, l.cells, series, &l.values)
}
