package store

import (
	"database/sql"
	"fmt"
	"slices"

	"tallybook/schemas"
)

// Resolution is the length of a rollup's window.
type Resolution int

const (
	Hourly Resolution = iota
	Daily
	Monthly
)

// table has the rows of a resolution.
func (r Resolution) table() string {
	return [...]string{"rollup_hours", "rollup_days", "rollup_months"}[r]
}

// RollupQuery asks for rollup rows of one family.
type RollupQuery struct {
	Family   *schemas.Family
	Accounts []string         // nil: every account
	From, To schemas.Hour     // half-open
	Filter   map[int][]string // dimension position → allowed values
	// Resolution is what the caller needs at least. Hourly: a row per hour.
	// Daily, Monthly: only UTC days or months matter, and rows built for whole
	// days or months within [From, To) stand for their hours.
	Resolution Resolution
}

// Rollup is one row: the measures of a series in a window.
type Rollup struct {
	Window schemas.Hour // the window's first hour
	Series schemas.Series
	schemas.Measures
}

// Rollups streams the rows that a query asks for, in no order that may be
// relied on; several rows may be of one series and day. The Rollup is used again
// for the next row, its Series.Dims are shared by all rows of the series and
// must not be changed; an error of fn ends the stream and is returned.
func (v *View) Rollups(q RollupQuery, fn func(*Rollup) error) error {
	segments, err := v.segments(q)
	if err != nil {
		return fmt.Errorf("plan rollups: %w", err)
	}
	r := &rollupReader{query: q, series: map[schemas.SeriesID]*seriesEntry{}, fn: fn}
	r.rollup = newRollupScan(&r.account, &r.dims)
	for _, seg := range segments {
		if q.Accounts == nil {
			err = v.scanWindows(seg, r)
		} else {
			err = v.seekAccounts(seg, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

const rollupColumns = `r.window_start, r.series, ` + measureColumns + `, r.account, s.dims`

// scanWindows reads a range of windows, all accounts.
func (v *View) scanWindows(seg segment, r *rollupReader) error {
	return v.stream(r.row, `SELECT `+rollupColumns+` FROM `+seg.res.table()+` r CROSS JOIN series s
		WHERE r.window_start >= ? AND r.window_start < ? AND s.id = r.series AND s.account = r.account AND s.family = ?`,
		seg.from, seg.to, r.query.Family.Name)
}

// seekAccounts goes from window to window that exists, and in each to the
// accounts: two seeks a window, however many other accounts there are.
func (v *View) seekAccounts(seg segment, r *rollupReader) error {
	table := seg.res.table()
	for accounts := range slices.Chunk(r.query.Accounts, namesPerQuery) {
		args := append([]any{seg.from, seg.to, seg.to}, anys(accounts)...)
		err := v.stream(r.row, existingWindows(seg.res)+`
			SELECT `+rollupColumns+` FROM w CROSS JOIN `+table+` r CROSS JOIN series s
			WHERE r.window_start = w.x AND r.account IN (`+placeholders(len(accounts))+`)
			AND s.id = r.series AND s.account = r.account AND s.family = ?`, append(args, r.query.Family.Name)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// seriesCacheMax bounds the series that one query remembers.
const seriesCacheMax = 100_000

// seriesEntry is what a query needs to know of a series once.
type seriesEntry struct {
	account string
	dims    []string
	wanted  bool
}

type rollupReader struct {
	query         RollupQuery
	series        map[schemas.SeriesID]*seriesEntry
	rollup        *rollupScan
	account, dims sql.RawBytes // copied for new series only
	fn            func(*Rollup) error
}

func (r *rollupReader) row(rows *sql.Rows) error {
	if err := r.rollup.scan(rows); err != nil {
		return err
	}
	if r.rollup.Measures == (schemas.Measures{}) { // all of its events were retracted: as if it were not there
		return nil
	}
	e := r.series[r.rollup.Series.ID]
	if e == nil {
		parsed, err := parseDims(r.dims)
		if err != nil {
			return err
		}
		if len(r.series) >= seriesCacheMax {
			clear(r.series)
		}
		e = &seriesEntry{account: string(r.account), dims: parsed, wanted: r.wants(parsed)}
		r.series[r.rollup.Series.ID] = e
	}
	if !e.wanted {
		return nil
	}
	r.rollup.Series.Family = r.query.Family.Name
	r.rollup.Series.Account = e.account
	r.rollup.Series.Dims = e.dims
	return r.fn(&r.rollup.Rollup)
}

// wants applies the filter. A dimension that the family got after the series
// was made has no value.
func (r *rollupReader) wants(dims []string) bool {
	for position, allowed := range r.query.Filter {
		value := ""
		if position >= 0 && position < len(dims) {
			value = dims[position]
		}
		if !slices.Contains(allowed, value) {
			return false
		}
	}
	return true
}

// HourRollups streams every hour row of the day whose family belongs to the
// topic, by window, account and series. A row whose series is not there is an
// error, whatever the topic.
func (v *View) HourRollups(day schemas.Day, topic schemas.Topic, fn func(*Rollup) error) error {
	families := map[string]string{} // interned
	for _, f := range schemas.Families {
		if f.Topic == topic {
			families[f.Name] = f.Name
		}
	}
	var account, family sql.NullString
	var dims sql.RawBytes
	r := newRollupScan(&account, &dims, &family)
	return v.stream(func(rows *sql.Rows) error {
		if err := r.scan(rows); err != nil {
			return err
		}
		if r.Measures == (schemas.Measures{}) { // all of its events were retracted
			return nil
		}
		r.Series.Account = account.String
		if !family.Valid {
			return fmt.Errorf("rollup of %s, account %s: there is no series %x",
				r.Window.Time().Format("2006-01-02T15"), r.Series.Account, r.Series.ID)
		}
		name, ok := families[family.String]
		if !ok {
			return nil
		}
		r.Series.Family = name
		var err error
		if r.Series.Dims, err = parseDims(dims); err != nil {
			return err
		}
		return fn(&r.Rollup)
	}, `SELECT `+rollupColumns+`, s.family FROM rollup_hours r LEFT JOIN series s ON s.id = r.series AND s.account = r.account
		WHERE r.window_start >= ? AND r.window_start < ?
		ORDER BY r.window_start, r.account, r.series`, day.Hour(), (day + 1).Hour())
}
