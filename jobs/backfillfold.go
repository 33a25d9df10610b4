package jobs

import (
	"bytes"
	"cmp"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// meterFold folds archive rows into a declared meter's series and hours. Its
// memory is bounded by those of one unit, about 300 bytes each.
type meterFold struct {
	meter   *schemas.Meter
	extract *archive.Extractor
	rows    int64 // folded

	series   []schemas.Series
	bySeries map[schemas.SeriesID]int
	deltas   []store.Delta
	byCell   map[cell]int
	sketches [][]schemas.SketchCount // by delta; of a PERCENTILE meter
	dims     []string
}

func newMeterFold(m *schemas.Meter) *meterFold {
	return &meterFold{meter: m, extract: archive.NewExtractor(m), bySeries: map[schemas.SeriesID]int{}, byCell: map[cell]int{}}
}

// add folds the rows with an offset below before.
func (f *meterFold) add(rows *archive.Rows, before int64) error {
	for i := range rows.Len() {
		if rows.Offset[i] >= before || !f.extract.Matches(rows, i) {
			continue
		}
		f.rows++
		sign := int64(1)
		if len(rows.Sign) > 0 {
			sign = int64(rows.Sign[i])
		}
		n := f.delta(rows, i)
		d := &f.deltas[n]
		v := f.extract.Value(rows, i)
		if err := d.AddValue(v, sign); err != nil {
			return err
		}
		d.Stale = d.Stale || v.Has && sign < 0
		if v.Has && f.meter.Aggregation == schemas.Percentile {
			f.sketches[n] = addCount(f.sketches[n], schemas.SketchCount{Bucket: schemas.BucketOfDecimal(v.Number), Count: sign})
		}
	}
	return nil
}

// addCount keeps what is collected near the size of its sketch.
func addCount(counts []schemas.SketchCount, c schemas.SketchCount) []schemas.SketchCount {
	if len(counts) == cap(counts) && len(counts) > 64 {
		if counts = schemas.SketchOf(counts); len(counts) > cap(counts)/2 {
			counts = slices.Grow(counts, cap(counts))
		}
	}
	return append(counts, c)
}

// delta is the place of the row's series and hour.
func (f *meterFold) delta(rows *archive.Rows, i int) int {
	f.dims = f.extract.AppendDims(f.dims[:0], rows, i)
	account := rows.String(rows.Account[i])
	key := cell{schemas.HourOf(rows.Time[i]), schemas.MakeSeriesID(f.meter.Family.Name, account, f.dims)}
	if n, ok := f.byCell[key]; ok {
		return n
	}
	s, ok := f.bySeries[key.series]
	if !ok {
		s = len(f.series)
		f.bySeries[key.series] = s
		f.series = append(f.series, schemas.Series{ID: key.series, Account: account, Family: f.meter.Family.Name, Dims: slices.Clone(f.dims)})
	}
	n := len(f.deltas)
	f.byCell[key] = n
	f.deltas = append(f.deltas, store.Delta{Hour: key.hour, Series: s})
	f.sketches = append(f.sketches, nil)
	return n
}

// fill is what the store is to write.
func (f *meterFold) fill(unit store.MeterUnit) store.MeterFill {
	fill := store.MeterFill{Meter: f.meter, Unit: unit, Rows: f.rows, Series: f.series, Deltas: f.deltas}
	order := make([]int, 0, len(f.deltas))
	for n := range f.deltas {
		if f.sketches[n] = schemas.SketchOf(f.sketches[n]); len(f.sketches[n]) > 0 {
			order = append(order, n)
		}
	}
	seriesOf := func(n int) *schemas.Series { return &f.series[f.deltas[n].Series] }
	slices.SortFunc(order, func(a, b int) int {
		x, y := seriesOf(a), seriesOf(b)
		return cmp.Or(cmp.Compare(x.Account, y.Account), cmp.Compare(f.deltas[a].Hour, f.deltas[b].Hour), bytes.Compare(x.ID[:], y.ID[:]))
	})
	for _, n := range order {
		s, hour := seriesOf(n), f.deltas[n].Hour
		last := len(fill.Sketches) - 1
		if last < 0 || fill.Sketches[last].Account != s.Account || fill.Sketches[last].Hour != hour {
			fill.Sketches = append(fill.Sketches, store.SketchPack{Account: s.Account, Hour: hour})
			last++
		}
		fill.Sketches[last].Pack = store.AppendSketch(fill.Sketches[last].Pack, s.ID, f.sketches[n])
	}
	return fill
}
