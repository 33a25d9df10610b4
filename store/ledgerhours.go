package store

import (
	"errors"
	"fmt"
	"time"

	"tallybook/schemas"
)

// LedgerHour is what the checkpoints of a topic accounted for whose batches were
// closed within an hour.
type LedgerHour struct {
	Topic       schemas.Topic
	Start       time.Time
	Checkpoints int64
	Ledger      // sums; First and Next are zero
}

// LastCheckpoint is a partition's latest row of the ledger; ErrNotFound.
func (v *View) LastCheckpoint(tp schemas.Partition) (LedgerRow, error) {
	rows, err := collect(v, scanLedger, `SELECT `+ledgerColumns+` FROM ledger WHERE topic = ? AND partition = ?
		ORDER BY first_offset DESC LIMIT 1`, string(tp.Topic), tp.ID)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return LedgerRow{}, fmt.Errorf("last checkpoint of %s/%d: %w", tp.Topic, tp.ID, err)
	}
	return rows[0], nil
}

// LedgerHours adds up a partition's ledger by the hour, from a time on. The
// ledger is by offset: its row of that time is found by halving, since offsets
// and times rise together, so that no row before it is read.
func (v *View) LedgerHours(p *Position, from time.Time) ([]LedgerHour, error) {
	first, err := v.ledgerAt(p, from.UnixMicro())
	if err != nil {
		return nil, fmt.Errorf("ledger of %s/%d from %v: %w", p.Topic, p.ID, from, err)
	}
	const hour = int64(time.Hour / time.Microsecond)
	return collect(v, func(row scanner) (h LedgerHour, err error) {
		h.Topic = p.Topic
		var at int64
		l := &h.Ledger
		err = row.Scan(&at, &h.Checkpoints, &l.Records, &l.Gaps, &l.Counted, &l.Duplicate, &l.Rejected, &l.OtherKey, &l.Extra, &l.HandedOn)
		h.Start = time.UnixMicro(at * hour).UTC()
		return h, err
	}, `SELECT closed_at / ? AS closed_hour, COUNT(*), CAST(SUM(records) AS BIGINT), CAST(SUM(gaps) AS BIGINT), CAST(SUM(counted) AS BIGINT),
		CAST(SUM(duplicate) AS BIGINT), CAST(SUM(rejected) AS BIGINT), CAST(SUM(other_key) AS BIGINT), CAST(SUM(extra_rows) AS BIGINT), CAST(SUM(handed_on) AS BIGINT)
		FROM ledger WHERE topic = ? AND partition = ? AND first_offset >= ? AND closed_at >= ? GROUP BY 1 ORDER BY 1`,
		hour, string(p.Topic), p.ID, first, from.UnixMicro())
}

// ledgerAt is an offset at or before the first checkpoint that was closed at a
// time or later.
func (v *View) ledgerAt(p *Position, from int64) (int64, error) {
	low, high := int64(0), p.Next
	for low < high {
		middle := low + (high-low)/2
		rows, err := v.Ledger(p.Partition, middle, 1)
		if err != nil {
			return 0, err
		}
		if len(rows) == 0 || rows[0].At.UnixMicro() >= from {
			high = middle
		} else {
			low = rows[0].Next
		}
	}
	return low, nil
}

// LastCheckpoints are those of partitions; a partition without one is left out.
func (v *View) LastCheckpoints(positions []Position) (map[schemas.Partition]LedgerRow, error) {
	found := make(map[schemas.Partition]LedgerRow, len(positions))
	for _, p := range positions {
		row, err := v.LastCheckpoint(p.Partition)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found[p.Partition] = row
	}
	return found, nil
}
