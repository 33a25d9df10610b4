package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"tallybook/schemas"
)

// StaleQuery asks for hour rows whose least and greatest value may be wrong.
type StaleQuery struct {
	Family   string       // name; "": all
	From, To schemas.Hour // half-open
	Accounts []string     // nil: every account
	Limit    int          // 0: none
}

// StaleRow is an hour row from which a value was taken away. Its sums are
// exact; its ValueMin and ValueMax are not to be used, nor those of days and
// months that contain it, until they were computed from the archive again.
type StaleRow struct {
	Window     schemas.Hour
	Series     schemas.Series
	ValueCount int64  // of the hour row, in the same snapshot
	Version    string // of the mark: another one means that it was touched since
}

// Stale are the marks that the query asks for, by window, account and series.
func (v *View) Stale(q StaleQuery) ([]StaleRow, error) {
	where := filter{}
	where.add(`m.window_start >= ? AND m.window_start < ?`, q.From, q.To)
	if q.Accounts != nil {
		where.add(`m.account IN (`+placeholders(len(q.Accounts))+`)`, anys(q.Accounts)...)
	}
	if q.Family != "" {
		where.add(`s.family = ?`, q.Family)
	}
	query := `SELECT m.window_start, m.account, m.series, m.version, r.value_count, s.family, s.dims
		FROM stale_extremes m CROSS JOIN rollup_hours r CROSS JOIN series s` + where.sql() + `
		AND r.window_start = m.window_start AND r.account = m.account AND r.series = m.series AND s.id = m.series AND s.account = m.account
		ORDER BY m.window_start, m.account, m.series` + where.limit(q.Limit)
	rows, err := collect(v, scanStale, query, where.args...)
	if err != nil {
		return nil, fmt.Errorf("list stale extremes: %w", err)
	}
	return rows, nil
}

func scanStale(row scanner) (StaleRow, error) {
	var r StaleRow
	var id, dims []byte
	err := row.Scan(&r.Window, &r.Series.Account, &id, &r.Version, &r.ValueCount, &r.Series.Family, &dims)
	if err != nil {
		return r, err
	}
	if copy(r.Series.ID[:], id) != len(r.Series.ID) {
		return r, fmt.Errorf("stale extremes of hour %d: a series id of %d bytes", r.Window, len(id))
	}
	r.Series.Dims, err = parseDims(dims)
	return r, err
}

// markStale marks the hour rows that lost a value in this checkpoint, whose
// address in the log makes the version: it never recurs.
func markStale(ctx context.Context, w *writeTx, c *Checkpoint) error {
	var stale []int
	for i := range c.Deltas {
		if c.Deltas[i].Stale {
			stale = append(stale, i)
		}
	}
	version := fmt.Sprintf("%s/%d/%d", c.From.Topic, c.From.ID, c.To.Next)
	return w.bulk.stale.write(ctx, w, len(stale), func(i int, args []driver.NamedValue) {
		d := &c.Deltas[stale[i]]
		series := &c.Series[d.Series]
		bind(args, int64(d.Hour), series.Account, series.ID[:], version)
	})
}

func newStaleStatement() *bulk {
	return newBulk("stale_extremes", []column{{"window_start", integer}, {"account", text}, {"series", blob}, {"version", text}},
		` ON CONFLICT (window_start, account, series) DO UPDATE SET version = excluded.version`)
}

// Extremes are the least and greatest value of a stale row, computed from the
// archive's rows of the snapshot that the row is of.
type Extremes struct {
	StaleRow
	Min, Max schemas.Decimal // meaningful where ValueCount > 0
}

// extremesChunk bounds a transaction of SetExtremes: checkpoints go between two.
const extremesChunk = 500

// SetExtremes writes computed extremes and takes the marks away. A row that was
// touched since its snapshot keeps its mark and is computed again later: another
// retraction has changed the version, another value the count, since values
// leave an hour by retractions alone. It returns how many rows were set.
func (s *Store) SetExtremes(ctx context.Context, all []Extremes) (set int, err error) {
	for len(all) > 0 {
		chunk := all[:min(extremesChunk, len(all))]
		all = all[len(chunk):]
		n := 0
		err := s.step("extremes", func() error {
			return s.transactBeside(ctx, func(w *writeTx) (err error) {
				n, err = setExtremes(ctx, w, chunk)
				return err
			})
		})
		if err != nil {
			return set, fmt.Errorf("set extremes: %w", err)
		}
		set += n
	}
	return set, nil
}

func setExtremes(ctx context.Context, w *writeTx, chunk []Extremes) (set int, err error) {
	hours := map[schemas.Hour]bool{}
	for i := range chunk {
		e := &chunk[i]
		var least, greatest any
		if e.ValueCount > 0 {
			low, high := e.Min.SortKey(), e.Max.SortKey()
			least, greatest = low[:], high[:]
		}
		// Whoever changes the row holds it; with it in our hands, the mark stays.
		var count int64
		key := []any{int64(e.Window), e.Series.Account, e.Series.ID[:]}
		err = w.conn.QueryRowContext(ctx, `SELECT value_count FROM rollup_hours WHERE window_start = ? AND account = ? AND series = ?`+
			w.forUpdate, key...).Scan(&count)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return 0, engineError(err)
		}
		n, err := w.execCount(ctx, `UPDATE rollup_hours SET value_min = ?, value_max = ?
			WHERE window_start = ? AND account = ? AND series = ? AND value_count = ? AND EXISTS
			(SELECT 1 FROM stale_extremes m WHERE m.window_start = rollup_hours.window_start
				AND m.account = rollup_hours.account AND m.series = rollup_hours.series AND m.version = ?)`,
			append(append([]any{least, greatest}, key...), e.ValueCount, e.Version)...)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue
		}
		err = w.exec(ctx, `DELETE FROM stale_extremes WHERE window_start = ? AND account = ? AND series = ?`, key...)
		if err != nil {
			return 0, err
		}
		hours[e.Window] = true
		set++
	}
	return set, markDirty(ctx, w, "extremes", hours)
}
