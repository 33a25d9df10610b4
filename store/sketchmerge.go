package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"tallybook/schemas"
)

// MergeSketches moves up to limit rows that checkpoints appended into the rows of
// their hours, in one transaction. Merging is adding, so that it matters neither
// which rows one call takes nor what is appended meanwhile. It returns how many
// it took.
func (s *Store) MergeSketches(ctx context.Context, limit int) (taken int, err error) {
	err = s.transactBeside(ctx, func(w *writeTx) error {
		if err := w.lock(ctx, lockSketches, 0); err != nil {
			return err
		}
		var ids []int64
		rows, err := w.conn.QueryContext(ctx, `SELECT id, account, day, packs FROM sketch_deltas ORDER BY account, day LIMIT ?`, limit)
		deltas, err := scanAll(rows, err, func(row scanner) (d dayPacks, err error) {
			var id int64
			err = row.Scan(&id, &d.account, &d.day, &d.packs)
			ids = append(ids, id)
			return d, err
		})
		if err != nil {
			return err
		}
		taken = len(deltas)
		for _, id := range ids {
			if err := w.exec(ctx, `DELETE FROM sketch_deltas WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return mergeDeltas(ctx, w, deltas)
	})
	if err != nil {
		return 0, fmt.Errorf("merge sketches: %w", err)
	}
	return taken, nil
}

// mergeDeltas adds rows, which are sorted by account and date, to their hours.
func mergeDeltas(ctx context.Context, w *writeTx, deltas []dayPacks) error {
	for len(deltas) > 0 {
		n := 1
		for n < len(deltas) && deltas[n].account == deltas[0].account && deltas[n].day == deltas[0].day {
			n++
		}
		var hours [24][][]byte
		first := deltas[0].day.Hour()
		for i := range n {
			err := deltas[i].eachHour(func(hour schemas.Hour, pack []byte) error {
				hours[hour-first] = append(hours[hour-first], pack)
				return nil
			})
			if err != nil {
				return fmt.Errorf("account %s, %s: %w", deltas[i].account, deltas[i].day, err)
			}
		}
		for h, packs := range hours {
			if len(packs) == 0 {
				continue
			}
			if err := mergeInto(ctx, w, deltas[0].account, first+schemas.Hour(h), packs); err != nil {
				return err
			}
		}
		deltas = deltas[n:]
	}
	return nil
}

// mergeInto adds packs to the row of an account and hour.
func mergeInto(ctx context.Context, w *writeTx, account string, hour schemas.Hour, packs [][]byte) error {
	rows, err := w.conn.QueryContext(ctx, `SELECT pack FROM sketches WHERE account = ? AND window_start = ?`, account, int64(hour))
	there, err := scanAll(rows, err, scanOne[[]byte])
	if err != nil {
		return err
	}
	merged, err := mergePacks(append(there, packs...))
	if err != nil {
		return fmt.Errorf("account %s, %s: %w", account, hour.Time().Format("2006-01-02T15"), err)
	}
	return w.exec(ctx, `INSERT INTO sketches (account, window_start, pack) VALUES (?, ?, ?)
		ON CONFLICT (account, window_start) DO UPDATE SET pack = excluded.pack`, account, int64(hour), merged)
}

func mergePacks(packs [][]byte) ([]byte, error) {
	sums := map[schemas.SeriesID][]schemas.SketchCount{}
	for _, pack := range packs {
		err := eachSketch(pack, func(id schemas.SeriesID, body []byte) error {
			sketch, err := readSketch(body)
			sums[id] = append(sums[id], sketch...)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	ids := make([]schemas.SeriesID, 0, len(sums))
	for id := range sums {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b schemas.SeriesID) int { return bytes.Compare(a[:], b[:]) })
	merged := []byte{}
	for _, id := range ids {
		if sketch := schemas.SketchOf(sums[id]); len(sketch) > 0 {
			merged = AppendSketch(merged, id, sketch)
		}
	}
	return merged, nil
}
