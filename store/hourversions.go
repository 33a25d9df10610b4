package store

import (
	"context"
	"database/sql/driver"
	"slices"

	"tallybook/schemas"
)

// raiseHours gives the hours a new version, which every transaction that
// changes rollup_hours must do: readers keep copies by version.
func raiseHours(ctx context.Context, w *writeTx, hours map[schemas.Hour]bool) error {
	if len(hours) == 0 {
		return nil
	}
	var last int64
	err := w.conn.QueryRowContext(ctx, `SELECT coalesce(max(version), 0) FROM hour_versions`).Scan(&last)
	if err != nil {
		return engineError(err)
	}
	order := make([]schemas.Hour, 0, len(hours))
	for h := range hours {
		order = append(order, h)
	}
	slices.Sort(order)
	return w.bulk.hours.write(ctx, w, len(order), func(i int, args []driver.NamedValue) {
		bind(args, int64(order[i]), last+1)
	})
}

func newHoursStatement() *bulk {
	return newBulk(2, `INSERT INTO hour_versions (window_start, version) VALUES `,
		` ON CONFLICT (window_start) DO UPDATE SET version = excluded.version`)
}

// hourVersions are the versions of the hours that have rollups, as of the
// greatest version that was read. It is the cache's, under its lock.
type hourVersions struct {
	last    int64
	version map[schemas.Hour]int64
	hours   []schemas.Hour // in order
}

type hourVersion struct {
	hour    schemas.Hour
	version int64
}

func scanHourVersion(row scanner) (h hourVersion, err error) {
	return h, row.Scan(&h.hour, &h.version)
}

// add takes what a snapshot has above last; an older snapshot's rows change
// nothing.
func (v *hourVersions) add(rows []hourVersion) {
	grown := false
	for _, r := range rows {
		had, ok := v.version[r.hour]
		if !ok {
			v.hours = append(v.hours, r.hour)
			grown = true
		}
		if r.version > had {
			v.version[r.hour] = r.version
		}
		v.last = max(v.last, r.version)
	}
	if grown {
		slices.Sort(v.hours)
	}
}

// between are the hours of [from, to), and the place of the first among all.
func (v *hourVersions) between(from, to schemas.Hour) (int, []schemas.Hour) {
	first, _ := slices.BinarySearch(v.hours, from)
	last, _ := slices.BinarySearch(v.hours, to)
	return first, v.hours[first:max(first, last)]
}
