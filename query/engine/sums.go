package engine

import (
	"errors"
	"math"
	"slices"

	"tallybook/schemas"
)

// sums are the numbers of a cell while it is folded.
type sums struct {
	count, valueCount, bytes int64
	quantity, value, amount  total
	rolled, scanned          extremes // of rollups and of the archive
	more                     *more
}

// more is what few questions ask for.
type more struct {
	distinct map[string]int64 // value → events, those of corrections taken off
	values   valueSet
	latest   schemas.Decimal
	latestAt moment
	hasValue bool
}

// moment orders events in time; those of one instant by their place in the log.
type moment struct {
	time, log, offset int64
	partition, row    int32
}

func (m moment) before(o moment) bool {
	a := [...]int64{m.time, m.log, int64(m.partition), m.offset, int64(m.row)}
	b := [...]int64{o.time, o.log, int64(o.partition), o.offset, int64(o.row)}
	return slices.Compare(a[:], b[:]) < 0
}

func (s *sums) rest() *more {
	if s.more == nil {
		s.more = &more{}
	}
	return s.more
}

// add adds rollup measures, or one event's, but for the extremes.
func (s *sums) add(m *schemas.Measures) error {
	return errors.Join(
		addInt(&s.count, m.Count), addInt(&s.valueCount, m.ValueCount), addInt(&s.bytes, m.Bytes),
		s.quantity.add(m.Quantity.Units, int64(m.Quantity.Nanos)),
		s.value.add(m.ValueSum.Units, int64(m.ValueSum.Nanos)),
		s.amount.add(m.Amount.Units, int64(m.Amount.Nanos)))
}

// extremes are a minimum and a maximum.
type extremes struct {
	least, greatest schemas.Decimal
	known           bool
}

func (x *extremes) add(least, greatest schemas.Decimal) {
	if !x.known || least.Cmp(x.least) < 0 {
		x.least = least
	}
	if !x.known || greatest.Cmp(x.greatest) > 0 {
		x.greatest = greatest
	}
	x.known = true
}

func (s *sums) fill(g *Group) (err error) {
	g.Count, g.ValueCount, g.Bytes = s.count, s.valueCount, s.bytes
	x := s.rolled
	if s.scanned.known {
		x.add(s.scanned.least, s.scanned.greatest)
	}
	g.ValueMin, g.ValueMax = x.least, x.greatest
	var errs [3]error
	g.Quantity, errs[0] = s.quantity.decimal()
	g.ValueSum, errs[1] = s.value.decimal()
	g.Amount, errs[2] = s.amount.decimal()
	if m := s.more; m != nil {
		for _, n := range m.distinct {
			if n > 0 {
				g.Distinct++
			}
		}
		g.HasLatest, g.Latest = m.hasValue, m.latest
		g.values = &m.values
	}
	return errors.Join(errs[:]...)
}

// valueSet is the values of events: from the archive how many events have
// each, from rollups how many fell into each bucket.
type valueSet struct {
	counts  map[schemas.Decimal]int64
	buckets map[schemas.Bucket]int64
	sorted  []schemas.Decimal // of counts, made when first asked for
	sketch  schemas.Sketch    // of both; nil where buckets is
	n       int64             // of counts
	bounds  extremes          // of the values, where the question needed Extremes
}

func (v *valueSet) add(d schemas.Decimal, n int64) (isNew bool) {
	if v.counts == nil {
		v.counts = map[schemas.Decimal]int64{}
	}
	had := len(v.counts)
	v.counts[d] += n
	v.n += n
	return len(v.counts) > had
}

func (v *valueSet) addSketch(s schemas.Sketch) {
	if v.buckets == nil {
		v.buckets = map[schemas.Bucket]int64{}
	}
	for _, c := range s {
		v.buckets[c.Bucket] += c.Count
	}
}

// Quantile is the least value that at least the share p of the group's values
// does not exceed (nearest rank); ok is false where it has no values or the
// question did not need Quantiles. Where it needed Extremes, it lies between
// them, however coarse the sketches are. It is for one goroutine.
func (g *Group) Quantile(p float64) (value schemas.Decimal, ok bool) {
	v := g.values
	switch {
	case v == nil:
		return value, false
	case v.buckets != nil:
		return v.about(p)
	}
	return v.exact(p)
}

func (v *valueSet) exact(p float64) (value schemas.Decimal, ok bool) {
	if v.n <= 0 {
		return value, false
	}
	if v.sorted == nil {
		for d, n := range v.counts {
			if n > 0 {
				v.sorted = append(v.sorted, d)
			}
		}
		slices.SortFunc(v.sorted, schemas.Decimal.Cmp)
	}
	rank := int64(math.Ceil(p * float64(v.n)))
	for _, d := range v.sorted {
		if rank -= v.counts[d]; rank <= 0 {
			return d, true
		}
	}
	return v.sorted[len(v.sorted)-1], true
}

func (v *valueSet) about(p float64) (value schemas.Decimal, ok bool) {
	if v.sketch == nil {
		var all []schemas.SketchCount
		for b, n := range v.buckets {
			all = append(all, schemas.SketchCount{Bucket: b, Count: n})
		}
		for d, n := range v.counts {
			all = append(all, schemas.SketchCount{Bucket: schemas.BucketOfDecimal(d), Count: n})
		}
		v.sketch = schemas.SketchOf(all)
	}
	f, ok := v.sketch.Quantile(p)
	if !ok {
		return value, false
	}
	value, err := schemas.DecimalOf(f)
	if x := &v.bounds; x.known && value.Cmp(x.least) < 0 {
		value = x.least
	} else if x.known && value.Cmp(x.greatest) > 0 {
		value = x.greatest
	}
	return value, err == nil
}
