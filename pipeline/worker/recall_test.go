package worker

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Ids of merged files come by account, so in any order of clocks: all are
// recalled, into tables that are dropped like those of ids that came in order.
func TestRecallInAnyOrder(t *testing.T) {
	const n, day = 20_000, int64(24 * time.Hour / time.Microsecond)
	start := int64(1_767_225_600_000_000)
	rng := rand.New(rand.NewPCG(1, 2))
	for name, max := range map[string]int64{"all fit": 10 * n, "the budget is short": n / 2} {
		w := newWindow(24*time.Hour, &idBudget{max: max})
		ids := make([]eventID, n)
		for _, i := range rng.Perm(n) {
			ids[i] = eventID{rng.Uint64(), rng.Uint64()}
			w.recall(ids[i], idTag(ids[i]), start+int64(i)*day/n)
		}
		if got := len(w.tables); got > tablesASpan+1 {
			t.Errorf("%s: got %d tables, want one for each eighth of the span", name, got)
		}
		for i := 1; i < len(w.tables); i++ {
			if w.tables[i].last >= w.tables[i-1].first {
				t.Errorf("%s: table %d reaches into the one before", name, i)
			}
		}
		known := 0
		for i := range ids {
			if w.has(ids[i]) {
				known++
			} else if max > n {
				t.Fatalf("%s: id %d is not known", name, i)
			}
		}
		if known != w.ids() || int64(known) > max || !w.has(ids[n-1]) {
			t.Errorf("%s: %d ids known, the tables hold %d, allowed are %d", name, known, w.ids(), max)
		}
		// Ids go on in order, and old ones are forgotten.
		if w.seen(eventID{1, 2}, start+3*day) || w.has(ids[0]) || w.ids() != 1 {
			t.Errorf("%s: got %d ids two days later, want 1", name, w.ids())
		}
	}
}
