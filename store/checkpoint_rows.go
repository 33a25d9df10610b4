package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"time"

	"tallybook/schemas"
)

// insertSeries inserts those of the series that are not known to be there, and
// returns their ids. Known are only ids whose commit was answered.
func (s *Store) insertSeries(ctx context.Context, w *writeTx, c *Checkpoint) ([][16]byte, error) {
	var fresh []*schemas.Series
	for i := range c.Series {
		if !s.known.has(c.Series[i].ID) {
			fresh = append(fresh, &c.Series[i])
		}
	}
	slices.SortFunc(fresh, func(a, b *schemas.Series) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	ids := make([][16]byte, len(fresh))
	for i, series := range fresh {
		ids[i] = series.ID
	}
	return ids, w.bulk.series.write(ctx, w, len(fresh), func(i int, args []driver.NamedValue) {
		args[0].Value = fresh[i].ID[:]
		args[1].Value = fresh[i].Account
		args[2].Value = fresh[i].Family
		args[3].Value = fresh[i].DimsJSON()
	})
}

// addRollups adds the deltas to their hours, in the order of the key, so that
// each page is visited once, and marks what was built from those hours.
func addRollups(ctx context.Context, w *writeTx, c *Checkpoint) error {
	order := c.deltaOrder()
	used := groupsOf(c.Deltas)
	err := w.bulk.rollupsOf(used).write(ctx, w, len(order), func(i int, args []driver.NamedValue) {
		d := &c.Deltas[order[i]]
		series := &c.Series[d.Series]
		args[0].Value = int64(d.Hour)
		args[1].Value = series.Account
		args[2].Value = series.ID[:]
		bindMeasures(used, &d.Measures, args[3:])
	})
	if err != nil {
		return err
	}
	if err := markStale(ctx, w, c); err != nil {
		return err
	}
	return markDays(ctx, w, c)
}

// deltaOrder are the indexes of the deltas by (hour, account, series id). The
// series are ranked first, so that the deltas compare as integers.
func (c *Checkpoint) deltaOrder() []int32 {
	bySeries := make([]int32, len(c.Series))
	for i := range bySeries {
		bySeries[i] = int32(i)
	}
	slices.SortFunc(bySeries, func(a, b int32) int {
		x, y := &c.Series[a], &c.Series[b]
		if n := cmp.Compare(x.Account, y.Account); n != 0 {
			return n
		}
		return bytes.Compare(x.ID[:], y.ID[:])
	})
	rank := make([]int32, len(c.Series))
	for r, i := range bySeries {
		rank[i] = int32(r)
	}
	type place struct {
		key   uint64
		delta int32
	}
	places := make([]place, len(c.Deltas))
	for i := range c.Deltas {
		d := &c.Deltas[i] // the sign bit is turned, so that hours before 1970 come first
		places[i] = place{uint64(uint32(d.Hour)^1<<31)<<32 | uint64(rank[d.Series]), int32(i)}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Compare(a.key, b.key) })
	order := make([]int32, len(places))
	for i := range places {
		order[i] = places[i].delta
	}
	return order
}

// markDays records the days that this checkpoint brings rows or files of a
// topic for, and marks their built rows, and their month's, as dirty. A batch
// has few days (17 events' dates at most), so a statement each is cheap.
func markDays(ctx context.Context, w *writeTx, c *Checkpoint) error {
	type topicDay struct {
		topic schemas.Topic
		day   schemas.Day
	}
	seen := map[topicDay]bool{}
	hours := map[schemas.Hour]bool{}
	for i := range c.Deltas {
		d := &c.Deltas[i]
		seen[topicDay{c.topicOf(c.Series[d.Series].Family), d.Hour.Day()}] = true
		hours[d.Hour] = true
	}
	for i := range c.Files {
		seen[topicDay{c.Files[i].Dataset, c.Files[i].Day}] = true
	}
	order := slices.SortedFunc(maps.Keys(seen), func(a, b topicDay) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.day, b.day))
	})
	for _, td := range order {
		err := w.exec(ctx, `INSERT INTO topic_days (topic, day) VALUES (?, ?) ON CONFLICT DO NOTHING`,
			string(td.topic), int64(td.day))
		if err != nil {
			return err
		}
	}
	return markDirty(ctx, w, c.writer(), hours)
}

// writer is who changes the hours, to their readers.
func (c *Checkpoint) writer() string { return fmt.Sprintf("%s/%d", c.From.Topic, c.From.ID) }

// markDirty says that the hours changed: what was built from them, and copies of
// them in memory, no longer agree with them. A build that begins waits for us,
// or we see that it began: else it could miss our rows, and we its window.
func markDirty(ctx context.Context, w *writeTx, writer string, hours map[schemas.Hour]bool) error {
	if err := raiseHours(ctx, w, writer, hours); err != nil {
		return err
	}
	starts := map[Resolution]map[schemas.Hour]bool{Daily: {}, Monthly: {}}
	for hour := range hours {
		starts[Daily][hour.Day().Hour()] = true
		starts[Monthly][hour.Day().MonthStart().Hour()] = true
	}
	for _, res := range []Resolution{Daily, Monthly} {
		for _, start := range slices.Sorted(maps.Keys(starts[res])) {
			if err := w.lockShared(ctx, lockWindow, windowLock(res, start)); err != nil {
				return err
			}
			err := w.exec(ctx, `UPDATE built_windows SET dirty = 1 WHERE resolution = ? AND window_start = ? AND dirty = 0`,
				int64(res), int64(start))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func insertFiles(ctx context.Context, w *writeTx, c *Checkpoint) error {
	for i := range c.Files {
		if err := insertFile(ctx, w, &c.Files[i], c.From.Epoch, c.ClosedAt); err != nil {
			return err
		}
	}
	return nil
}

func insertFile(ctx context.Context, w *writeTx, f *ArchiveFile, epoch int64, at time.Time) error {
	return w.exec(ctx, `INSERT INTO archive_files (`+fileColumns+`, epoch, live_at) VALUES (`+placeholders(16)+`)`,
		f.Name, f.Staged, string(f.Dataset), int64(f.Day), string(f.Partition.Topic), f.Partition.ID, f.First, f.Last,
		f.Rows, f.Bytes, f.SHA256[:], f.MinTime, f.MaxTime, f.MaxLog, epoch, at.UnixMicro())
}

func insertErrors(ctx context.Context, w *writeTx, c *Checkpoint) error {
	for i := range c.Errors {
		e := &c.Errors[i]
		err := w.exec(ctx, `INSERT INTO errors (`+insertErrorColumns+`) VALUES (`+placeholders(20)+`)`,
			e.ID, e.Time, e.Account, string(e.Reason), e.Field, e.Message, e.Input, e.InputBytes, e.InputSHA256[:],
			string(e.Origin.Topic), e.Origin.ID, e.Offset, e.LastOffset, e.Records, int64(e.Status),
			e.Key, headersText(e.Headers), e.RecordTime, boolInt(e.Whole), e.Endpoint)
		if err != nil {
			return err
		}
	}
	return nil
}

func insertLedger(ctx context.Context, w *writeTx, c *Checkpoint) error {
	l := &c.Ledger
	return w.exec(ctx, `INSERT INTO ledger (`+ledgerColumns+`) VALUES (`+placeholders(15)+`)`,
		string(c.From.Topic), c.From.ID, l.First, l.Next, l.Records, l.Gaps, l.Counted, l.Duplicate, l.Rejected, l.OtherKey,
		l.Extra, c.To.Clock, c.From.Epoch, c.ClosedAt.UnixMicro(), l.HandedOn)
}
