package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"tallybook/schemas"
)

// HourRange is a half-open range of hours.
type HourRange struct{ From, To schemas.Hour }

// BlockQuery asks for the rollups of a family, window by window.
type BlockQuery struct {
	Family   *schemas.Family
	Accounts []string // nil: every account; else rows of others may come too
	Columns  Columns
	Ranges   []HourRange // in order; a day or month stands for its hours within one range only
}

// Blocks are the answer to a BlockQuery: of each range the blocks that cover it.
type Blocks struct {
	Dictionary *Dictionary
	Ranges     [][]*Block
}

// Held keeps what was read for one question when the View ended before it was
// done: the next View of the same question goes on from there.
type Held struct {
	dictionary *Dictionary
	windows    map[blockKey]*window
	bytes      int64
}

var (
	// ErrViewSpent: the question wants more rollups than are read within one
	// View. Ask again, in a new View, with the same Held.
	ErrViewSpent = errors.New("more rollups than one view reads")
	// ErrTooManyRollups: the question wants more rollups than fit into memory.
	ErrTooManyRollups = errors.New("more rollups than fit into memory")
)

const (
	heldMax = 512 << 20
	// fewAccounts are looked up one by one where a window is not in memory.
	fewAccounts = 64
	// readRun is how many windows one statement reads.
	readRun = 256
)

// Blocks reads the rollups that a query asks for, from memory where a window
// did not change since it was read. Rows of a family are sorted by account
// within a block. Where few accounts are asked for, blocks may have their rows
// alone.
func (v *View) Blocks(q BlockQuery, held *Held) (*Blocks, error) {
	if held.dictionary == nil {
		held.dictionary, held.windows = v.cache.dictionary(), map[blockKey]*window{}
	}
	r := &blockReader{View: v, q: &q, held: held, spent: time.Now().Add(v.budget)}
	if err := r.plan(); err != nil {
		return nil, fmt.Errorf("plan rollups: %w", err)
	}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("read rollups: %w", err)
	}
	blocks := &Blocks{Dictionary: held.dictionary, Ranges: make([][]*Block, len(q.Ranges))}
	for _, w := range r.wanted {
		if b := w.got.families[q.Family.Name]; b != nil {
			blocks.Ranges[w.of] = append(blocks.Ranges[w.of], b)
		}
	}
	return blocks, nil
}

// blockReader reads the windows of one query.
type blockReader struct {
	*View
	q      *BlockQuery
	held   *Held
	spent  time.Time
	wanted []wantedWindow
}

// wantedWindow is one window of a range; version 0: the snapshot is older than
// what is known of the hour, so that its version is not.
type wantedWindow struct {
	blockKey
	of      int // the range
	seq     int // of an hour: its place among those that have rollups
	version int64
	got     *window
}

// plan lists the windows: built months and days where they are whole within a
// range, and the hours that have rollups elsewhere.
func (r *blockReader) plan() error {
	if len(r.q.Ranges) == 0 {
		return nil
	}
	step, err := r.syncHours()
	if err != nil {
		return err
	}
	builds := map[blockKey]int64{}
	built, err := collect(r.View, func(row scanner) (s segment, err error) {
		var build int64
		err = row.Scan(&s.res, &s.from, &build)
		s.to = windowEnd(s.res, s.from)
		builds[blockKey{res: s.res, start: s.from}] = build
		return s, err
	}, `SELECT resolution, window_start, build FROM built_windows WHERE state = 1 AND dirty = 0 AND window_start >= ? AND window_start < ?
		ORDER BY window_start, resolution DESC`, r.q.Ranges[0].From, r.q.Ranges[len(r.q.Ranges)-1].To)
	if err != nil {
		return err
	}
	r.cache.mu.Lock()
	defer r.cache.mu.Unlock()
	for i, x := range r.q.Ranges {
		first, _ := slices.BinarySearchFunc(built, x.From, func(s segment, h schemas.Hour) int { return int(s.from) - int(h) })
		end := first
		for end < len(built) && built[end].from < x.To {
			end++
		}
		for _, seg := range cover(x.From, x.To, built[first:end]) {
			if seg.res == Hourly {
				first, hours := r.cache.hours.between(seg.from, seg.to)
				for k, h := range hours {
					version := r.cache.hours.version[h]
					if version > step {
						version = 0
					}
					r.wanted = append(r.wanted, wantedWindow{blockKey: blockKey{res: Hourly, start: h}, of: i, seq: first + k, version: version})
				}
				continue
			}
			for at := seg.from; at < seg.to; at = windowEnd(seg.res, at) {
				key := blockKey{res: seg.res, start: at}
				r.wanted = append(r.wanted, wantedWindow{blockKey: key, of: i, version: builds[key]})
			}
		}
	}
	return nil
}

