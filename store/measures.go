package store

import (
	"database/sql"
	"encoding/json"
	"fmt"

	"tallybook/schemas"
)

// measureColumns are the rollup row's columns behind its key.
const measureColumns = `count, quantity_units, quantity_nanos, value_count, value_units, value_nanos,
	value_min, value_max, bytes, amount_units, amount_nanos`

// rollupScan reads rows of window_start, series, measureColumns and more. It is
// made once for a query: the destinations stay, and blobs are views into the
// driver's memory.
type rollupScan struct {
	Rollup
	id, least, greatest sql.RawBytes
	dest                []any
}

func newRollupScan(more ...any) *rollupScan {
	r := &rollupScan{}
	m := &r.Measures
	r.dest = append([]any{&r.Window, &r.id, &m.Count, &m.Quantity.Units, &m.Quantity.Nanos, &m.ValueCount,
		&m.ValueSum.Units, &m.ValueSum.Nanos, &r.least, &r.greatest, &m.Bytes, &m.Amount.Units, &m.Amount.Nanos}, more...)
	return r
}

func (r *rollupScan) scan(rows *sql.Rows) error {
	if err := rows.Scan(r.dest...); err != nil {
		return err
	}
	if copy(r.Series.ID[:], r.id) != len(r.Series.ID) {
		return fmt.Errorf("rollup of hour %d: a series id of %d bytes", r.Window, len(r.id))
	}
	m := &r.Measures
	m.ValueMin, m.ValueMax = schemas.Decimal{}, schemas.Decimal{}
	if m.ValueCount <= 0 {
		return nil
	}
	var err error
	if m.ValueMin, err = schemas.DecimalFromSortKey(r.least); err != nil {
		return fmt.Errorf("rollup of hour %d: value_min: %w", r.Window, err)
	}
	if m.ValueMax, err = schemas.DecimalFromSortKey(r.greatest); err != nil {
		return fmt.Errorf("rollup of hour %d: value_max: %w", r.Window, err)
	}
	return nil
}

// parseDims reads the dims of a series.
func parseDims(text []byte) ([]string, error) {
	var dims []string
	if err := json.Unmarshal(text, &dims); err != nil {
		return nil, fmt.Errorf("dims %q of a series: %w", text, err)
	}
	return dims, nil
}
