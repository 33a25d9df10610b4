package store

import (
	"database/sql"
	"errors"
	"fmt"

	"tallybook/schemas"
)

// BuiltWindow is a day or month whose rows answers use: it is built and agrees
// with its hours, or should.
type BuiltWindow struct {
	Resolution Resolution
	Start      schemas.Hour
	build      int64
}

// BuiltWindows are all that answers may use in this snapshot, days first.
func (v *View) BuiltWindows() ([]BuiltWindow, error) {
	return collect(v, func(row scanner) (w BuiltWindow, err error) {
		return w, row.Scan(&w.Resolution, &w.Start, &w.build)
	}, `SELECT resolution, window_start, build FROM built_windows WHERE state = 1 AND dirty = 0 ORDER BY resolution, window_start`)
}

// ErrWindowChanged: the window was built again, or its hours changed.
var ErrWindowChanged = errors.New("the window changed meanwhile")

// RowPlace is the place of a row within a window; the zero value is before all.
type RowPlace struct{ Account, Series string } // Series: the bytes of its id

// BuiltRow is a row of a built window, or of one of its sources, as it stands.
type BuiltRow struct {
	RowPlace
	schemas.Measures        // without extremes
	Least, Greatest  string // sort keys; "" where there are none
}

// BuiltRows calls built for the window's rows behind a place, and source for the
// rows there of what it is built from: a day's hours; a month's days where they
// are built and not dirty, else their hours. Each comes in no order. It reads a
// bounded number of rows and returns the place that it went up to; nil: all. A
// window that is no longer as BuiltWindows saw it is ErrWindowChanged, so that
// in each View the two sides must agree.
func (v *View) BuiltRows(w BuiltWindow, after RowPlace, built, source func(*BuiltRow) error) (*RowPlace, error) {
	var same bool
	err := v.tx.QueryRowContext(v.ctx, `SELECT EXISTS (SELECT 1 FROM built_windows
		WHERE resolution = ? AND window_start = ? AND build = ? AND state = 1 AND dirty = 0)`,
		int64(w.Resolution), int64(w.Start), w.build).Scan(&same)
	if err != nil {
		return nil, engineError(err)
	}
	if !same {
		return nil, ErrWindowChanged
	}
	days, hours, err := v.builtSources(w)
	if err != nil {
		return nil, err
	}
	all := []segment{{w.Resolution, w.Start, w.Start}}
	for _, h := range days {
		all = append(all, segment{Daily, h, h})
	}
	for _, h := range hours {
		all = append(all, segment{Hourly, h, h})
	}
	at := &rowKey{account: after.Account, series: []byte(after.Series)}
	last, err := lastKey(v.ctx, v.tx, all, at)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		res    Resolution
		starts []schemas.Hour
		each   func(*BuiltRow) error
	}{{w.Resolution, []schemas.Hour{w.Start}, built}, {Daily, days, source}, {Hourly, hours, source}} {
		if err := v.rowsBetween(part.res, part.starts, [2]*rowKey{at, last}, part.each); err != nil {
			return nil, fmt.Errorf("read %s: %w", part.res.table(), err)
		}
	}
	if last == nil {
		return nil, nil
	}
	return &RowPlace{last.account, string(last.series)}, nil
}

// builtSources are the days and hours with rows that a window's rows must be the
// sums of. The builds' own plan is not asked: it is under test.
func (v *View) builtSources(w BuiltWindow) (days, hours []schemas.Hour, err error) {
	end := windowEnd(w.Resolution, w.Start)
	clean := map[schemas.Hour]bool{}
	if w.Resolution == Monthly {
		days, err = collect(v, scanOne[schemas.Hour], `SELECT window_start FROM built_windows
			WHERE resolution = 1 AND state = 1 AND dirty = 0 AND window_start >= ? AND window_start < ?`, w.Start, end)
		if err != nil {
			return nil, nil, err
		}
	}
	for _, day := range days {
		clean[day] = true
	}
	all, err := collect(v, scanOne[schemas.Hour], existingWindows(Hourly)+` SELECT x FROM w WHERE x IS NOT NULL`, w.Start, end, end)
	for _, h := range all {
		if !clean[h.Day().Hour()] {
			hours = append(hours, h)
		}
	}
	return days, hours, err
}

