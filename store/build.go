package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"tallybook/schemas"
)

const (
	// buildChunk is about how many rows of its source one transaction of a
	// build reads; live checkpoints go between two of them.
	buildChunk = 5_000
	// buildAttempts is how often a window is built again because a checkpoint
	// touched it meanwhile; then it stays unbuilt until the next run.
	buildAttempts = 3
)

var (
	// ErrTouched: checkpoints touched the window each time that it was built. It
	// stays unbuilt.
	ErrTouched = errors.New("checkpoints kept touching the window")
	// errOvertaken: a later build of the same window began.
	errOvertaken = errors.New("another build of the window began")
)

// BuildRollups builds the day or month rows of a closed window, or builds them
// again, in bounded transactions. Readers use them from the moment at which
// they agree with the hours, also while checkpoints touch the same window.
// window is the day, or any day of the month.
func (s *Store) BuildRollups(ctx context.Context, res Resolution, window schemas.Day) error {
	if res != Daily && res != Monthly {
		return fmt.Errorf("build rollups of resolution %d: days and months can be built", res)
	}
	start := window.Hour()
	if res == Monthly {
		start = window.MonthStart().Hour()
	}
	b := &build{s: s, res: res, start: start}
	err := ErrTouched
	for range buildAttempts {
		if err = b.run(ctx); !errors.Is(err, ErrTouched) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("build %s of %v: %w", res.table(), start.Day(), err)
	}
	return nil
}

// build is one attempt. If we die in it, the window stays in state building,
// which no reader uses and Unbuilt lists.
type build struct {
	s      *Store
	res    Resolution
	start  schemas.Hour
	number int64 // of this attempt
}

// rowKey is a place within a window.
type rowKey struct {
	account string
	series  []byte
}

func (b *build) run(ctx context.Context) error {
	if err := b.s.transactBeside(ctx, func(w *writeTx) error { return b.begin(ctx, w) }); err != nil {
		return err
	}
	at := &rowKey{series: []byte{}}
	for at != nil {
		var next *rowKey
		err := b.s.transactBeside(ctx, func(w *writeTx) (err error) {
			next, err = b.chunk(ctx, w, at)
			return err
		})
		if err != nil {
			return err
		}
		at = next
	}
	return b.s.step("built", func() error { return b.s.transactBeside(ctx, func(w *writeTx) error { return b.end(ctx, w) }) })
}

// end gives the window to readers.
func (b *build) end(ctx context.Context, w *writeTx) error {
	n, err := w.execCount(ctx, `UPDATE built_windows SET state = 1
		WHERE resolution = ? AND window_start = ? AND build = ? AND dirty = 0`, int64(b.res), int64(b.start), b.number)
	if err == nil && n == 0 {
		return ErrTouched
	}
	return err
}

// begin takes the window from readers: a checkpoint that touches it from here
// on sets dirty. It waits for those that have touched it before, whose rows the
// chunks would not see and who could not see this row.
func (b *build) begin(ctx context.Context, w *writeTx) error {
	if err := w.lock(ctx, lockWindow, windowLock(b.res, b.start)); err != nil {
		return err
	}
	if err := w.lock(ctx, lockBuild, windowLock(b.res, b.start)); err != nil {
		return err
	}
	return engineError(w.conn.QueryRowContext(ctx, `
		INSERT INTO built_windows (resolution, window_start, state, dirty, build) VALUES (?, ?, 0, 0, 1)
		ON CONFLICT (resolution, window_start) DO UPDATE SET state = 0, dirty = 0, build = built_windows.build + 1
		RETURNING build`, int64(b.res), int64(b.start)).Scan(&b.number))
}

// chunk rebuilds the rows behind a key, up to the key that it returns; nil: to
// the end. What is no longer in the source is deleted with the rest.
func (b *build) chunk(ctx context.Context, w *writeTx, after *rowKey) (*rowKey, error) {
	if err := w.lock(ctx, lockBuild, windowLock(b.res, b.start)); err != nil {
		return nil, err
	}
	var mine bool
	err := w.conn.QueryRowContext(ctx, `SELECT build = ? FROM built_windows WHERE resolution = ? AND window_start = ?`,
		b.number, int64(b.res), int64(b.start)).Scan(&mine)
	if err != nil {
		return nil, engineError(err)
	}
	if !mine {
		return nil, errOvertaken
	}
	sources, err := b.sources(ctx, w)
	if err != nil {
		return nil, err
	}
	last, err := lastKey(ctx, w.conn, sources, after)
	if err != nil {
		return nil, err
	}
	between, keys := ` AND (account, series) > (?, ?)`, []any{after.account, after.series}
	if last != nil {
		between, keys = between+` AND (account, series) <= (?, ?)`, append(keys, last.account, last.series)
	}
	err = w.exec(ctx, `DELETE FROM `+b.res.table()+` WHERE window_start = ?`+between, append([]any{b.start}, keys...)...)
	if err != nil {
		return nil, err
	}
	return last, b.insert(ctx, w, sources, between, keys)
}

