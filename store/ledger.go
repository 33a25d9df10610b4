package store

import (
	"time"

	"tallybook/schemas"
)

// LedgerRow is what one checkpoint accounted for.
type LedgerRow struct {
	schemas.Partition
	Ledger
	Clock int64 // log clock behind it, µs
	Epoch int64
	At    time.Time // when its batch was closed
}

const ledgerColumns = `topic, partition, first_offset, next_offset, records, gaps, counted, duplicate, rejected,
	other_key, extra_rows, clock, epoch, closed_at, handed_on`

// Ledger are a partition's rows with First >= after, in order; at most limit
// where limit > 0.
func (v *View) Ledger(tp schemas.Partition, after int64, limit int) ([]LedgerRow, error) {
	where := filter{}
	where.add(`topic = ? AND partition = ? AND first_offset >= ?`, string(tp.Topic), tp.ID, after)
	query := `SELECT ` + ledgerColumns + ` FROM ledger` + where.sql() + ` ORDER BY first_offset` + where.limit(limit)
	return collect(v, scanLedger, query, where.args...)
}

func scanLedger(row scanner) (LedgerRow, error) {
	var r LedgerRow
	var at int64
	l := &r.Ledger
	err := row.Scan(&r.Topic, &r.ID, &l.First, &l.Next, &l.Records, &l.Gaps, &l.Counted, &l.Duplicate, &l.Rejected,
		&l.OtherKey, &l.Extra, &r.Clock, &r.Epoch, &at, &l.HandedOn)
	r.At = time.UnixMicro(at).UTC()
	return r, err
}

// ErrorCounts is the sum of Records of the error rows by origin partition, also
// of those that retention removed.
func (v *View) ErrorCounts() (map[schemas.Partition]int64, error) {
	type count struct {
		tp      schemas.Partition
		records int64
	}
	all, err := collect(v, func(row scanner) (c count, err error) {
		return c, row.Scan(&c.tp.Topic, &c.tp.ID, &c.records)
	}, `SELECT topic, partition, CAST(sum(records) AS BIGINT) FROM (
			SELECT origin_topic AS topic, origin_partition AS partition, records FROM errors
			UNION ALL SELECT topic, partition, records FROM errors_removed) AS counted GROUP BY topic, partition`)
	counts := make(map[schemas.Partition]int64, len(all))
	for _, c := range all {
		counts[c.tp] = c.records
	}
	return counts, err
}
