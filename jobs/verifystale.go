package jobs

import (
	"context"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// extremeCheck compares least and greatest values where some were taken away.
// Rows that are marked stale may have any: answers do not use them.
type extremeCheck struct {
	stale map[cell]bool
	taken map[cell]*survivors // by rows of sign -1 with a value
}

func newExtremeCheck() extremeCheck {
	return extremeCheck{stale: map[cell]bool{}, taken: map[cell]*survivors{}}
}

// read is of the snapshot that the rollups are of.
func (e *extremeCheck) read(v *store.View, day schemas.Day) error {
	rows, err := v.Stale(store.StaleQuery{From: day.Hour(), To: (day + 1).Hour()})
	for i := range rows {
		e.stale[cell{rows[i].Window, rows[i].Series.ID}] = true
	}
	return err
}

func (e *extremeCheck) take(key cell, x *folded) {
	if x.sign > 0 || x.ValueCount == 0 {
		return
	}
	if e.taken[key] == nil {
		e.taken[key] = &survivors{}
	}
	e.taken[key].take(x.ValueMin)
}

// finish reads the files again for the cells that lost values, and leaves what
// survived in them as the archive's side.
func (e *extremeCheck) finish(ctx context.Context, c *dayCheck) error {
	if len(e.taken) > 0 {
		for i := range c.files {
			if err := e.readFile(ctx, c, &c.files[i]); err != nil {
				return err
			}
		}
	}
	for key, s := range e.taken {
		if sides := c.sides(key); sides != nil {
			sides[1].ValueMin, sides[1].ValueMax = s.min, s.max
		}
	}
	for key := range e.stale {
		for _, m := range c.sides(key) {
			m.ValueMin, m.ValueMax = schemas.Decimal{}, schemas.Decimal{}
		}
	}
	return nil
}

// sides are what the rollups and the archive say of a cell, also of a declared
// meter's.
func (c *dayCheck) sides(key cell) []*schemas.Measures {
	if p := c.pairs[key]; p != nil {
		return []*schemas.Measures{&p.rollup, &p.archive}
	}
	if p := c.meters.cells[key]; p != nil {
		return []*schemas.Measures{&p.rollup, &p.archive}
	}
	return nil
}

// readFile passes over what the first pass has reported.
func (e *extremeCheck) readFile(ctx context.Context, c *dayCheck, f *store.ArchiveFile) error {
	err := withFile(f, func(name string) error {
		return c.cfg.Archive.Read(ctx, name, c.meters.columns(), func(rows *archive.Rows) error {
			for i := range rows.Len() {
				x, err := foldRow(rows, i)
				if err != nil {
					return err
				}
				if x.sign < 0 || schemas.DayOf(rows.Time[i]) != c.day {
					continue
				}
				if err := c.meters.survive(rows, i, e.taken); err != nil {
					return err
				}
				if x.family == nil || x.ValueCount == 0 {
					continue
				}
				key := cell{schemas.HourOf(rows.Time[i]), schemas.MakeSeriesID(x.family.Name, x.account, x.dims[:len(x.family.Dims)])}
				if s := e.taken[key]; s != nil {
					s.add(x.ValueMin)
				}
			}
			return nil
		})
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.cfg.Progress("least and greatest values: " + err.Error())
	}
	return nil
}
