package jobs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// meterCheck compares a date's rows of declared meters that are complete, and
// its sketches, with what the archive's rows add up to. What an event counts
// for is worked out in meteroracle.go, from the text that the archive has.
type meterCheck struct {
	c      *dayCheck
	meters []schemas.Meter
	cells  map[cell]*meterPair
	row    oracleRow
}

// meterPair is what the two sides say of a series in an hour.
type meterPair struct {
	family          *schemas.Family
	rollup, archive schemas.Measures
	stored, counted sketchSum
}

// sketchSum stands for a sketch: equal sums are equal counts in all buckets, but
// for a chance of 2^-64. It costs 16 bytes where a sketch may cost kilobytes.
type sketchSum struct {
	count int64
	sum   uint64
}

func (s *sketchSum) add(b schemas.Bucket, n int64) {
	x := uint64(b)*0x9e3779b97f4a7c15 + 0x632be59bd9b4e019
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	s.count += n
	s.sum += uint64(n) * (x ^ x>>31)
}

func newMeterCheck(c *dayCheck) *meterCheck {
	return &meterCheck{c: c, cells: map[cell]*meterPair{}}
}

// read reads the store's side, in the snapshot that the files are listed in.
func (m *meterCheck) read(v *store.View) error {
	declared, err := v.Meters()
	if err != nil {
		return err
	}
	sketched := []*schemas.Family{}
	if m.c.topic == schemas.FamilyLatency.Topic {
		sketched = append(sketched, schemas.FamilyLatency)
	}
	families := map[string]*schemas.Family{}
	for i := range declared {
		d := &declared[i]
		if !d.Complete || d.Family.Topic != m.c.topic {
			continue
		}
		m.meters = append(m.meters, d.Meter)
		families[d.Family.Name] = d.Family
		if d.Aggregation == schemas.Percentile {
			sketched = append(sketched, d.Family)
		}
	}
	err = v.MeterHours(m.c.day, families, func(f *schemas.Family, r *store.Rollup) error {
		m.c.rollupRows++
		m.at(f, r.Window, &r.Series).rollup = r.Measures
		return nil
	})
	if err != nil {
		return err
	}
	for _, family := range sketched {
		q := store.SketchQuery{Family: family, From: m.c.day.Hour(), To: (m.c.day + 1).Hour()}
		err := v.Sketches(q, func(hour schemas.Hour, series *schemas.Series, s schemas.Sketch) error {
			p := m.at(family, hour, series)
			for _, b := range s {
				p.stored.add(b.Bucket, b.Count)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// at is the pair of a series in an hour, made where there is none.
func (m *meterCheck) at(f *schemas.Family, hour schemas.Hour, s *schemas.Series) *meterPair {
	m.c.know(s.ID, *s)
	key := cell{hour, s.ID}
	p := m.cells[key]
	if p == nil {
		p = &meterPair{family: f}
		m.cells[key] = p
	}
	return p
}

// columns are what rows must have been read with.
func (m *meterCheck) columns() []string {
	all := slices.Clone(foldColumns[m.c.topic])
	if len(m.meters) > 0 {
		for f := range schemas.NumFields {
			if f != schemas.Region && schemas.TopicFields[m.c.topic].Has(f) {
				all = append(all, schemas.FieldNames[f])
			}
		}
		all = append(all, "data")
	}
	return all
}

// add folds a row of the archive.
func (m *meterCheck) add(rows *archive.Rows, i int) error {
	m.row.set(rows, i)
	r := &m.row
	if r.kind == schemas.TypeRequest && rows.Dataset == schemas.Usage && r.hasLatency {
		text := func(f schemas.Field) string {
			if col := rows.Strings[f]; len(col) > 0 {
				return rows.String(col[i])
			}
			return ""
		}
		_, p := m.atRow(schemas.FamilyLatency, []string{text(schemas.API), text(schemas.Version), text(schemas.Endpoint)})
		p.counted.add(schemas.BucketOf(rows.LatencyMS[i]), r.sign)
	}
	for n := range m.meters {
		if meter := &m.meters[n]; r.matches(meter.EventType) {
			if err := m.addMeter(meter); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *meterCheck) addMeter(meter *schemas.Meter) error {
	r := &m.row
	dims, err := r.dims(meter)
	if err != nil {
		return err
	}
	key, p := m.atRow(meter.Family, dims)
	p.archive.Count += r.sign
	if meter.Aggregation == schemas.Count {
		return nil
	}
	text, isText, err := r.find(meter.Definition.ValueProperty)
	if err != nil || text == "" {
		return err
	}
	if meter.Aggregation == schemas.UniqueCount {
		if !isText || !slices.Contains([]string{"nan", "inf", "-inf", "infinity", "-infinity"}, strings.ToLower(text)) {
			p.archive.ValueCount += r.sign
		}
		return nil
	}
	value, err := schemas.ParseDecimal([]byte(text))
	if err != nil {
		return nil // no number, or too large: not counted
	}
	x := folded{sign: r.sign, Measures: schemas.Measures{ValueCount: 1, ValueSum: value, ValueMin: value, ValueMax: value}}
	m.c.extremes.take(key, &x)
	if meter.Aggregation == schemas.Percentile {
		p.counted.add(schemas.BucketOfDecimal(value), r.sign)
	}
	return addSigned(&p.archive, &x)
}

func (m *meterCheck) atRow(f *schemas.Family, dims []string) (cell, *meterPair) {
	s := schemas.Series{ID: schemas.MakeSeriesID(f.Name, m.row.account, dims), Account: m.row.account, Family: f.Name, Dims: dims}
	return cell{m.row.hour, s.ID}, m.at(f, m.row.hour, &s)
}

// survive gives a row's values to the cells of meters that lost some.
func (m *meterCheck) survive(rows *archive.Rows, i int, taken map[cell]*survivors) error {
	r := &m.row
	r.set(rows, i)
	for n := range m.meters {
		meter := &m.meters[n]
		if !r.matches(meter.EventType) || meter.Aggregation == schemas.Count || meter.Aggregation == schemas.UniqueCount {
			continue
		}
		dims, err := r.dims(meter)
		if err != nil {
			return err
		}
		s := taken[cell{r.hour, schemas.MakeSeriesID(meter.Family.Name, r.account, dims)}]
		if s == nil {
			continue
		}
		text, _, err := r.find(meter.Definition.ValueProperty)
		if err != nil {
			return err
		}
		if value, err := schemas.ParseDecimal([]byte(text)); err == nil {
			s.add(value)
		}
	}
	return nil
}

// compare reports the series and hours on which the sides differ, in order.
func (m *meterCheck) compare() {
	var differ []cell
	for key, p := range m.cells {
		for _, x := range []*schemas.Measures{&p.rollup, &p.archive} {
			if x.ValueCount <= 0 {
				x.ValueMin, x.ValueMax = schemas.Decimal{}, schemas.Decimal{}
			}
		}
		if p.rollup != p.archive || p.stored != p.counted {
			differ = append(differ, key)
		}
	}
	slices.SortFunc(differ, func(a, b cell) int {
		x, y := m.c.series[a.series], m.c.series[b.series]
		return cmp.Or(cmp.Compare(a.hour, b.hour), cmp.Compare(x.Account, y.Account),
			cmp.Compare(x.Family, y.Family), slices.Compare(x.Dims, y.Dims))
	})
	for _, key := range differ {
		p, s := m.cells[key], m.c.series[key.series]
		d := Difference{Kind: DiffRollup, Account: s.Account, Family: s.Family, Window: key.hour.Time(), Dims: map[string]string{},
			Rollup: &p.rollup, Archive: &p.archive, Detail: describe(&p.rollup, &p.archive, "the archive has")}
		if p.stored != p.counted {
			d.Detail = strings.TrimPrefix(fmt.Sprintf("%s; the sketch has %d values, the archive has %d in buckets that differ",
				d.Detail, p.stored.count, p.counted.count), "; ")
		}
		for i, name := range p.family.Dims {
			if i < len(s.Dims) && s.Dims[i] != "" {
				d.Dims[name] = s.Dims[i]
			}
		}
		m.c.report(d)
	}
}
