package jobs

import (
	"context"
	"time"

	"tallybook/archive"
	"tallybook/store"
)

// Standard are the jobs of every installation.
func Standard(st *store.Store, ar *archive.Archive) []Job {
	return []Job{
		{Name: "rollups", Schedule: "*/5 * * * *", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
			return BuildRollups(ctx, st, now, progress)
		}},
		{Name: "sketches", Schedule: "*/5 * * * *", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
			return MergeSketches(ctx, st, progress)
		}},
		{Name: "extremes", Schedule: "* * * * *", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
			return RecomputeExtremes(ctx, st, ar, progress)
		}},
		{Name: "backfill", Schedule: "@every 5s", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
			return Backfill(ctx, BackfillConfig{Store: st, Archive: ar, Now: func() time.Time { return now }, Progress: progress})
		}},
		{Name: "quota-reset", Schedule: "* * * * *", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
			return ResetQuotas(ctx, st, now, progress)
		}},
		ReconcileJob(st, ar),
	}
}
