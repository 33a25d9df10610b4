package store

import (
	"context"
	"database/sql/driver"
	"fmt"

	"tallybook/schemas"
)

// rowFeed puts rows into blocks, some hundreds at a time, so that their series
// are resolved together.
type rowFeed struct {
	*blockReader
	conn   driver.QueryerContext
	b      *builder
	finish func(schemas.Hour) error
	at     []int // the column of blockRows for each integer

	window          schemas.Hour
	ids             []schemas.SeriesID
	numbers         []uint32
	values          []int64 // len(at) a row
	least, greatest []schemas.Decimal
}

// rowsBatch is how many series are resolved at a time.
const rowsBatch = 1024

// row takes a row.
func (f *rowFeed) row(row []driver.Value) error {
	window := schemas.Hour(row[0].(int64))
	if window != f.window || len(f.ids) == rowsBatch {
		if err := f.flush(); err != nil {
			return err
		}
	}
	if window != f.window {
		if err := f.finish(window); err != nil {
			return err
		}
		f.window = window
	}
	id, ok := row[1].([]byte)
	if !ok || len(id) != len(schemas.SeriesID{}) {
		return fmt.Errorf("rollup of hour %d: a series id of %d bytes", window, len(id))
	}
	f.ids = append(f.ids, schemas.SeriesID(id))
	n := 2 + len(f.at)
	for _, v := range row[2:n] {
		f.values = append(f.values, v.(int64))
	}
	if f.b.columns&ColExtremes != 0 {
		for i, to := range []*[]schemas.Decimal{&f.least, &f.greatest} {
			var d schemas.Decimal
			if key, ok := row[n+i].([]byte); ok {
				var err error
				if d, err = schemas.DecimalFromSortKey(key); err != nil {
					return fmt.Errorf("rollup of hour %d: extremes: %w", window, err)
				}
			}
			*to = append(*to, d)
		}
	}
	return nil
}

// flush moves the collected rows into the blocks of their families.
func (f *rowFeed) flush() (err error) {
	if err := f.ctx.Err(); err != nil {
		return context.Cause(f.ctx)
	}
	if f.numbers, err = f.held.dictionary.numbers(f.conn, f.ids, f.numbers[:0]); err != nil {
		return err
	}
	series := f.held.dictionary.Snapshot()
	for i, n := range f.numbers {
		to := f.b.of(series[n].Family)
		to.series = append(to.series, n)
		for k, column := range f.at {
			to.columns[column] = append(to.columns[column], f.values[i*len(f.at)+k])
		}
		if f.b.columns&ColExtremes != 0 {
			to.least, to.greatest = append(to.least, f.least[i]), append(to.greatest, f.greatest[i])
		}
	}
	f.ids, f.values, f.least, f.greatest = f.ids[:0], f.values[:0], f.least[:0], f.greatest[:0]
	return nil
}
