package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"tallybook/schemas"
)

// SeriesSketch is a series' sketch of some window.
type SeriesSketch struct {
	Series schemas.SeriesID
	Sketch schemas.Sketch
}

// SketchPack is the sketches of an account's series in an hour: for each, sorted
// by its id, the id, the length of the sketch and the sketch.
type SketchPack struct {
	Account string
	Hour    schemas.Hour
	Pack    []byte
}

// AppendSketch appends a series' sketch to a pack; ids must come in order.
func AppendSketch(pack []byte, id schemas.SeriesID, s schemas.Sketch) []byte {
	var stack [512]byte
	body := s.Append(stack[:0])
	pack = append(pack, id[:]...)
	pack = binary.AppendUvarint(pack, uint64(len(body)))
	return append(pack, body...)
}

// eachSketch calls fn with the series of a pack; body is a sketch, not yet read.
func eachSketch(pack []byte, fn func(id schemas.SeriesID, body []byte) error) error {
	for len(pack) > 0 {
		var id schemas.SeriesID
		if copy(id[:], pack) != len(id) {
			return errPack
		}
		pack = pack[len(id):]
		n, size := binary.Uvarint(pack)
		if size <= 0 || n > uint64(len(pack)-size) {
			return errPack
		}
		if err := fn(id, pack[size:size+int(n)]); err != nil {
			return err
		}
		pack = pack[size+int(n):]
	}
	return nil
}

func readSketch(body []byte) (schemas.Sketch, error) {
	s, rest, err := schemas.ReadSketch(body)
	if err == nil && len(rest) > 0 {
		err = errPack
	}
	return s, err
}

const liveSketches = "live" // the source of a checkpoint's

