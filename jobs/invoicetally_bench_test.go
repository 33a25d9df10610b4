package jobs

import (
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/archive/archivetest"
	"tallybook/schemas"
)

// BenchmarkScanSheets reads a file of 200,000 requests of one account for a bill.
func BenchmarkScanSheets(b *testing.B) {
	const rows = 200_000
	events := make([]event, rows)
	at := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for i := range events {
		events[i] = event{kind: "api.request", account: "acme", at: at.Add(time.Duration(i) * time.Millisecond).Format(time.RFC3339Nano), status: 200, quantity: "1",
			strings: map[schemas.Field]string{schemas.API: "web", schemas.Version: "v1", schemas.Endpoint: "/a", schemas.Customer: "c", schemas.Subscription: "s"}}
	}
	r := &rig{t: b, bucket: archivetest.Bucket(b)}
	r.archive = archive.New(r.bucket)
	all := rowsOf(usage0, schemas.Usage, 0, events)
	file, err := r.archive.Stage(b.Context(), archive.StageFile{Rows: all, Day: archive.ByDay(all)[0], Source: usage0, Epoch: 1, Random: "r"})
	if err == nil {
		err = r.archive.Publish(b.Context(), file)
	}
	if err != nil {
		b.Fatal(err)
	}
	period := &schemas.InvoicePeriod{Start: at, End: at.AddDate(0, 0, 1), Account: "acme", Customer: "c", Prices: []schemas.InvoicePrice{
		{Subscription: "s", API: "web", Version: "v1", Model: "per_unit", Start: at, End: at.AddDate(0, 0, 1)}}}
	for b.Loop() {
		s := newSheet(period, []schemas.CutPosition{{Topic: schemas.Usage, Next: rows}})
		err := scanSheets(b.Context(), r.archive, []*sheet{s}, 1, func(_ int, use func(string) error) error { return use(file.Name) })
		if err != nil || s.totals[0].rows != rows {
			b.Fatalf("%d rows, %v", s.totals[0].rows, err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