// syncHours learns which hours changed; step is that of the snapshot.
func (v *View) syncHours() (step int64, err error) {
	last := map[string]int64{}
	err = v.stream(func(rows *sql.Rows) error {
		var writer string
		var n int64
		err := rows.Scan(&writer, &n)
		last[writer] = n
		return err
	}, `SELECT writer, last FROM hour_writers`)
	if err != nil {
		return 0, err
	}
	v.cache.mu.Lock()
	known := maps.Clone(v.cache.hours.seen)
	v.cache.mu.Unlock()
	var changes []hourChange
	for writer, n := range last {
		if n <= known[writer] {
			continue
		}
		more, err := collect(v, scanHourChange, `SELECT writer, window_start, version FROM hour_changes WHERE writer = ? AND version > ?`,
			writer, known[writer])
		if err != nil {
			return 0, err
		}
		changes = append(changes, more...)
	}
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	v.cache.hours.add(last, changes)
	return v.cache.hours.at(last), nil
}

// read gets every wanted window, from memory or the tables.
func (r *blockReader) read() error {
	var missing []int
	for i := range r.wanted {
		w := &r.wanted[i]
		if w.version != 0 {
			if w.got = r.held.windows[w.blockKey]; w.got != nil && w.got.version == w.version {
				continue
			}
			if w.got = r.cache.get(r.held.dictionary, w.blockKey, w.version, r.q.Columns); w.got != nil {
				continue
			}
			if account := r.oneAccount(); account != "" {
				if w.got = r.cache.get(r.held.dictionary, w.alone(account), w.version, r.q.Columns); w.got != nil {
					continue
				}
			}
		}
		missing = append(missing, i)
	}
	few := r.q.Accounts != nil && len(r.q.Accounts) <= fewAccounts
	for len(missing) > 0 {
		n := 1
		for n < len(missing) && n < readRun && r.together(missing[n-1], missing[n], few) {
			n++
		}
		var err error
		if few {
			err = r.readAccounts(missing[:n])
		} else {
			err = r.readWindows(missing[:n])
		}
		if err != nil {
			return err
		}
		missing = missing[n:]
		if err := r.enough(n, n+len(missing)); err != nil {
			return err
		}
	}
	return nil
}

// enough ends the view where its time is spent, some windows were read and
// others are left.
func (r *blockReader) enough(read, of int) error {
	if read > 0 && read < of && time.Now().After(r.spent) {
		return ErrViewSpent
	}
	return nil
}

// together says that one statement may read both windows: of all accounts,
// where no row lies between them.
func (r *blockReader) together(a, b int, few bool) bool {
	x, y := &r.wanted[a], &r.wanted[b]
	if x.res != y.res || few {
		return x.res == y.res
	}
	if x.res == Hourly {
		return y.seq == x.seq+1
	}
	return windowEnd(x.res, x.start) == y.start
}

// hold keeps a window for the question.
func (r *blockReader) hold(w *wantedWindow, got *window) error {
	w.got = got
	if w.version == 0 {
		return nil // of this snapshot only
	}
	r.held.windows[w.blockKey] = got
	if r.held.bytes += got.bytes; r.held.bytes > heldMax {
		return ErrTooManyRollups
	}
	return nil
}

// readWindows reads whole windows that follow each other, and keeps them.
func (r *blockReader) readWindows(missing []int) error {
	columns := r.q.Columns
	for _, i := range missing {
		columns |= r.cache.columnsOf(r.wanted[i].blockKey)
	}
	b := &builder{columns: columns, families: map[string]*blockRows{}}
	first, last := &r.wanted[missing[0]], &r.wanted[missing[len(missing)-1]]
	args := []driver.NamedValue{{Ordinal: 1, Value: int64(first.start)}, {Ordinal: 2, Value: int64(last.start)}}
	next := 0
	finish := func(before schemas.Hour) error {
		for ; next < len(missing) && r.wanted[missing[next]].start < before; next++ {
			w := &r.wanted[missing[next]]
			got := b.finish(w.start, w.version)
			if err := r.hold(w, got); err != nil {
				return err
			}
			if w.version != 0 {
				r.cache.put(r.held.dictionary, w.blockKey, got)
			}
		}
		return r.enough(next, len(missing))
	}
	query := `SELECT window_start, series` + columns.sql() + ` FROM ` + first.res.table() +
		` WHERE window_start >= ? AND window_start <= ? ORDER BY window_start, account, series`
	if err := r.rows(query, args, b, finish); err != nil {
		return err
	}
	return finish(maxHour)
}

