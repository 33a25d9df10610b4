package jobs

import (
	"context"
	"fmt"
	"time"

	"tallybook/store"
)

// RetainAtLeast is the least time that anything is kept: an alert or mail that is
// tried again, or an error that is looked at, is younger.
const RetainAtLeast = 7 * 24 * time.Hour

// RetentionConfig of a Retention: how long things are kept; 0 is for ever.
// Store and Lease are required.
type RetentionConfig struct {
	Store    *store.Store
	Lease    store.Lease
	Now      time.Time
	Mails    time.Duration // mails that are settled, their Idempotency-Keys, and alerts that are done
	Errors   time.Duration // error rows that are resolved or were sent again
	Progress func(string)  // nil: none
}

// Retention removes what is older than it is to be kept, in transactions of a few
// hundred rows. It may die at any of them; the next run goes on.
func Retention(ctx context.Context, cfg RetentionConfig) error {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	for _, part := range []struct {
		what   string
		keep   time.Duration
		remove func(context.Context, store.Lease, time.Time) (int, bool, error)
	}{
		{"mails", cfg.Mails, cfg.Store.RemoveMails},
		{"alerts", cfg.Mails, cfg.Store.RemoveAlerts},
		{"errors", cfg.Errors, cfg.Store.RemoveErrors},
	} {
		if part.keep == 0 {
			continue
		}
		removed := 0
		for more := true; more; {
			n, again, err := part.remove(ctx, cfg.Lease, cfg.Now.Add(-part.keep))
			if err != nil {
				return err
			}
			removed, more = removed+n, again
		}
		if removed > 0 {
			cfg.Progress(fmt.Sprintf("removed %d %s", removed, part.what))
		}
	}
	return nil
}

// RetentionJob runs every night; Lease, Now and Progress are the run's.
func RetentionJob(cfg RetentionConfig) Job {
	return Job{Name: "retention", Schedule: "20 3 * * *", Leased: func(ctx context.Context, l store.Lease, now time.Time, progress func(string)) error {
		run := cfg
		run.Lease, run.Now, run.Progress = l, now, progress
		return Retention(ctx, run)
	}}
}
