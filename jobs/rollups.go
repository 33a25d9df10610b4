package jobs

import (
	"context"
	"fmt"
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
// durable by itself, so that a run that is cut off loses nothing.
func BuildRollups(ctx context.Context, st *store.Store, now time.Time, progress func(string)) error {
	before := schemas.DayOf(now.UnixMicro())
	for _, res := range []store.Resolution{store.Daily, store.Monthly} {
		for built := 0; built < maxBuilds; {
			var windows []schemas.Day
			err := st.View(ctx, func(v *store.View) (err error) {
				windows, err = v.Unbuilt(res, before, unbuiltBatch)
				return err
			})
			if err != nil {
				return fmt.Errorf("list unbuilt windows: %w", err)
			}
			if len(windows) == 0 {
				break
			}
			for _, window := range windows {
				if err := st.BuildRollups(ctx, res, window); err != nil {
					return fmt.Errorf("build %s of %s: %w", windowName(res), window, err)
				}
				built++
				if progress != nil {
					progress(fmt.Sprintf("built %s of %s", windowName(res), window))
				}
			}
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
