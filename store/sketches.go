package store

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
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

// dayPacks is what a checkpoint appends for an account and date: for each hour,
// its number in the day, the length of its pack and the pack.
type dayPacks struct {
	account string
	day     schemas.Day
	packs   []byte
}

func newSketchStatement() *bulk {
	return newBulk("sketch_deltas", []column{{"account", text}, {"day", integer}, {"packs", blob}}, ``)
}

// insertSketches appends the checkpoint's packs.
func insertSketches(ctx context.Context, w *writeTx, c *Checkpoint) error {
	slices.SortStableFunc(c.Sketches, func(a, b SketchPack) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Hour, b.Hour))
	})
	var days []dayPacks
	for i := range c.Sketches {
		p := &c.Sketches[i]
		day := p.Hour.Day()
		if n := len(days); n == 0 || days[n-1].account != p.Account || days[n-1].day != day {
			days = append(days, dayPacks{account: p.Account, day: day})
		}
		d := &days[len(days)-1]
		d.packs = append(d.packs, byte(p.Hour-day.Hour()))
		d.packs = binary.AppendUvarint(d.packs, uint64(len(p.Pack)))
		d.packs = append(d.packs, p.Pack...)
	}
	return w.bulk.sketches.write(ctx, w, len(days), func(i int, args []driver.NamedValue) {
		args[0].Value, args[1].Value, args[2].Value = days[i].account, int64(days[i].day), days[i].packs
	})
}

// eachHour calls fn with the packs of an account and date.
func (d *dayPacks) eachHour(fn func(hour schemas.Hour, pack []byte) error) error {
	for packs := d.packs; len(packs) > 0; {
		n, size := binary.Uvarint(packs[1:])
		if packs[0] > 23 || size <= 0 || n > uint64(len(packs)-1-size) {
			return errPack
		}
		end := 1 + size + int(n)
		if err := fn(d.day.Hour()+schemas.Hour(packs[0]), packs[1+size:end]); err != nil {
			return err
		}
		packs = packs[end:]
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
	if q.From >= q.To {
		return nil
	}
	if q.Accounts == nil {
		return v.sketches(&q, `family = ?`, []any{q.Family.Name}, func(table, columns string) (string, []any) {
			return eachAccount(table) + ` SELECT ` + columns + ` FROM a CROSS JOIN ` + table + ` WHERE account = a.x`, nil
		}, fn)
	}
	for accounts := range slices.Chunk(q.Accounts, namesPerQuery) {
		in, args := `account IN (`+placeholders(len(accounts))+`)`, anys(accounts)
		err := v.sketches(&q, in+` AND family = ?`, append(args[:len(args):len(args)], q.Family.Name), func(table, columns string) (string, []any) {
			return `SELECT ` + columns + ` FROM ` + table + ` WHERE ` + in, args
		}, fn)
		if err != nil {
			return err
		}
	}
	return nil
}

// sketches reads both tables; rows begins a query of one of them, to which a
// range is added.
func (v *View) sketches(q *SketchQuery, where string, args []any, rows func(table, columns string) (string, []any),
	fn func(schemas.Hour, *schemas.Series, schemas.Sketch) error) error {
	series, err := v.sketchSeries(q, where, args...)
	if err != nil {
		return err
	}
	pack := func(hour schemas.Hour, pack []byte) error {
		if hour < q.From || hour >= q.To {
			return nil
		}
		return eachSketch(pack, func(id schemas.SeriesID, body []byte) error {
			s := series[id]
			if s == nil {
				return nil
			}
			sketch, err := readSketch(body)
			if err != nil {
				return err
			}
			return fn(hour, s, sketch)
		})
	}
	query, args := rows("sketches", "account, window_start, pack")
	err = v.stream(func(rows *sql.Rows) error {
		var account string
		var hour schemas.Hour
		var b sql.RawBytes
		if err := rows.Scan(&account, &hour, &b); err != nil {
			return err
		}
		return pack(hour, b)
	}, query+` AND window_start >= ? AND window_start < ?`, append(slices.Clone(args), q.From, q.To)...)
	if err != nil {
		return fmt.Errorf("sketches: %w", err)
	}
	query, args = rows("sketch_deltas", "account, day, packs")
	err = v.stream(func(rows *sql.Rows) error {
		var d dayPacks
		var b sql.RawBytes
		if err := rows.Scan(&d.account, &d.day, &b); err != nil {
			return err
		}
		d.packs = b
		return d.eachHour(pack)
	}, query+` AND day >= ? AND day <= ?`, append(slices.Clone(args), q.From.Day(), (q.To-1).Day())...)
	if err != nil {
		return fmt.Errorf("sketches that are not merged: %w", err)
	}
	return nil
}

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
