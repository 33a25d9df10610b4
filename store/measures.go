package store

import (
	"encoding/json"
	"fmt"

	"tallybook/schemas"
)

// measureColumns are the rollup row's columns behind its key.
const measureColumns = `count, quantity_units, quantity_nanos, value_count, value_units, value_nanos,
	value_min, value_max, bytes, amount_units, amount_nanos`

// scanRollup reads window_start, series, then measureColumns, then more.
func scanRollup(row scanner, r *Rollup, more ...any) error {
	var id, least, greatest []byte
	m := &r.Measures
	dest := append([]any{&r.Window, &id, &m.Count, &m.Quantity.Units, &m.Quantity.Nanos, &m.ValueCount,
		&m.ValueSum.Units, &m.ValueSum.Nanos, &least, &greatest, &m.Bytes, &m.Amount.Units, &m.Amount.Nanos}, more...)
	if err := row.Scan(dest...); err != nil {
		return err
	}
	if copy(r.Series.ID[:], id) != len(r.Series.ID) {
		return fmt.Errorf("rollup of hour %d: a series id of %d bytes", r.Window, len(id))
	}
	m.ValueMin, m.ValueMax = schemas.Decimal{}, schemas.Decimal{}
	if m.ValueCount <= 0 {
		return nil
	}
	var err error
	if m.ValueMin, err = schemas.DecimalFromSortKey(least); err != nil {
		return fmt.Errorf("rollup of hour %d: value_min: %w", r.Window, err)
	}
	if m.ValueMax, err = schemas.DecimalFromSortKey(greatest); err != nil {
		return fmt.Errorf("rollup of hour %d: value_max: %w", r.Window, err)
	}
	return nil
}

// parseDims reads the dims of a series.
func parseDims(text string) ([]string, error) {
	var dims []string
	if err := json.Unmarshal([]byte(text), &dims); err != nil {
		return nil, fmt.Errorf("dims %q of a series: %w", text, err)
	}
	return dims, nil
}
