package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"tallybook/schemas"
)

// Metering is what a checkpoint says about the declared meters.
type Metering struct {
	// Generation of the list of meters that the whole batch was folded with.
	Generation int64
	// Folded are the meters of that list.
	Folded []MeterID
	// Fresh are those of Folded that the owner does not know to be live of this
	// partition: from the batch's first offset on they are, unless they were.
	Fresh []MeterID
}

// checkMeters fences a checkpoint that was folded without a meter that is live
// of its partition: its events would be missing from that meter for ever. That
// happens where somebody else made the meter live, and this owner has not read
// the list since.
func checkMeters(ctx context.Context, w *writeTx, c *Checkpoint) error {
	var generation int64
	if err := w.conn.QueryRowContext(ctx, `SELECT generation FROM meter_generation`).Scan(&generation); err != nil {
		return engineError(err)
	}
	if generation == c.Metering.Generation {
		return nil
	}
	rows, err := w.conn.QueryContext(ctx, `SELECT l.slug, l.version FROM meter_live l JOIN meters m ON m.slug = l.slug AND m.version = l.version
		WHERE l.topic = ? AND l.partition = ? AND m.deleted_at IS NULL`, string(c.From.Topic), c.From.ID)
	live, err := scanAll(rows, err, scanMeterID)
	if err != nil {
		return err
	}
	folded := map[MeterID]bool{}
	for _, id := range c.Metering.Folded {
		folded[id] = true
	}
	for _, id := range live {
		if !folded[id] {
			return errFenced
		}
	}
	return nil
}

// topicOf is the topic of a family: a declared meter's is that of its events.
func (c *Checkpoint) topicOf(family string) schemas.Topic {
	if f := schemas.FamilyByName(family); f != nil {
		return f.Topic
	}
	return c.From.Topic
}

func scanMeterID(row scanner) (id MeterID, err error) { return id, row.Scan(&id.Slug, &id.Version) }

