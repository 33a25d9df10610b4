package store

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// BenchmarkCheckpoint writes 50,000 deltas a checkpoint: "new" rows, as in a
// backfill; "again" the same rows time after time, as live traffic does.
func BenchmarkCheckpoint(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		benchmarkCheckpoint(b, 0, func(i int) schemas.Hour { return schemas.Hour(480_000 + i) })
	})
	b.Run("again", func(b *testing.B) { benchmarkCheckpoint(b, 0, func(int) schemas.Hour { return 480_000 }) })
}

// BenchmarkCheckpointSize shows that a checkpoint takes as long in a store of
// many rows as in an empty one. TALLYBOOK_BENCH_ROWS=10000000 for more.
func BenchmarkCheckpointSize(b *testing.B) {
	rows := 2_000_000
	if text := os.Getenv("TALLYBOOK_BENCH_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for _, size := range []int{0, rows} {
		b.Run(fmt.Sprintf("rows=%d", size), func(b *testing.B) {
			benchmarkCheckpoint(b, size, func(i int) schemas.Hour { return schemas.Hour(480_000 + i/10) })
		})
	}
}

const benchDeltas = 50_000

func benchmarkCheckpoint(b *testing.B, size int, hour func(i int) schemas.Hour) {
	ctx := context.Background()
	s, err := Open(ctx, storetest.URL(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	tp := schemas.Partition{Topic: schemas.Usage}
	pos, err := s.TakeOver(ctx, tp, 0)
	if err != nil {
		b.Fatal(err)
	}
	c := benchBatch()
	apply := func(h schemas.Hour) {
		for i := range c.Deltas {
			c.Deltas[i].Hour = h
		}
		pos = benchApply(b, s, c, pos)
	}
	for i := range size / benchDeltas {
		apply(schemas.Hour(100_000 + i))
	}
	if size == 0 {
		apply(hour(0)) // the series are known
	}
	var times []time.Duration
	b.ResetTimer()
	cpu := cpuTime(b)
	for i := range b.N {
		start := time.Now()
		apply(hour(i))
		times = append(times, time.Since(start))
	}
	b.ReportMetric(float64(b.N*benchDeltas)/b.Elapsed().Seconds(), "rows/s")
	slices.Sort(times) // the best is what the code costs, the rest what the machine does besides
	b.ReportMetric(benchDeltas/times[0].Seconds(), "best-rows/s")
	b.ReportMetric(benchDeltas/times[len(times)/2].Seconds(), "median-rows/s")
	b.ReportMetric(times[len(times)-1].Seconds()*1000, "slowest-ms")
	b.ReportMetric(float64((cpuTime(b)-cpu).Nanoseconds())/float64(b.N*benchDeltas), "cpu-ns/row")
}

// cpuTime is what the process used so far: steadier than the clock on a machine
// that does other things too.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchBatch has 50,000 series of 500 accounts: whole quantities, latencies with
// a fraction, bytes; nothing is rated.
func benchBatch() *Checkpoint {
	c := &Checkpoint{ClosedAt: time.UnixMicro(1)}
	for i := range benchDeltas {
		account := fmt.Sprintf("account-%04d", i%500)
		dims := []string{"web", "v1", fmt.Sprintf("/things/%d", i/500), "GET", "200", "eu"}
		c.Series = append(c.Series, schemas.Series{ID: schemas.MakeSeriesID("request", account, dims),
			Account: account, Family: "request", Dims: dims})
		c.Deltas = append(c.Deltas, Delta{Series: i, Measures: schemas.Measures{Count: 3,
			Quantity: schemas.DecimalFromInt(3), ValueCount: 3,
			ValueSum: schemas.Decimal{Units: 71, Nanos: 123_000_000}, ValueMin: schemas.Decimal{Units: int64(i % 7)},
			ValueMax: schemas.Decimal{Units: 30 + int64(i%11)}, Bytes: 12345}})
	}
	return c
}

func benchApply(b *testing.B, s *Store, c *Checkpoint, pos Position) Position {
	b.Helper()
	c.From, c.To = pos, pos
	c.To.Next += benchDeltas
	c.Ledger = Ledger{First: pos.Next, Next: c.To.Next, Records: benchDeltas, Counted: benchDeltas}
	results, err := s.Checkpoint(context.Background(), []*Checkpoint{c})
	if err != nil || results[0].Outcome != Applied {
		b.Fatal(results, err)
	}
	return c.To
}

// BenchmarkRollups reads a day of 24 × 50,000 rows: of one account in 500, and
// of all, from hours and from the built day.
func BenchmarkRollups(b *testing.B) {
	s, err := Open(context.Background(), storetest.URL(b), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	pos, err := s.TakeOver(context.Background(), schemas.Partition{Topic: schemas.Usage}, 0)
	if err != nil {
		b.Fatal(err)
	}
	c := benchBatch()
	for h := range schemas.Hour(24) {
		for i := range c.Deltas {
			c.Deltas[i].Hour = schemas.Day(20_000).Hour() + h
		}
		pos = benchApply(b, s, c, pos)
	}
	read := func(res Resolution, accounts ...string) func(b *testing.B) {
		return func(b *testing.B) {
			rows := 0
			for range b.N {
				q := RollupQuery{Family: schemas.FamilyRequest, From: schemas.Day(20_000).Hour(), To: schemas.Day(20_001).Hour(),
					Accounts: accounts, Resolution: res}
				err := s.View(context.Background(), func(v *View) error {
					return v.Rollups(q, func(*Rollup) error { rows++; return nil })
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(rows)/float64(b.N), "rows")
		}
	}
	b.Run("account/hours", read(Hourly, "account-0007"))
	start := time.Now()
	if err := s.BuildRollups(context.Background(), Daily, 20_000); err != nil {
		b.Fatal(err)
	}
	b.Logf("the day of 1,200,000 hour rows was built in %v", time.Since(start))
	b.Run("account/day", read(Daily, "account-0007"))
	b.Run("all/day", read(Daily))
}
