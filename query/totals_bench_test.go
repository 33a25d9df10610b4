package query

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// BenchmarkTotals asks for the totals of an account of 500 domains, beside 3
// million hour rows: ten series a domain, in every hour of 25 days, of which the
// last is not built yet.
func BenchmarkTotals(b *testing.B) {
	f := newFixture(b)
	begin := schemas.HourOf(time.Date(2026, 2, 14, 0, 0, 0, 0, time.UTC).UnixMicro())
	const days = 25
	c := mailBatch(b, f)
	pos, err := f.store.TakeOver(b.Context(), emails0, 0)
	if err != nil {
		b.Fatal(err)
	}
	for hour := range schemas.Hour(days * 24) {
		for i := range c.Deltas {
			c.Deltas[i].Hour = begin + hour
		}
		c.From, c.To = pos, pos
		c.To.Next, c.To.LastOffset, c.To.Clock = pos.Next+1, pos.Next, testNow.UnixMicro()
		c.Ledger = store.Ledger{First: pos.Next, Next: pos.Next + 1, Records: 1, Counted: 1}
		results, err := f.store.Checkpoint(b.Context(), []*store.Checkpoint{c})
		if err != nil || results[0].Outcome != store.Applied {
			b.Fatal(results, err)
		}
		pos = c.To
	}
	for day := begin.Day(); day < begin.Day()+days-1; day++ {
		if err := f.store.BuildRollups(b.Context(), store.Daily, day); err != nil {
			b.Fatal(err)
		}
	}
	for name, query := range map[string]string{"day": "event=accepted&event=failed&timestamp=2026-02-20T00:00:00Z", "open day": "event=accepted&event=failed&timestamp=2026-03-10T12:00:00Z",
		"hour": "event=delivered&resolution=hour&timestamp=2026-02-20T05:00:00Z", "month": "event=accepted&resolution=month&timestamp=2026-02-20T00:00:00Z"} {
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if w := f.get("/v3/accounts/totals?"+query, "X-Account-ID", "acme"); w.Code != 200 {
					b.Fatal(w.Body)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
		})
	}
}

// mailBatch is a checkpoint with a delta for each series of 500 domains, which
// it registers.
func mailBatch(b *testing.B, f *fixture) *store.Checkpoint {
	c := &store.Checkpoint{ClosedAt: testNow}
	kinds := [][]string{{"accepted", "incoming", "", "", ""}, {"accepted", "outgoing", "smtp", "", ""}, {"delivered", "", "smtp", "", ""}, {"delivered", "", "http", "", ""},
		{"failed", "", "", "temporary", "generic"}, {"failed", "", "", "permanent", "bounce"}, {"opened", "", "", "", ""}, {"clicked", "", "", "", ""},
		{"complained", "", "", "", ""}, {"unsubscribed", "", "", "", ""}}
	for d := range 500 {
		domain := fmt.Sprintf("mg%03d.example.com", d)
		if _, _, err := f.store.PutDomain(b.Context(), "test", "acme", domain); err != nil {
			b.Fatal(err)
		}
		for _, kind := range kinds {
			dims := append([]string{domain}, kind...)
			c.Series = append(c.Series, schemas.Series{ID: schemas.MakeSeriesID("email", "acme", dims), Account: "acme", Family: "email", Dims: dims})
			c.Deltas = append(c.Deltas, store.Delta{Series: len(c.Series) - 1, Measures: schemas.Measures{Count: 1}})
		}
	}
	return c
}
