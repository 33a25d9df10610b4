package store

import (
	"database/sql/driver"
	"errors"
	"strings"

	"tallybook/schemas"
)

// bulkStatements are those of a checkpoint. The rollup row has many columns and
// most batches leave some at zero (nothing is rated, e-mails have no latency),
// so there is a statement for each set of groups that was met: a column that is
// not written costs nothing.
type bulkStatements struct {
	series  *bulk
	rollups [allGroups + 1]*bulk

	corrections, corrected, stale *bulk
	hours                         *bulk
	appEvents                     *bulk
	sketches                      *bulk
}

func newBulkStatements() *bulkStatements {
	b := &bulkStatements{
		series: newBulk("series", []column{{"id", blob}, {"account", text}, {"family", text}, {"dims", text}}, ` ON CONFLICT DO NOTHING`),
		stale:  newStaleStatement(),
		hours:  newHoursStatement(),

		appEvents: newAppStatement(),
		sketches:  newSketchStatement(),
	}
	b.corrections, b.corrected = newCorrectionStatements()
	return b
}

// close is for the connection that the statements were prepared on.
func (b *bulkStatements) close() error {
	errs := []error{b.series.close(), b.corrections.close(), b.corrected.close(), b.stale.close(), b.hours.close(), b.appEvents.close(), b.sketches.close()}
	for _, r := range b.rollups {
		if r != nil {
			errs = append(errs, r.close())
		}
	}
	return errors.Join(errs...)
}

// groups is a set of the groups of columns of a rollup row; count is in each.
type groups uint8

const (
	withQuantity groups = 1 << iota
	withFraction        // of quantity, which is a whole number as a rule
	withValue
	withBytes
	withAmount
	allGroups = withQuantity | withFraction | withValue | withBytes | withAmount
)

// groupsOf are the groups that are not zero in some of the deltas.
func groupsOf(deltas []Delta) (g groups) {
	for i := range deltas {
		m := &deltas[i].Measures
		if m.Quantity.Units != 0 {
			g |= withQuantity
		}
		if m.Quantity.Nanos != 0 {
			g |= withQuantity | withFraction
		}
		if m.ValueCount != 0 || !m.ValueSum.IsZero() {
			g |= withValue
		}
		if m.Bytes != 0 {
			g |= withBytes
		}
		if !m.Amount.IsZero() {
			g |= withAmount
		}
	}
	return g
}

// rollupsOf is the upsert of hour rows with these groups. An integer that
// overflows becomes REAL, which a STRICT table refuses: never a wrong sum.
func (b *bulkStatements) rollupsOf(g groups) *bulk {
	if b.rollups[g] != nil {
		return b.rollups[g]
	}
	columns := []column{{"window_start", integer}, {"account", text}, {"series", blob}}
	var sets []string
	set := func(name string, k kind, expression string) {
		columns = append(columns, column{name, k})
		sets = append(sets, name+" = "+strings.ReplaceAll(strings.ReplaceAll(expression, "old.", "rollup_hours."), "new.", "excluded."))
	}
	whole := func(name string) { set(name, integer, "old."+name+" + new."+name) }
	decimal := func(name string) {
		units, nanos := name+"_units", name+"_nanos"
		set(units, integer, "old."+units+" + new."+units+" + (old."+nanos+" + new."+nanos+") / 1000000000")
		set(nanos, integer, "(old."+nanos+" + new."+nanos+") % 1000000000")
	}
	whole("count")
	switch {
	case g&withFraction != 0:
		decimal("quantity")
	case g&withQuantity != 0:
		whole("quantity_units")
	}
	if g&withValue != 0 {
		whole("value_count")
		decimal("value")
		set("value_min", blob, "CASE WHEN old.value_min IS NULL OR new.value_min < old.value_min THEN new.value_min ELSE old.value_min END")
		set("value_max", blob, "CASE WHEN old.value_max IS NULL OR new.value_max > old.value_max THEN new.value_max ELSE old.value_max END")
	}
	if g&withBytes != 0 {
		whole("bytes")
	}
	if g&withAmount != 0 {
		decimal("amount")
	}
	b.rollups[g] = newBulk("rollup_hours", columns, ` ON CONFLICT (window_start, account, series) DO UPDATE SET `+strings.Join(sets, ", "))
	return b.rollups[g]
}

// bindMeasures fills the arguments of rollupsOf(g) behind the key.
func bindMeasures(g groups, m *schemas.Measures, args []driver.NamedValue) {
	n := 0
	integer := func(v int64) {
		args[n].Value = v
		n++
	}
	decimal := func(d schemas.Decimal) {
		integer(d.Units)
		integer(int64(d.Nanos))
	}
	integer(m.Count)
	switch {
	case g&withFraction != 0:
		decimal(m.Quantity)
	case g&withQuantity != 0:
		integer(m.Quantity.Units)
	}
	if g&withValue != 0 {
		integer(m.ValueCount)
		decimal(m.ValueSum)
		args[n].Value, args[n+1].Value = nil, nil
		if m.ValueCount > 0 {
			least, greatest := m.ValueMin.SortKey(), m.ValueMax.SortKey()
			args[n].Value, args[n+1].Value = least[:], greatest[:]
		}
		n += 2
	}
	if g&withBytes != 0 {
		integer(m.Bytes)
	}
	if g&withAmount != 0 {
		decimal(m.Amount)
	}
}
