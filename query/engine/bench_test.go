package engine

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

var benchRows = flag.Int("rows", 5_000_000, "hour rows of the month that the benchmarks ask about")

// A month of hour rows of 5,000 accounts; none of its days is built, which is
// the worst case: with days built there is a twentieth of the rows.
func BenchmarkMonth(b *testing.B) {
	r := newRig(b)
	const accounts, hours = 5_000, 720
	perHour := *benchRows / hours
	start := schemas.HourOf(at("2026-01-01T00:00:00Z"))
	series := make([]schemas.Series, perHour)
	for i := range series {
		account := fmt.Sprintf("account-%04d", i%accounts)
		dims := []string{"web", "v1", fmt.Sprintf("/endpoint/%d", i%50), "GET", []string{"200", "404"}[i/accounts%2], ""}
		series[i] = schemas.Series{ID: schemas.MakeSeriesID("request", account, dims), Account: account, Family: "request", Dims: dims}
	}
	began := time.Now()
	for h := range schemas.Hour(hours) {
		r.deltas(start+h, series)
	}
	b.Logf("%d rows written in %v", perHour*hours, time.Since(began).Round(time.Second))
	month := func(need Need, by ...string) *Question {
		return &Question{Family: schemas.FamilyRequest, Need: need, From: int64(start) * hour, To: int64(start+hours) * hour, GroupBy: by}
	}
	one := func(q *Question) *Question {
		q.Accounts = []string{"account-0077"}
		return q
	}
	daily := month(Quantity|Amount, "endpoint")
	daily.Window.Size = Day
	hourly := one(month(Quantity))
	hourly.Window.Size = Hour
	for _, c := range []struct {
		name     string
		question *Question
	}{
		{"one account, first", one(month(Quantity | Amount))},
		{"one account by hour, first", hourly},
		{"first", month(Quantity|Amount, "endpoint")},
		{"by endpoint", month(Quantity|Amount, "endpoint")},
		{"by endpoint and day", daily},
		{"by account", month(Quantity|Amount, Account)},
		{"one account", one(month(Quantity | Amount))},
		{"one account by hour", hourly},
		{"behind a checkpoint", month(Quantity|Amount, "endpoint")},
	} {
		b.Run(c.name, func(b *testing.B) {
			var times []time.Duration
			for b.Loop() {
				if c.name == "behind a checkpoint" {
					b.StopTimer()
					r.deltas(start+hours-1, series)
					b.StartTimer()
				}
				began := time.Now()
				if groups := r.ask(c.question); len(groups) == 0 {
					b.Fatal("no groups")
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(perHour*hours), "rows")
		})
	}
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	b.Logf("heap %d MB", m.HeapAlloc>>20)
}

// deltas writes a row of every series in the hour.
func (r *rig) deltas(h schemas.Hour, series []schemas.Series) {
	r.t.Helper()
	from, err := r.store.Position(r.t.Context(), usage0)
	if err != nil {
		if from, err = r.store.TakeOver(r.t.Context(), usage0, 0); err != nil {
			r.t.Fatal(err)
		}
	}
	n := int64(len(series))
	c := &store.Checkpoint{From: from, To: from, ClosedAt: h.Time(), Series: series, Ledger: store.Ledger{First: from.Next, Next: from.Next + n, Records: n, Counted: n}}
	c.To.Next, c.To.LastOffset, c.To.Clock = from.Next+n, from.Next+n-1, h.Time().UnixMicro()
	c.Deltas = make([]store.Delta, len(series))
	for i := range series {
		c.Deltas[i] = store.Delta{Hour: h, Series: i, Measures: schemas.Measures{Count: int64(1 + i%7), Quantity: schemas.DecimalFromInt(int64(1 + i%7)), Bytes: 100}}
	}
	if results, err := r.store.Checkpoint(r.t.Context(), []*store.Checkpoint{c}); err != nil || results[0].Outcome != store.Applied {
		r.t.Fatal(results, err)
	}
}

// One column summed from the archive, and what grouping by names costs.
func BenchmarkScan(b *testing.B) {
	r := newRig(b)
	const files, rows = 8, 131_072
	day := at("2026-03-01T00:00:00Z")
	for n := range files {
		events := make([]event, rows)
		for i := range events {
			events[i] = event{kind: "api.request", account: fmt.Sprintf("account-%03d", i*500/rows), time: day + int64(i)*24*hour/rows, quantity: "1", status: 200,
				fields: map[string]string{"endpoint": []string{"/a", "/b", "/c"}[i%3], "client_ip": fmt.Sprintf("10.0.0.%d", i%200)}}
		}
		r.write(schemas.Partition{Topic: schemas.Usage, ID: int32(n)}, events...)
	}
	r.events = nil
	for name, q := range map[string]*Question{
		"one column":   {Filters: map[string][]string{"type": {"api.request"}}},
		"by client_ip": {GroupBy: []string{"client_ip"}},
		"by minute":    {Window: Window{Size: Minute}},
		"one account":  {GroupBy: []string{"client_ip"}, Accounts: []string{"account-077"}},
	} {
		q.Family, q.Need, q.From, q.To = schemas.FamilyRequest, Quantity, day, day+24*hour
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.ask(q)
			}
			b.ReportMetric(files*rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
