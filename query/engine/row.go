package engine

import (
	"tallybook/archive"
	"tallybook/schemas"
)

// row folds row i of a file, whose names are numbered.
func (f *fileFold) row(r *archive.Rows, i int, names int32) error {
	n, err := f.cell(r.Time[i], names)
	if n < 0 || err != nil {
		return err
	}
	var m schemas.Measures
	if err := f.source.measure(r, i, &m); err != nil {
		return err
	}
	sign := int64(1)
	if i < len(r.Sign) {
		sign = int64(r.Sign[i])
	}
	s := &f.table.cells[n].sums
	if sign < 0 && !f.again {
		if err := f.take(n, r.Time[i], &m); err != nil {
			return err
		}
	}
	if f.again {
		if sign > 0 && m.ValueCount > 0 && !f.untaken(n, r.Time[i], m.ValueSum) {
			s.scanned.add(m.ValueSum, m.ValueSum)
			f.latest(s, r, i, m.ValueSum)
		}
		return nil
	}
	if err := f.count(s, r, i, &m, sign); err != nil {
		return err
	}
	if sign < 0 {
		return s.add(negative(&m))
	}
	if m.ValueCount > 0 {
		s.scanned.add(m.ValueSum, m.ValueSum)
		f.latest(s, r, i, m.ValueSum)
	}
	return s.add(&m)
}

// cell is where events of the instant and names go; -1: nowhere.
func (f *fileFold) cell(at int64, names int32) (int32, error) {
	if f.cellOf >= 0 && at >= f.lastAt.window.start && at < f.lastAt.window.end {
		return f.cellOf, nil
	}
	f.lastAt = f.table.at(at)
	if !f.lastAt.keep {
		f.cellOf = -1
		return -1, nil
	}
	n, err := f.table.cell(&f.lastAt, names)
	f.cellOf = n
	return n, err
}

func negative(m *schemas.Measures) *schemas.Measures {
	return &schemas.Measures{Count: -m.Count, Quantity: m.Quantity.Neg(), ValueCount: -m.ValueCount,
		ValueSum: m.ValueSum.Neg(), Bytes: -m.Bytes, Amount: m.Amount.Neg()}
}

// count keeps single values, where they are asked for.
func (f *fileFold) count(s *sums, r *archive.Rows, i int, m *schemas.Measures, sign int64) error {
	isNew := false
	if f.text != nil {
		rest := s.rest()
		if rest.distinct == nil {
			rest.distinct = map[string]int64{}
		}
		text, had := f.text.text(r, i), len(rest.distinct)
		if text != "" {
			rest.distinct[text] += sign
			isNew = len(rest.distinct) > had
		}
	}
	if f.q.Need&Quantiles != 0 && m.ValueCount > 0 {
		isNew = s.rest().values.add(m.ValueSum, sign) || isNew
	}
	if isNew {
		if f.values++; f.values > f.maxValues {
			return tooMuch("the question has to keep more than %d different values; ask for a shorter range or fewer groups", f.maxValues)
		}
	}
	return nil
}

// latest keeps the value of the latest event.
func (f *fileFold) latest(s *sums, r *archive.Rows, i int, value schemas.Decimal) {
	if f.q.Need&Latest == 0 {
		return
	}
	at := moment{time: r.Time[i], log: r.LogTime[i], offset: r.Offset[i], partition: r.Partition}
	if i < len(r.Row) {
		at.row = r.Row[i]
	}
	if rest := s.rest(); !rest.hasValue || rest.latestAt.before(at) {
		rest.hasValue, rest.latest, rest.latestAt = true, value, at
	}
}

// take notes that a correction took an event away.
func (f *fileFold) take(cell int32, at int64, m *schemas.Measures) error {
	if m.ValueCount == 0 || f.q.Need&(Extremes|Latest) == 0 {
		return nil
	}
	if len(f.taken) >= f.maxValues {
		return tooMuch("corrections took away more than %d of the events; ask for a shorter range", f.maxValues)
	}
	if f.taken == nil {
		f.taken = map[taken]int64{}
	}
	f.taken[taken{cell, at, m.ValueSum}]++
	return nil
}

// untaken says whether an event was taken away; each that was pays for one.
func (f *fileFold) untaken(cell int32, at int64, value schemas.Decimal) bool {
	key := taken{cell, at, value}
	if f.taken[key] == 0 {
		return false
	}
	f.taken[key]--
	return true
}

// forget drops what the second fold finds out.
func (s *sums) forget() {
	s.scanned = extremes{}
	if s.more != nil {
		s.more.hasValue, s.more.latestAt = false, moment{}
	}
}