// insert sums the sources between two keys. sum, or the cast of PostgreSQL's
// longer sums, fails where it would leave 64 bits, and the table where adding
// the carry does.
func (b *build) insert(ctx context.Context, w *writeTx, sources []segment, between string, keys []any) error {
	var parts []string
	args := []any{b.start}
	for _, res := range []Resolution{Hourly, Daily} {
		var starts []any
		for _, src := range sources {
			if src.res == res {
				starts = append(starts, src.from)
			}
		}
		if len(starts) > 0 {
			parts = append(parts, `SELECT account, series, `+measureColumns+` FROM `+res.table()+
				` WHERE window_start IN (`+placeholders(len(starts))+`)`+between)
			args = append(append(args, starts...), keys...)
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return w.exec(ctx, `INSERT INTO `+b.res.table()+` (window_start, account, series, `+measureColumns+`)
		SELECT CAST(? AS BIGINT), account, series, `+w.sums()+` FROM (`+strings.Join(parts, ` UNION ALL `)+`) AS source
		GROUP BY account, series`, args...)
}

// sums are measureColumns of several rows.
func (d *dialect) sums() string {
	sum := func(column string) string { return `CAST(sum(` + column + `) AS BIGINT)` }
	decimal := func(name string) string {
		units, nanos := sum(name+`_units`), sum(name+`_nanos`)
		return units + ` + ` + nanos + ` / 1000000000, ` + nanos + ` % 1000000000`
	}
	return strings.Join([]string{sum(`count`), decimal(`quantity`), sum(`value_count`), decimal(`value`),
		fmt.Sprintf(d.least, `value_min`), fmt.Sprintf(d.greatest, `value_max`), sum(`bytes`), decimal(`amount`)}, `, `)
}

// sources are the windows with rows to sum: a day's hours; a month's days where
// they are built and agree with their hours, else the hours. It is asked in
// each transaction: a day that is no longer built has made the month dirty too.
func (b *build) sources(ctx context.Context, w *writeTx) ([]segment, error) {
	end := windowEnd(b.res, b.start)
	var built []segment
	if b.res == Monthly {
		rows, err := w.conn.QueryContext(ctx, `SELECT resolution, window_start FROM built_windows
			WHERE state = 1 AND dirty = 0 AND resolution = 1 AND window_start >= ? AND window_start < ?
			ORDER BY window_start`, b.start, end)
		if built, err = scanAll(rows, err, scanBuilt); err != nil {
			return nil, err
		}
	}
	var all []segment
	for _, seg := range cover(b.start, end, built) {
		starts, err := windowsIn(ctx, w, seg)
		if err != nil {
			return nil, err
		}
		for _, at := range starts {
			all = append(all, segment{seg.res, at, at})
		}
	}
	return all, nil
}

// windowsIn are the windows of the segment that have rows, one seek each.
func windowsIn(ctx context.Context, w *writeTx, seg segment) ([]schemas.Hour, error) {
	rows, err := w.conn.QueryContext(ctx, existingWindows(seg.res)+` SELECT x FROM w WHERE x IS NOT NULL`,
		seg.from, seg.to, seg.to)
	return scanAll(rows, err, scanOne[schemas.Hour])
}

// existingWindows is the start of a query: w (x) are the windows in a range
// that have rows. Parameters: from, to, to.
func existingWindows(res Resolution) string {
	return `WITH RECURSIVE w (x) AS (
		SELECT min(window_start) FROM ` + res.table() + ` WHERE window_start >= ? AND window_start < ?
		UNION ALL
		SELECT (SELECT min(window_start) FROM ` + res.table() + ` WHERE window_start > w.x AND window_start < ?)
		FROM w WHERE w.x IS NOT NULL)`
}

// lastKey bounds a chunk: no source has more than its share of buildChunk rows
// between after and it. nil: all that is left fits.
func lastKey(ctx context.Context, q querier, sources []segment, after *rowKey) (*rowKey, error) {
	share := buildChunk/max(len(sources), 1) + 1
	var last *rowKey
	for _, src := range sources {
		k := &rowKey{}
		err := q.QueryRowContext(ctx, `SELECT account, series FROM `+src.res.table()+`
			WHERE window_start = ? AND (account, series) > (?, ?) ORDER BY account, series LIMIT 1 OFFSET ?`,
			src.from, after.account, after.series, share-1).Scan(&k.account, &k.series)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, engineError(err)
		}
		if last == nil || compareKeys(k, last) < 0 {
			last = k
		}
	}
	return last, nil
}

func compareKeys(a, b *rowKey) int {
	if n := strings.Compare(a.account, b.account); n != 0 {
		return n
	}
	return slices.Compare(a.series, b.series)
}

// Unbuilt are windows that end at or before the given day, for which rows or
// files were written, and that are not built or no longer agree with their
// hours; oldest first. A month is named by its first day.
func (v *View) Unbuilt(res Resolution, before schemas.Day, limit int) ([]schemas.Day, error) {
	days, err := collect(v, scanOne[schemas.Day], `SELECT DISTINCT day FROM topic_days WHERE day < ? ORDER BY day`, before)
	if err != nil {
		return nil, err
	}
	built, err := collect(v, scanBuilt, `SELECT resolution, window_start FROM built_windows
		WHERE state = 1 AND dirty = 0 AND resolution = ?`, int64(res))
	if err != nil {
		return nil, err
	}
	skip := map[schemas.Day]bool{}
	for _, b := range built {
		skip[b.from.Day()] = true
	}
	var unbuilt []schemas.Day
	for _, day := range days {
		if res == Monthly {
			day = day.MonthStart()
		}
		if skip[day] || windowEnd(res, day.Hour()) > before.Hour() {
			continue
		}
		skip[day] = true
		if unbuilt = append(unbuilt, day); len(unbuilt) == limit {
			break
		}
	}
	return unbuilt, nil
}