const maxHour = 1<<31 - 1

// oneAccount is the account where one is asked for, else "".
func (r *blockReader) oneAccount() string {
	if len(r.q.Accounts) == 1 {
		return r.q.Accounts[0]
	}
	return ""
}

// readAccounts reads the rows of few accounts. Those of one account are kept for
// its next question, those of several are not.
func (r *blockReader) readAccounts(missing []int) error {
	columns, account := r.q.Columns, r.oneAccount()
	if account != "" {
		for _, i := range missing {
			columns |= r.cache.columnsOf(r.wanted[i].alone(account))
		}
	}
	b := &builder{columns: columns, families: map[string]*blockRows{}}
	args := make([]driver.NamedValue, 0, len(missing)+len(r.q.Accounts))
	add := func(value any) {
		args = append(args, driver.NamedValue{Ordinal: len(args) + 1, Value: value})
	}
	for _, at := range missing {
		add(int64(r.wanted[at].start))
	}
	for _, a := range r.q.Accounts {
		add(a)
	}
	next := 0
	finish := func(before schemas.Hour) error {
		for ; next < len(missing) && r.wanted[missing[next]].start < before; next++ {
			w := &r.wanted[missing[next]]
			got := b.finish(w.start, w.version)
			if err := r.hold(w, got); err != nil {
				return err
			}
			if account != "" && w.version != 0 {
				r.cache.put(r.held.dictionary, w.alone(account), got)
			}
		}
		return r.enough(next, len(missing))
	}
	query := `SELECT window_start, series` + columns.sql() + ` FROM ` + r.wanted[missing[0]].res.table() +
		` WHERE window_start IN (` + placeholders(len(missing)) + `) AND account IN (` + placeholders(len(r.q.Accounts)) + `)
		ORDER BY window_start, account, series`
	if err := r.rows(query, args, b, finish); err != nil {
		return err
	}
	return finish(maxHour)
}

// columnNames are the SQL columns of each set, in the order of blockRows.
var columnNames = []struct {
	set   Columns
	names string
	at    []int
}{
	{0, `, count`, []int{0}},
	{ColQuantity, `, quantity_units, quantity_nanos`, []int{1, 2}},
	{ColValues, `, value_count, value_units, value_nanos`, []int{3, 4, 5}},
	{ColBytes, `, bytes`, []int{6}},
	{ColAmount, `, amount_units, amount_nanos`, []int{7, 8}},
	{ColExtremes, `, value_min, value_max`, nil},
}

func (c Columns) sql() (names string) {
	for _, n := range columnNames {
		if c&n.set == n.set {
			names += n.names
		}
	}
	return names
}

func (c Columns) places() (at []int) {
	for _, n := range columnNames {
		if c&n.set == n.set {
			at = append(at, n.at...)
		}
	}
	return at
}

// rows reads rows of (window_start, series, columns) into b, sorted by window;
// finish(w) is called before the first row of window w.
func (r *blockReader) rows(query string, args []driver.NamedValue, b *builder, finish func(schemas.Hour) error) error {
	return r.raw(func(dc driver.QueryerContext) error {
		f := &rowFeed{blockReader: r, conn: dc, b: b, finish: finish, at: b.columns.places()}
		var err error
		if pg, ok := dc.(*pgConn); ok { // which has one question at a time, and flush asks for series
			err = engineError(pg.eachByCursor(r.ctx, f.row, query, args))
		} else {
			err = eachRaw(dc, f.row, query, args...)
		}
		if err != nil {
			return err
		}
		return f.flush()
	})
}

// raw gives fn the driver's connection, within the view's transaction. It is
// for many rows: database/sql spends more time on a row than the engines do. What
// database/sql offers must not be used within fn.
func (v *View) raw(fn func(dc driver.QueryerContext) error) error {
	return v.conn.Raw(func(dc any) error { return fn(dc.(driver.QueryerContext)) })
}

// eachRaw calls each with every row of a query; the row is used again.
func eachRaw(dc driver.QueryerContext, each func(row []driver.Value) error, query string, args ...driver.NamedValue) error {
	// With a context that can end the driver would start a goroutine.
	rows, err := dc.QueryContext(context.Background(), query, args)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	row := make([]driver.Value, len(rows.Columns()))
	for {
		err := rows.Next(row)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return engineError(err)
		}
		if err := each(row); err != nil {
			return err
		}
	}
}