func insertLive(ctx context.Context, w *writeTx, tp schemas.Partition, from int64, ids []MeterID) error {
	for _, id := range ids {
		err := w.exec(ctx, `INSERT INTO meter_live (slug, version, topic, partition, from_offset) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			id.Slug, id.Version, string(tp.Topic), tp.ID, from)
		if err != nil {
			return err
		}
	}
	return nil
}

// MarkLive says that the owner of a partition, which has nothing folded and
// nothing under way, folds all from pos on with these meters. It says nothing
// where the partition stands elsewhere or is another's: then it returns false.
func (s *Store) MarkLive(ctx context.Context, pos Position, ids []MeterID) (marked bool, err error) {
	err = s.transactBeside(ctx, func(w *writeTx) error {
		now, err := scanPosition(w.conn.QueryRowContext(ctx, positionQuery+w.forUpdate, string(pos.Topic), pos.ID))
		if err != nil {
			return engineError(err)
		}
		if marked = now.Epoch == pos.Epoch && now.Next == pos.Next; !marked {
			return nil
		}
		return insertLive(ctx, w, pos.Partition, pos.Next, ids)
	})
	if err != nil {
		return false, fmt.Errorf("mark meters live of %s/%d: %w", pos.Topic, pos.ID, err)
	}
	return marked, nil
}

// AdoptIdle makes a meter live, from their positions on, of the partitions of
// its topic of which it is not: those that no worker has at present. A worker
// that has one after all, and does not know the meter, is fenced at its next
// checkpoint.
func (s *Store) AdoptIdle(ctx context.Context, m *schemas.Meter) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `INSERT INTO meter_live (slug, version, topic, partition, from_offset)
			SELECT CAST(? AS TEXT), CAST(? AS BIGINT), topic, partition, next_offset FROM positions WHERE topic = ?`+w.forUpdate+` ON CONFLICT DO NOTHING`,
			m.Slug, m.Version, string(m.Family.Topic))
	})
	if err != nil {
		return fmt.Errorf("make meter %s live: %w", m.Slug, err)
	}
	return nil
}

// MeterUnit is a unit of backfill: the archive rows of a partition and date
// below From, the first offset that was folded live. No row is added to it.
type MeterUnit struct {
	Partition schemas.Partition
	From      int64
	Day       schemas.Day
}

const pendingUnits = ` FROM meter_live l JOIN archive_files f
	ON f.topic = l.topic AND f.partition = l.partition AND f.dataset = l.topic AND f.retired_at IS NULL AND f.first_offset < l.from_offset
	WHERE l.slug = ? AND l.version = ? AND NOT EXISTS (SELECT 1 FROM meter_backfill b
		WHERE b.slug = l.slug AND b.version = l.version AND b.topic = l.topic AND b.partition = l.partition AND b.day = f.day)`

// MeterUnits are units of a meter that are not filled, the newest dates first.
func (v *View) MeterUnits(id MeterID, limit int) ([]MeterUnit, error) {
	return collect(v, func(row scanner) (u MeterUnit, err error) {
		return u, row.Scan(&u.Partition.Topic, &u.Partition.ID, &u.From, &u.Day)
	}, `SELECT DISTINCT l.topic, l.partition, l.from_offset, f.day`+pendingUnits+` ORDER BY f.day DESC, l.partition LIMIT ?`,
		id.Slug, id.Version, limit)
}

// MeterWaits are the partitions of the meter's topic of which it is not live yet.
func (v *View) MeterWaits(m *schemas.Meter) ([]schemas.Partition, error) {
	return collect(v, func(row scanner) (tp schemas.Partition, err error) {
		return tp, row.Scan(&tp.Topic, &tp.ID)
	}, `SELECT topic, partition`+waitingPartitions, string(m.Family.Topic), m.Slug, m.Version)
}

const waitingPartitions = ` FROM positions p WHERE p.topic = ? AND NOT EXISTS (SELECT 1 FROM meter_live l
	WHERE l.slug = ? AND l.version = ? AND l.topic = p.topic AND l.partition = p.partition)`

// MeterFill is what the rows of a unit add to a meter.
type MeterFill struct {
	Meter    *schemas.Meter
	Unit     MeterUnit
	Rows     int64            // archive rows that were folded
	Series   []schemas.Series // every series that Deltas name
	Deltas   []Delta          // one per (hour, series)
	Sketches []SketchPack
}

// FillMeter writes a unit in one transaction. filled is false, and nothing was
// written, where it had been filled before or the meter is deleted.
func (s *Store) FillMeter(ctx context.Context, f MeterFill) (filled bool, err error) {
	id, u := MeterIDOf(f.Meter), f.Unit
	c := &Checkpoint{From: Position{Partition: u.Partition}, Series: f.Series, Deltas: f.Deltas, Sketches: f.Sketches}
	var ids [][16]byte
	err = s.step("fill", func() error {
		return s.transactBeside(ctx, func(w *writeTx) error {
			err := s.step("note", func() (err error) {
				filled, err = s.noteFilled(ctx, w, id, &f)
				return err
			})
			if err != nil || !filled {
				return err
			}
			if err := s.step("series", func() (err error) { ids, err = s.insertSeries(ctx, w, c); return err }); err != nil {
				return err
			}
			if err := s.step("rollups", func() error { return addRollups(ctx, w, c) }); err != nil {
				return err
			}
			return s.step("sketches", func() error { return insertSketches(ctx, w, c) })
		})
	})
	if err != nil {
		return false, fmt.Errorf("fill meter %s, %s/%d of %s: %w", id.Slug, u.Partition.Topic, u.Partition.ID, u.Day, err)
	}
	s.known.add(ids)
	return filled, nil
}

// noteFilled is false where the unit was filled before, or the meter is deleted.
func (s *Store) noteFilled(ctx context.Context, w *writeTx, id MeterID, f *MeterFill) (bool, error) {
	u := &f.Unit
	n, err := w.execCount(ctx, `INSERT INTO meter_backfill (slug, version, topic, partition, day, rows, done_at)
		SELECT slug, version, topic, CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT), CAST(? AS BIGINT) FROM meters WHERE slug = ? AND version = ? AND topic = ? AND deleted_at IS NULL
		ON CONFLICT DO NOTHING`,
		u.Partition.ID, int64(u.Day), f.Rows, s.opts.Now().UnixMicro(), id.Slug, id.Version, string(u.Partition.Topic))
	return n == 1, err
}

// CompleteMeter marks a meter whose every event is in its rollups: it is live of
// all partitions, and all units are filled. Else it returns false.
func (s *Store) CompleteMeter(ctx context.Context, m *schemas.Meter) (complete bool, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		var waits, pending bool
		err := w.conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1`+waitingPartitions+`), EXISTS (SELECT 1`+pendingUnits+`)`,
			string(m.Family.Topic), m.Slug, m.Version, m.Slug, m.Version).Scan(&waits, &pending)
		if err != nil {
			return engineError(err)
		}
		if complete = !waits && !pending; !complete {
			return nil
		}
		return w.exec(ctx, `UPDATE meters SET complete_at = ? WHERE slug = ? AND version = ? AND complete_at IS NULL`,
			s.opts.Now().UnixMicro(), m.Slug, m.Version)
	})
	if err != nil {
		return false, fmt.Errorf("complete meter %s: %w", m.Slug, err)
	}
	return complete, nil
}

// MeterHours streams the hour rows of a day whose families are named; the Rollup
// is used again, its Family is that of the map.
func (v *View) MeterHours(day schemas.Day, families map[string]*schemas.Family, fn func(*schemas.Family, *Rollup) error) error {
	if len(families) == 0 {
		return nil
	}
	var account, family string
	var dims []byte
	r := newRollupScan(&account, &dims, &family)
	return v.stream(func(rows *sql.Rows) error {
		if err := r.scan(rows); err != nil {
			return err
		}
		f := families[family]
		if f == nil || r.Measures == (schemas.Measures{}) {
			return nil
		}
		r.Series.Account, r.Series.Family = account, f.Name
		var err error
		if r.Series.Dims, err = parseDims(dims); err != nil {
			return err
		}
		return fn(f, &r.Rollup)
	}, `SELECT `+rollupColumns+`, s.family FROM rollup_hours r CROSS JOIN series s
		WHERE r.window_start >= ? AND r.window_start < ? AND s.id = r.series AND s.account = r.account AND s.family >= ? AND s.family < ?`,
		day.Hour(), (day + 1).Hour(), schemas.MeterFamilyPrefix, "meter;") // ';' follows ':'
}

var errPack = errors.New("a pack of sketches is damaged")
