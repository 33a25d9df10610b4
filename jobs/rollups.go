package jobs

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

const (
	unbuiltBatch = 64
	// maxBuilds bounds one run where late hours make windows dirty as fast as
	// they are built; the next run goes on.
	maxBuilds = 4096
)

// BuildRollups builds the day rows, then the month rows, of every window that
// has closed before now's date and is not built, or is dirty. Each window is
// durable by itself, so that a run that is cut off loses nothing. One that
// checkpoints touch all the time is left to the next run, and keeps no other from
// being built.
func BuildRollups(ctx context.Context, st *store.Store, now time.Time, progress func(string)) error {
	b := &rollupBuilder{store: st, before: schemas.DayOf(now.UnixMicro()), progress: progress}
	if progress == nil {
		b.progress = func(string) {}
	}
	for _, res := range []store.Resolution{store.Daily, store.Monthly} {
		if err := b.buildAll(ctx, res); err != nil {
			return err
		}
	}
	return nil
}

type rollupBuilder struct {
	store    *store.Store
	before   schemas.Day
	progress func(string)
}

func (b *rollupBuilder) buildAll(ctx context.Context, res store.Resolution) error {
	touched := map[schemas.Day]bool{}
	for built := 0; built < maxBuilds; {
		var windows []schemas.Day
		err := b.store.View(ctx, func(v *store.View) (err error) {
			windows, err = v.Unbuilt(res, b.before, unbuiltBatch+len(touched))
			return err
		})
		if err != nil {
			return fmt.Errorf("list unbuilt windows: %w", err)
		}
		windows = slices.DeleteFunc(windows, func(window schemas.Day) bool { return touched[window] })
		if len(windows) == 0 {
			return nil
		}
		for _, window := range windows {
			err := b.store.BuildRollups(ctx, res, window)
			if errors.Is(err, store.ErrTouched) {
				touched[window] = true
				b.progress(fmt.Sprintf("left %s of %s, which checkpoints keep touching", windowName(res), window))
				continue
			}
			if err != nil {
				return fmt.Errorf("build %s of %s: %w", windowName(res), window, err)
			}
			built++
			b.progress(fmt.Sprintf("built %s of %s", windowName(res), window))
		}
	}
	return nil
}

func windowName(res store.Resolution) string {
	if res == store.Monthly {
		return "month"
	}
	return "day"
}