// insertSketches appends the checkpoint's packs. A pack of a repeated key is a
// bug of the caller and refused by the table.
func insertSketches(ctx context.Context, w *writeTx, c *Checkpoint, source string) error {
	slices.SortFunc(c.Sketches, func(a, b SketchPack) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Hour, b.Hour))
	})
	for i := range c.Sketches {
		p := &c.Sketches[i]
		err := w.exec(ctx, `INSERT INTO sketch_deltas (account, window_start, topic, partition, first_offset, source, pack) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			p.Account, int64(p.Hour), string(c.From.Topic), c.From.ID, c.From.Next, source, p.Pack)
		if err != nil {
			return err
		}
	}
	return nil
}

// SketchQuery asks for the sketches of one family.
type SketchQuery struct {
	Family   *schemas.Family
	Accounts []string         // nil: every account
	From, To schemas.Hour     // half-open
	Filter   map[int][]string // dimension position → allowed values
}

// Sketches streams the sketches that a query asks for, in no order that may be
// relied on: of one hour and series there may be several, whose sum counts. The
// series' Dims are shared by all of its sketches and must not be changed.
func (v *View) Sketches(q SketchQuery, fn func(hour schemas.Hour, series *schemas.Series, s schemas.Sketch) error) error {
	if q.Accounts == nil {
		series, err := v.sketchSeries(&q, `family = ?`, q.Family.Name)
		if err != nil {
			return err
		}
		for _, table := range sketchTables {
			if err := v.sketchRows(&q, series, fn, eachAccount(table)+`
				SELECT t.window_start, t.pack FROM a CROSS JOIN `+table+` t
				WHERE t.account = a.x AND t.window_start >= ? AND t.window_start < ?`, q.From, q.To); err != nil {
				return err
			}
		}
		return nil
	}
	for accounts := range slices.Chunk(q.Accounts, namesPerQuery) {
		in := `account IN (` + placeholders(len(accounts)) + `)`
		series, err := v.sketchSeries(&q, in+` AND family = ?`, append(anys(accounts), q.Family.Name)...)
		if err != nil {
			return err
		}
		for _, table := range sketchTables {
			if err := v.sketchRows(&q, series, fn, `SELECT window_start, pack FROM `+table+`
				WHERE `+in+` AND window_start >= ? AND window_start < ?`, append(anys(accounts), q.From, q.To)...); err != nil {
				return err
			}
		}
	}
	return nil
}

var sketchTables = []string{"sketches", "sketch_deltas"}

// eachAccount is the start of a query: a (x) are the accounts of a table, one
// seek each.
func eachAccount(table string) string {
	return `WITH RECURSIVE a (x) AS (SELECT min(account) FROM ` + table + `
		UNION ALL SELECT (SELECT min(account) FROM ` + table + ` WHERE account > a.x) FROM a WHERE a.x IS NOT NULL)`
}

// sketchSeries are the wanted series, by id.
func (v *View) sketchSeries(q *SketchQuery, where string, args ...any) (map[schemas.SeriesID]*schemas.Series, error) {
	filter := &rollupReader{query: RollupQuery{Filter: q.Filter}}
	wanted := map[schemas.SeriesID]*schemas.Series{}
	list, err := collect(v, func(row scanner) (s *schemas.Series, err error) {
		s = &schemas.Series{Family: q.Family.Name}
		var id, dims []byte
		if err = row.Scan(&id, &s.Account, &dims); err == nil {
			copy(s.ID[:], id)
			s.Dims, err = parseDims(dims)
		}
		return s, err
	}, `SELECT id, account, dims FROM series WHERE `+where, args...)
	for _, s := range list {
		if filter.wants(s.Dims) {
			wanted[s.ID] = s
		}
	}
	return wanted, err
}

func (v *View) sketchRows(q *SketchQuery, series map[schemas.SeriesID]*schemas.Series,
	fn func(schemas.Hour, *schemas.Series, schemas.Sketch) error, query string, args ...any) error {
	type packed struct {
		hour schemas.Hour
		pack []byte
	}
	rows, err := v.tx.QueryContext(v.ctx, query, args...)
	if err != nil {
		return engineError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var p packed
		if err := rows.Scan(&p.hour, &p.pack); err != nil {
			return err
		}
		err := eachSketch(p.pack, func(id schemas.SeriesID, body []byte) error {
			s := series[id]
			if s == nil {
				return nil
			}
			sketch, err := readSketch(body)
			if err != nil {
				return err
			}
			return fn(p.hour, s, sketch)
		})
		if err != nil {
			return fmt.Errorf("sketches of %s: %w", p.hour.Time().Format("2006-01-02T15"), err)
		}
	}
	return engineError(rows.Err())
}

// MergeSketches moves up to limit rows of deltas into the one row of their
// account and hour, in one transaction. Merging is adding, so that it matters
// neither which rows one call takes nor what is appended meanwhile. It returns
// how many it took.
func (s *Store) MergeSketches(ctx context.Context, limit int) (taken int, err error) {
	type delta struct {
		account         string
		hour            schemas.Hour
		topic, source   string
		partition, from int64
		pack            []byte
	}
	err = s.transact(ctx, func(w *writeTx) error {
		rows, err := w.conn.QueryContext(ctx, `SELECT account, window_start, topic, partition, first_offset, source, pack
			FROM sketch_deltas ORDER BY account, window_start LIMIT ?`, limit)
		deltas, err := scanAll(rows, err, func(row scanner) (d delta, err error) {
			return d, row.Scan(&d.account, &d.hour, &d.topic, &d.partition, &d.from, &d.source, &d.pack)
		})
		if err != nil {
			return err
		}
		taken = len(deltas)
		for len(deltas) > 0 {
			n := 1
			for n < len(deltas) && deltas[n].account == deltas[0].account && deltas[n].hour == deltas[0].hour {
				n++
			}
			packs := make([][]byte, n)
			for i, d := range deltas[:n] {
				packs[i] = d.pack
				err := w.exec(ctx, `DELETE FROM sketch_deltas WHERE account = ? AND window_start = ? AND topic = ? AND partition = ? AND first_offset = ? AND source = ?`,
					d.account, int64(d.hour), d.topic, d.partition, d.from, d.source)
				if err != nil {
					return err
				}
			}
			if err := mergeInto(ctx, w, deltas[0].account, deltas[0].hour, packs); err != nil {
				return err
			}
			deltas = deltas[n:]
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("merge sketches: %w", err)
	}
	return taken, nil
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
