package store

import (
	"context"
	"fmt"
	"time"

	"tallybook/schemas"
)

// maxPeriodsOpened bounds the periods that are made up for one quota after a
// downtime; of more, the latest are.
const maxPeriodsOpened = 100

// OpenQuotaPeriods gives a row to each period that began up to now, of up to limit
// quotas behind the subscription after. It returns the last subscription that it
// looked at, "" behind the last of all. Done again, or by two at once, it changes
// nothing: rows that are there stay as they are.
func (s *Store) OpenQuotaPeriods(ctx context.Context, after string, now time.Time, limit int) (last string, opened int64, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		last, opened = "", 0
		quotas, err := s.readQuotas(ctx, w.conn, `s.quota IS NOT NULL AND s.id > ? AND s.starts_at <= ? AND (s.ends_at IS NULL OR s.ends_at > ?)
			ORDER BY s.id LIMIT ?`, after, now.UnixMicro(), now.UnixMicro(), limit)
		if err != nil {
			return err
		}
		for _, q := range quotas {
			n, err := openPeriods(ctx, w, q, now)
			if err != nil {
				return err
			}
			opened += n
			last = q.Subscription
		}
		return nil
	})
	if err != nil {
		return "", 0, fmt.Errorf("open the periods of quotas: %w", err)
	}
	return last, opened, nil
}

func openPeriods(ctx context.Context, w *writeTx, q *schemas.QuotaMeter, now time.Time) (opened int64, err error) {
	period := q.Periods.At(now)
	var newest *int64
	err = w.conn.QueryRowContext(ctx, `SELECT MAX(period_start) FROM quota_use WHERE quota = ? AND period_start <= ?`,
		q.ID, now.UnixMicro()).Scan(&newest)
	if err != nil {
		return 0, engineError(err)
	}
	for range maxPeriodsOpened {
		start := period.Start.UnixMicro()
		if newest != nil && *newest >= start {
			break
		}
		n, err := w.execCount(ctx, `INSERT INTO quota_use (quota, period_start, period_end, used_units, used_nanos, told)
			VALUES (?, ?, ?, 0, 0, 0) ON CONFLICT DO NOTHING`, q.ID, start, microsOrNull(period.End))
		if err != nil {
			return opened, err
		}
		opened += n
		if newest == nil { // the first that there is
			break
		}
		period = q.Periods.At(period.Start.Add(-time.Microsecond))
	}
	return opened, nil
}
