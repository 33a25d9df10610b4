package bench

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	_ "embed"

	"tallybook/archive"
	"tallybook/schemas"
)

//go:embed same_scan.py
var scanScript []byte

const (
	scanFiles    = 32
	scanFileRows = 1 << 17 // a batch of live traffic
	scanRuns     = 10
)

// scanPart sums one column of archive files, two at a time.
func (b *queryBench) scanPart(ctx context.Context) error {
	ar, err := archive.Open(filepath.Join(b.dir, "archive"))
	if err != nil {
		return err
	}
	var names []string
	for i := range int64(scanFiles) {
		rows := requestRows(i * scanFileRows)
		for _, day := range archive.ByDay(rows) {
			f, err := ar.Stage(ctx, archive.StageFile{Rows: rows, Day: day, Source: schemas.Partition{Topic: schemas.Usage}, Epoch: 1, Random: "bench"})
			if err == nil {
				err = ar.Publish(ctx, f)
			}
			if err != nil {
				return err
			}
			names = append(names, f.Name)
		}
	}
	const all = scanFiles * scanFileRows
	b.printf("archive: one column summed, with its signs, of %d rows in %d files, %d processors\n", all, len(names), runtime.GOMAXPROCS(0))
	best, used, sum := time.Hour, time.Duration(0), int64(0)
	for range scanRuns {
		cpu, began := cpuTime(), time.Now()
		if sum, err = sumBytes(ctx, ar, names); err != nil {
			return err
		}
		best, used = min(best, time.Since(began)), used+(cpuTime()-cpu)/scanRuns
	}
	b.printf("  tallybook  %5.1f million rows/s, best of %d; %5.1f million rows/s and processor (goal: 5 million rows/s on two)\n",
		all/best.Seconds()/1e6, scanRuns, all/used.Seconds()/1e6)
	if b.Python == "" {
		return nil
	}
	var theirs struct {
		Seconds float64
		Sum     int64
	}
	if err := b.python(ctx, scanScript, scanRuns, &theirs); err != nil {
		return fmt.Errorf("duckdb: %w", err)
	}
	if theirs.Sum != sum {
		return fmt.Errorf("archive: DuckDB says %d, we say %d", theirs.Sum, sum)
	}
	b.printf("  duckdb     %5.1f million rows/s, best of %d, the same files\n", all/theirs.Seconds/1e6, scanRuns)
	return nil
}

func sumBytes(ctx context.Context, ar *archive.Archive, names []string) (total int64, err error) {
	sums := make([]int64, runtime.GOMAXPROCS(0))
	q := archive.ScanQuery{Columns: []string{"sign", "bytes"}, From: math.MinInt64, To: math.MaxInt64}
	err = ar.ScanFiles(ctx, names, q, func(worker int, _ string, r *archive.Rows) error {
		sum := int64(0)
		for i, n := range r.Bytes {
			if n != archive.NullInt64 {
				sum += int64(r.Sign[i]) * n
			}
		}
		sums[worker] += sum
		return nil
	})
	for _, n := range sums {
		total += n
	}
	return total, err
}

// requestRows are scanFileRows requests within an hour.
func requestRows(first int64) *archive.Rows {
	rnd := rand.New(rand.NewPCG(4, uint64(first)))
	rows := &archive.Rows{Dataset: schemas.Usage, Dict: []string{""}}
	codes := map[string]archive.Code{}
	code := func(text string) archive.Code {
		c, ok := codes[text]
		if !ok {
			c = archive.Code(len(rows.Dict))
			codes[text], rows.Dict = c, append(rows.Dict, text)
		}
		return c
	}
	texts := map[schemas.Field]func() string{
		schemas.API: func() string { return "web" }, schemas.Version: func() string { return "v1" },
		schemas.Endpoint: func() string { return "/things/" + strconv.Itoa(rnd.IntN(50)) }, schemas.Method: func() string { return "GET" },
	}
	start := openHour.Time().UnixMicro()
	for f := range rows.Strings {
		if schemas.TopicFields[schemas.Usage].Has(schemas.Field(f)) && schemas.Field(f) != schemas.Region {
			rows.Strings[f] = make([]archive.Code, scanFileRows)
		}
	}
	for i := range int64(scanFileRows) {
		at := start + i*3_600_000_000/scanFileRows
		rows.ID.Append(fmt.Appendf(nil, "%08x-%04x-4000-8000-%012x", rnd.Uint32(), i&0xffff, rnd.Uint64N(1<<48)))
		rows.Source, rows.Account = append(rows.Source, code("bench")), append(rows.Account, code(accountName(rnd.IntN(5000))))
		rows.Type = append(rows.Type, code("api.request"))
		rows.Time, rows.LogTime, rows.Offset = append(rows.Time, at-rnd.Int64N(2_000_000)+2_000_000), append(rows.LogTime, at), append(rows.Offset, first+i)
		for f, text := range texts {
			rows.Strings[f][i] = code(text())
		}
		rows.Status, rows.LatencyMS = append(rows.Status, 200), append(rows.LatencyMS, math.Round(1000*math.Exp(3+rnd.NormFloat64()))/1000)
		rows.Quantity, rows.Bytes = append(rows.Quantity, schemas.DecimalFromInt(1)), append(rows.Bytes, int64(math.Exp(8+1.5*rnd.NormFloat64())))
		rows.Dimensions = append(rows.Dimensions, 0)
	}
	return rows
}
