package jobs

import (
	"context"
	"fmt"
	"time"

	"tallybook/store"
)

// quotasAtOnce is how many quotas a transaction of ResetQuotas looks at: other
// writers wait for it.
const quotasAtOnce = 500

// ResetQuotas opens the periods of quotas that began up to now, each in its
// customer's time zone. Checks and checkpoints do not wait for it: a period that
// has no row yet has no use yet.
func ResetQuotas(ctx context.Context, st *store.Store, now time.Time, progress func(string)) error {
	var all int64
	for after := ""; ; {
		last, opened, err := st.OpenQuotaPeriods(ctx, after, now, quotasAtOnce)
		if err != nil {
			return err
		}
		all += opened
		if last == "" {
			break
		}
		after = last
	}
	if all > 0 {
		progress(fmt.Sprintf("%d periods of quotas opened", all))
	}
	return nil
}