// rowsBetween reads the rows of some windows behind one key, up to another
// (nil: to the end).
func (v *View) rowsBetween(res Resolution, starts []schemas.Hour, keys [2]*rowKey, each func(*BuiltRow) error) error {
	if len(starts) == 0 {
		return nil
	}
	where := filter{}
	args := make([]any, len(starts))
	for i, h := range starts {
		args[i] = h
	}
	where.add(`window_start IN (`+placeholders(len(starts))+`)`, args...)
	where.add(`(account, series) > (?, ?)`, keys[0].account, keys[0].series)
	if keys[1] != nil {
		where.add(`(account, series) <= (?, ?)`, keys[1].account, keys[1].series)
	}
	var r BuiltRow
	var series, least, greatest sql.RawBytes
	m := &r.Measures
	return v.stream(func(rows *sql.Rows) error {
		err := rows.Scan(&r.Account, &series, &m.Count, &m.Quantity.Units, &m.Quantity.Nanos, &m.ValueCount,
			&m.ValueSum.Units, &m.ValueSum.Nanos, &least, &greatest, &m.Bytes, &m.Amount.Units, &m.Amount.Nanos)
		if err != nil {
			return err
		}
		r.Series, r.Least, r.Greatest = string(series), string(least), string(greatest)
		return each(&r)
	}, `SELECT account, series, `+measureColumns+` FROM `+res.table()+where.sql(), where.args...)
}

// SeriesAt is the series of a row; false: there is none with its id.
func (v *View) SeriesAt(p RowPlace) (s schemas.Series, there bool, err error) {
	var dims []byte
	err = v.tx.QueryRowContext(v.ctx, `SELECT account, family, dims FROM series WHERE id = ?`, []byte(p.Series)).
		Scan(&s.Account, &s.Family, &dims)
	if errors.Is(err, sql.ErrNoRows) {
		return s, false, nil
	}
	if err != nil {
		return s, false, engineError(err)
	}
	copy(s.ID[:], p.Series)
	s.Dims, err = parseDims(dims)
	return s, true, err
}

// WrittenDays are the days with live archive files of the topic, and those with
// hour rows of any: topic_days must have them where the rows are the topic's.
func (v *View) WrittenDays(topic schemas.Topic) ([]schemas.Day, error) {
	days, err := collect(v, scanOne[schemas.Day], `WITH RECURSIVE d (x) AS (
			SELECT min(day) FROM archive_files WHERE retired_at IS NULL AND dataset = ?
			UNION ALL
			SELECT (SELECT min(day) FROM archive_files WHERE retired_at IS NULL AND dataset = ? AND day > d.x)
			FROM d WHERE d.x IS NOT NULL) SELECT x FROM d WHERE x IS NOT NULL`, string(topic), string(topic))
	if err != nil {
		return nil, err
	}
	hours, err := collect(v, scanOne[schemas.Hour], existingWindows(Hourly)+` SELECT x FROM w WHERE x IS NOT NULL`,
		-maxHour, maxHour, maxHour)
	for _, h := range hours {
		if day := h.Day(); len(days) == 0 || days[len(days)-1] != day {
			days = append(days, day)
		}
	}
	return days, err
}

// HasDay says whether Days lists the day.
func (v *View) HasDay(topic schemas.Topic, day schemas.Day) (has bool, err error) {
	err = v.tx.QueryRowContext(v.ctx, `SELECT EXISTS (SELECT 1 FROM topic_days WHERE topic = ? AND day = ?)`,
		string(topic), int64(day)).Scan(&has)
	return has, engineError(err)
}

// OwnFiles are up to limit live files of the partition's own dataset behind one
// (nil: from the first), by first offset and name.
func (v *View) OwnFiles(tp schemas.Partition, after *ArchiveFile, limit int) ([]ArchiveFile, error) {
	where := filter{}
	where.add(`retired_at IS NULL AND topic = ? AND partition = ? AND dataset = ?`, string(tp.Topic), tp.ID, string(tp.Topic))
	if after != nil {
		where.add(`(first_offset, name) > (?, ?)`, after.First, after.Name)
	}
	query := `SELECT ` + fileColumns + ` FROM archive_files` + where.sql() + ` ORDER BY first_offset, name` + where.limit(limit)
	return collect(v, scanFile, query, where.args...)
}
