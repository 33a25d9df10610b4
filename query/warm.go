package query

import (
	"context"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// Warm reads this month's and last month's rollups into memory, once the
// service is ready, and returns. Without it the first summary of many accounts
// after a start takes seconds; nothing is wrong without it, so that its errors
// are only logged.
func (q *Server) Warm(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for q.cfg.Ready() != nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
	month := schemas.DayOf(q.cfg.Now().UnixMicro()).MonthStart()
	before := (month - 1).MonthStart()
	err := q.cfg.Store.WarmBlocks(ctx, store.ColQuantity|store.ColAmount,
		store.HourRange{From: month.Hour(), To: month.MonthEnd().Hour()}, store.HourRange{From: before.Hour(), To: month.Hour()})
	if err != nil && ctx.Err() == nil {
		q.cfg.Log.Warn("read rollups ahead", "error", err)
	}
	return nil
}
