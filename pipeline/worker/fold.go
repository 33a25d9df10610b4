package worker

import (
	"math/bits"
	"slices"
	"strconv"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

const maxDims = 6 // of a family

// cellKey names a series in an hour by the interner's codes.
type cellKey struct {
	account archive.Code
	hour    schemas.Hour
	dims    [maxDims]archive.Code
}

func (k *cellKey) hash() uint64 {
	const m = 0x9E3779B97F4A7C15
	h := (uint64(k.account)<<32 | uint64(uint32(k.hour))) * m
	for i := 0; i < maxDims; i += 2 {
		h ^= uint64(k.dims[i])<<32 | uint64(k.dims[i+1])
		hi, lo := bits.Mul64(h, m)
		h = hi ^ lo
	}
	return h
}

// cells fold events of one family into series and hours. Sums stay within
// 64 bits: a batch has fewer than 9 million events of less than 10^12 each.
type cells struct {
	family *schemas.Family
	slots  []uint32 // index+1 into keys
	keys   []cellKey
	sums   []schemas.Measures
	stale  map[cellKey]bool // whose extremes lost a value; nil: none
	hit    int              // the cell that at gave last
}

func newCells(family *schemas.Family) *cells {
	return &cells{family: family, slots: make([]uint32, 1<<12)}
}

func (c *cells) reset() {
	clear(c.slots)
	c.keys, c.sums = c.keys[:0], c.sums[:0]
	c.stale = nil
}

// at is the sums of a key; the pointer is good until the next call.
func (c *cells) at(k *cellKey) *schemas.Measures {
	c.hit = c.index(k)
	if c.hit == len(c.sums) {
		c.sums = append(c.sums, schemas.Measures{})
	}
	return &c.sums[c.hit]
}

// index is the place of a key, which is made where there is none.
func (c *cells) index(k *cellKey) int {
	mask := uint64(len(c.slots) - 1)
	for i := k.hash() & mask; ; i = (i + 1) & mask {
		n := c.slots[i]
		if n == 0 {
			c.keys = append(c.keys, *k)
			c.slots[i] = uint32(len(c.keys))
			if 2*len(c.keys) > len(c.slots) {
				c.grow()
			}
			return len(c.keys) - 1
		}
		if c.keys[n-1] == *k {
			return int(n - 1)
		}
	}
}

func (c *cells) grow() {
	c.slots = make([]uint32, 2*len(c.slots))
	mask := uint64(len(c.slots) - 1)
	for n := range c.keys {
		i := c.keys[n].hash() & mask
		for c.slots[i] != 0 {
			i = (i + 1) & mask
		}
		c.slots[i] = uint32(n + 1)
	}
}

// addEvent folds one event's numbers. Where more values were taken away than
// added, the extremes begin anew: the row is stale by then, and all that is
// asked of them is to be there while ValueCount > 0.
func addEvent(m *schemas.Measures, ev *schemas.Event) {
	m.Count++
	if ev.HasQuantity {
		m.Quantity = plus(m.Quantity, ev.Quantity)
	}
	if ev.HasLatency {
		if m.ValueCount <= 0 || ev.Latency.Cmp(m.ValueMin) < 0 {
			m.ValueMin = ev.Latency
		}
		if m.ValueCount <= 0 || ev.Latency.Cmp(m.ValueMax) > 0 {
			m.ValueMax = ev.Latency
		}
		m.ValueCount++
		m.ValueSum = plus(m.ValueSum, ev.Latency)
	}
	if ev.HasBytes {
		m.Bytes += ev.Bytes
	}
	if ev.HasAmount {
		m.Amount = plus(m.Amount, ev.Amount)
	}
}

// retract takes away what addEvent added. Least and greatest cannot be taken
// away: where the event had a value, they are stale.
func (c *cells) retract(k *cellKey, ev *schemas.Event) {
	m := c.at(k)
	m.Count--
	if ev.HasQuantity {
		m.Quantity = plus(m.Quantity, ev.Quantity.Neg())
	}
	if ev.HasLatency {
		m.ValueCount--
		m.ValueSum = plus(m.ValueSum, ev.Latency.Neg())
		c.markStale(k)
	}
	if ev.HasBytes {
		m.Bytes -= ev.Bytes
	}
	if ev.HasAmount {
		m.Amount = plus(m.Amount, ev.Amount.Neg())
	}
}

func (c *cells) markStale(k *cellKey) {
	if c.stale == nil {
		c.stale = map[cellKey]bool{}
	}
	c.stale[*k] = true
}

// plus adds two decimals whose sum is known to fit.
func plus(a, b schemas.Decimal) schemas.Decimal {
	a.Units += b.Units
	if a.Nanos += b.Nanos; a.Nanos >= 1_000_000_000 {
		a.Nanos -= 1_000_000_000
		a.Units++
	}
	return a
}

// appendTo writes the cells as a checkpoint's series and deltas.
func (c *cells) appendTo(cp *store.Checkpoint, strings []string) {
	text := func(code archive.Code) string {
		if code == 0 {
			return ""
		}
		return strings[code]
	}
	known := make(map[schemas.SeriesID]int, len(c.keys))
	n := len(c.family.Dims)
	dims := make([]string, 0, len(c.keys)*n) // of all series
	cp.Series = slices.Grow(cp.Series, len(c.keys))
	cp.Deltas = slices.Grow(cp.Deltas, len(c.keys))
	for i := range c.keys {
		k := &c.keys[i]
		first := len(dims)
		for d := range n {
			dims = append(dims, text(k.dims[d]))
		}
		account := text(k.account)
		id := schemas.MakeSeriesID(c.family.Name, account, dims[first:])
		at, ok := known[id]
		if ok {
			dims = dims[:first] // the series is there, of another hour
		} else {
			at = len(cp.Series)
			known[id] = at
			cp.Series = append(cp.Series, schemas.Series{ID: id, Account: account, Family: c.family.Name,
				Dims: dims[first:len(dims):len(dims)]})
		}
		cp.Deltas = append(cp.Deltas, store.Delta{Hour: k.hour, Series: at, Measures: c.sums[i], Stale: c.stale[*k]})
	}
}

// dimReader gives the codes of a family's dimensions in an event.
type dimReader struct {
	intern *interner
	status [1000]archive.Code // of the decimal text of a status
	last   [schemas.NumFields]lastSeen
	source lastSeen
	kind   lastSeen // the event's type
}

func (d *dimReader) field(ev *schemas.Event, f schemas.Field) archive.Code {
	if !ev.Present.Has(f) || len(ev.Strings[f]) == 0 {
		return 0
	}
	return d.last[f].of(d.intern, ev.Strings[f])
}

func (d *dimReader) statusCode(ev *schemas.Event) archive.Code {
	if !ev.HasStatus {
		return 0
	}
	if ev.Status < 0 || int(ev.Status) >= len(d.status) {
		return d.intern.code(strconv.AppendInt(nil, int64(ev.Status), 10))
	}
	if c := d.status[ev.Status]; c != 0 {
		return c
	}
	c := d.intern.code(strconv.AppendInt(nil, int64(ev.Status), 10))
	d.status[ev.Status] = c
	return c
}
