package store

import (
	"context"
	"database/sql/driver"
	"maps"
	"slices"

	"tallybook/schemas"
)

// raiseHours says that a writer's transaction changes the hours, which every
// transaction that changes rollup_hours must do: readers keep copies. The
// writer's row is held until the end, so that its numbers are committed in
// their order.
func raiseHours(ctx context.Context, w *writeTx, writer string, hours map[schemas.Hour]bool) error {
	if len(hours) == 0 {
		return nil
	}
	var version int64
	err := w.conn.QueryRowContext(ctx, `INSERT INTO hour_writers (writer, last) VALUES (?, 1)
		ON CONFLICT (writer) DO UPDATE SET last = hour_writers.last + 1 RETURNING last`, writer).Scan(&version)
	if err != nil {
		return engineError(err)
	}
	order := slices.Sorted(maps.Keys(hours))
	return w.bulk.hours.write(ctx, w, len(order), func(i int, args []driver.NamedValue) {
		bind(args, int64(order[i]), writer, version)
	})
}

func newHoursStatement() *bulk {
	return newBulk("hour_changes", []column{{"window_start", integer}, {"writer", text}, {"version", integer}},
		` ON CONFLICT (writer, window_start) DO UPDATE SET version = excluded.version`)
}

// hourVersions are the hours that have rollups, each with the step in which we
// learned of its last change. Steps are numbered by this process. It is the
// cache's, under its lock.
type hourVersions struct {
	step    int64
	seen    map[string]int64 // by writer: its last transaction that we know of
	past    []learned        // the latest steps, oldest first
	version map[schemas.Hour]int64
	hours   []schemas.Hour // in order
}

// learned is what was seen at a step.
type learned struct {
	step int64
	seen map[string]int64
}

// maxLearned bounds the steps that are remembered: a snapshot that is older than
// all of them finds no hour in memory.
const maxLearned = 32

func newHourVersions() hourVersions {
	return hourVersions{seen: map[string]int64{}, version: map[schemas.Hour]int64{}}
}

type hourChange struct {
	writer  string
	hour    schemas.Hour
	version int64
}

func scanHourChange(row scanner) (c hourChange, err error) {
	return c, row.Scan(&c.writer, &c.hour, &c.version)
}

// add takes what a snapshot has: the writers' last transactions, and the changes
// since those that were seen before.
func (v *hourVersions) add(last map[string]int64, changes []hourChange) {
	grown, step := false, v.step+1
	for _, c := range changes {
		if c.version <= v.seen[c.writer] {
			continue // learned from a newer snapshot meanwhile
		}
		if _, ok := v.version[c.hour]; !ok {
			v.hours = append(v.hours, c.hour)
			grown = true
		}
		v.version[c.hour] = step
	}
	if grown {
		slices.Sort(v.hours)
	}
	newer := false
	for writer, n := range last {
		if n > v.seen[writer] {
			v.seen[writer], newer = n, true
		}
	}
	if newer {
		v.step = step
		v.past = append(v.past, learned{step, maps.Clone(v.seen)})
		v.past = v.past[max(0, len(v.past)-maxLearned):]
	}
}

// at is the step that a snapshot has whose writers' last transactions are given:
// what changed in later ones, it may not have. Of two snapshots one has all that
// the other has.
func (v *hourVersions) at(last map[string]int64) int64 {
	for i := len(v.past) - 1; i >= 0; i-- {
		within := true
		for writer, n := range v.past[i].seen {
			within = within && n <= last[writer]
		}
		if within {
			return v.past[i].step
		}
	}
	return 0
}

// between are the hours of [from, to), and the place of the first among all.
func (v *hourVersions) between(from, to schemas.Hour) (int, []schemas.Hour) {
	first, _ := slices.BinarySearch(v.hours, from)
	last, _ := slices.BinarySearch(v.hours, to)
	return first, v.hours[first:max(first, last)]
}
