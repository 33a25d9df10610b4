package query

import (
	"fmt"
	"testing"
	"time"
)

// 200,000 hour rows: 2,000 series in 100 hours.
func BenchmarkMeterQuery(b *testing.B) {
	f := newFixture(b)
	start := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	for h := range 100 {
		var facts []fact
		at := start.Add(time.Duration(h) * time.Hour).Format("2006-01-02T15")
		for s := range 2000 {
			facts = append(facts, request(at, fmt.Sprint("acct-", s/20), fmt.Sprint("/", s%20), "200", "1"))
		}
		f.checkpoint(usage0, "2026-03-01T00:00:00Z", facts...)
	}
	for _, query := range []string{"", "&windowSize=HOUR&groupBy=endpoint", "&windowSize=DAY&windowTimeZone=Europe/Berlin&groupBy=subject", "&windowSize=HOUR&subject=acct-7"} {
		b.Run(query, func(b *testing.B) {
			for b.Loop() {
				if w := f.get("/api/v1/meters/requests/query?" + all + query); w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
			b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
