package worker

import (
	"context"
	"slices"
	"sync"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// metersEvery is how often the list of declared meters is looked at.
const metersEvery = time.Second

// meterSource is the list of declared meters as this process knows it.
type meterSource struct {
	mu   sync.Mutex
	list *store.MeterList
	read time.Time
}

// current is the list, not much older than metersEvery. With fresh it is read
// now: an owner must fold with every meter that the owner before it did.
func (m *meterSource) current(ctx context.Context, cfg *Config, fresh bool) (*store.MeterList, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := cfg.Now()
	if m.list != nil && !fresh && now.Sub(m.read) < metersEvery {
		return m.list, nil
	}
	list, err := cfg.Store.MeterList(ctx, m.list)
	switch {
	case err == nil:
		m.list = list
	case m.list == nil || fresh:
		return nil, err
	default: // an old list is a sound one: the store fences what it must
		cfg.Log.Warn("list of meters, going on with the one before", "error", err)
	}
	m.read = now
	return m.list, nil
}

// readMeters looks whether the list of meters changed; a batch keeps the one that
// it began with.
func (p *partition) readMeters(ctx context.Context, fresh bool) error {
	list, err := p.cfg.meters.current(ctx, p.cfg, fresh)
	if err == nil {
		p.meters = list
	}
	return err
}

// idle is for a partition with nothing folded: its batch takes the newest list,
// and where nothing is under way either, the store is told from which offset on
// meters are live. Else the next checkpoint tells it.
func (p *partition) idle(ctx context.Context) {
	if err := p.readMeters(ctx, false); err != nil {
		return // not without a list: own has read one
	}
	if p.batch.meters.list != p.meters {
		p.batch.meters.start(p.Topic, p.meters, p.intern)
	}
	now := p.cfg.Now()
	if p.inFlight || now.Sub(p.markedAt) < metersEvery {
		return
	}
	fresh := p.batch.meters.metering(p.live).Fresh
	if len(fresh) == 0 {
		return
	}
	p.markedAt = now
	switch marked, err := p.cfg.Store.MarkLive(ctx, p.pos, fresh); {
	case err != nil:
		p.cfg.Log.Warn("meters are not marked live yet", "topic", p.Topic, "partition", p.ID, "error", err)
	case marked:
		p.nowLive(fresh)
	}
}

func (p *partition) nowLive(ids []store.MeterID) {
	if p.live == nil {
		p.live = map[store.MeterID]bool{}
	}
	for _, id := range ids {
		p.live[id] = true
	}
}

// meterFolds are the declared meters that a batch folds with.
type meterFolds struct {
	list    *store.MeterList
	intern  *interner
	all     []*meterFold
	byType  map[archive.Code][]*meterFold // by the interned event type
	last    archive.Code                  // the type of the event before, and its meters
	lastOf  []*meterFold
	packed  []byte
	skipped func(meter string, why schemas.Reason)
}

// meterFold folds events of one meter. Its cells have one dimension: all of the
// meter's, packed.
type meterFold struct {
	meter  *schemas.Meter
	reader *schemas.MeterReader
	late   bool // it reads what rating fills in
	cells  *cells
	values sketchLog // of a PERCENTILE meter
}

// start empties the cells, for a batch that is folded with list.
func (f *meterFolds) start(topic schemas.Topic, list *store.MeterList, in *interner) {
	f.intern = in
	if f.list != list {
		f.list, f.all = list, nil
		for i := range list.Meters {
			if m := &list.Meters[i]; m.Family.Topic == topic {
				reader := schemas.NewMeterReader(m)
				f.all = append(f.all, &meterFold{meter: m, reader: reader,
					late:  reader.Reads(schemas.Customer) || reader.Reads(schemas.Subscription),
					cells: &cells{family: m.Family, slots: make([]uint32, 64)}})
			}
		}
	} else {
		for _, m := range f.all {
			if len(m.cells.keys) > 0 {
				m.cells.reset()
				m.values.reset()
			}
		}
	}
	clear(f.byType) // the interner may be a new one, whose codes mean other types
	f.last, f.lastOf = 0, nil
}

// of are the meters that count events of a type, whose code is not 0.
func (f *meterFolds) of(code archive.Code, eventType []byte) []*meterFold {
	if code == f.last {
		return f.lastOf
	}
	list, known := f.byType[code]
	if !known {
		for _, m := range f.all {
			if schemas.MatchesType(m.meter.EventType, string(eventType)) {
				list = append(list, m)
			}
		}
		if f.byType == nil {
			f.byType = map[archive.Code][]*meterFold{}
		}
		f.byType[code] = list
	}
	f.last, f.lastOf = code, list
	return list
}

// anyLate reports whether a meter reads what rating fills in.
func (f *meterFolds) anyLate() bool {
	return slices.ContainsFunc(f.all, func(m *meterFold) bool { return m.late })
}

// fold adds an event to a meter, or takes it back. Sums stay within 64 bits, as
// those of all cells do.
func (f *meterFolds) fold(m *meterFold, key cellKey, ev *schemas.Event, sign int64) {
	if f.packed = m.reader.AppendDims(f.packed[:0], ev); len(f.packed) > 0 {
		key.dims[0] = f.intern.code(f.packed)
	}
	v := m.reader.Value(ev)
	if err := m.cells.at(&key).AddValue(v, sign); err != nil {
		panic(err)
	}
	switch {
	case v.Problem != "" && sign > 0 && f.skipped != nil:
		f.skipped(m.meter.Slug, v.Problem)
	case v.Has && sign < 0:
		m.cells.markStale(&key)
	}
	if v.Has && m.meter.Aggregation == schemas.Percentile {
		m.values.add(m.cells.hit, schemas.BucketOfDecimal(v.Number), sign)
	}
}

// metering is what a checkpoint of a batch says about its meters; live are those
// that the store knows to be.
func (f *meterFolds) metering(live map[store.MeterID]bool) store.Metering {
	m := store.Metering{Generation: f.list.Generation}
	for _, fold := range f.all {
		id := store.MeterIDOf(fold.meter)
		m.Folded = append(m.Folded, id)
		if !live[id] {
			m.Fresh = append(m.Fresh, id)
		}
	}
	return m
}

// appendTo writes series, deltas and sketches of all meters.
func (f *meterFolds) appendTo(cp *store.Checkpoint, packer *sketchPacker, strings []string) {
	for _, m := range f.all {
		if len(m.cells.keys) == 0 {
			continue
		}
		series := appendSeries(cp, m.cells, func(k *cellKey, dims []string) []string {
			if k.dims[0] == 0 {
				return dims
			}
			return schemas.SplitDims(strings[k.dims[0]], dims)
		}, strings)
		for i := range m.cells.keys {
			k := &m.cells.keys[i]
			cp.Deltas = append(cp.Deltas, store.Delta{Hour: k.hour, Series: int(series[i]),
				Measures: m.cells.sums[i], Stale: m.cells.stale[*k]})
		}
		packer.add(m.cells, series, &m.values)
	}
}

// appendSeries adds the series of a table of cells, each once, and returns the
// series of each cell.
func appendSeries(cp *store.Checkpoint, c *cells, dimsOf func(k *cellKey, dims []string) []string, strings []string) []int32 {
	known := map[cellKey]int32{} // without the hour
	series := make([]int32, len(c.keys))
	for i := range c.keys {
		k := c.keys[i]
		k.hour = 0
		at, ok := known[k]
		if !ok {
			dims := dimsOf(&k, make([]string, 0, len(c.family.Dims)))
			account := strings[k.account]
			at = int32(len(cp.Series))
			known[k] = at
			cp.Series = append(cp.Series, schemas.Series{ID: schemas.MakeSeriesID(c.family.Name, account, dims),
				Account: account, Family: c.family.Name, Dims: dims})
		}
		series[i] = at
	}
	return series
}
