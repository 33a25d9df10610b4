package archive

import (
	"bytes"
	"context"
	"io"
	"syscall"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress/zstd"

	"tallybook/schemas"
)

const benchRows = 1 << 17 // a batch of live traffic

// perCore reports rows per second of processor time, which other work on the
// machine disturbs less than the clock.
func perCore(b *testing.B, work func() (rows int)) {
	start, rows := cpuSeconds(b), 0
	for b.Loop() {
		rows += work()
	}
	b.ReportMetric(float64(rows)/(cpuSeconds(b)-start), "rows/s/core")
	b.ReportMetric(0, "ns/op")
}

func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func BenchmarkWrite(b *testing.B) {
	rows := denseRows(benchRows)
	index := ByDay(rows)[0].Index
	w := NewWriter()
	var out bytes.Buffer
	perCore(b, func() int {
		out.Reset()
		if err := w.Write(&out, rows, index); err != nil {
			b.Fatal(err)
		}
		return len(index)
	})
	b.ReportMetric(float64(out.Len())/float64(len(index)), "bytes/row")
}

func BenchmarkByDay(b *testing.B) {
	rows := denseRows(benchRows)
	perCore(b, func() int {
		ByDay(rows)
		return benchRows
	})
}

func benchmarkRead(b *testing.B, columns ...string) {
	rows := denseRows(benchRows)
	a := New(NewMem())
	const name = "usage/bench.parquet"
	err := a.bucket.Put(context.Background(), name, func(out io.Writer) error {
		return NewWriter().Write(out, rows, ByDay(rows)[0].Index)
	})
	if err != nil {
		b.Fatal(err)
	}
	perCore(b, func() int {
		n := 0
		err := a.Read(context.Background(), name, columns, func(r *Rows) error {
			n += len(r.Offset)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		return n
	})
}

// What the dedupe window is rebuilt from.
func BenchmarkReadDedupe(b *testing.B) {
	benchmarkRead(b, "account", "source", "id", "topic_offset", "log_time")
}

// What verify folds.
func BenchmarkReadFold(b *testing.B) {
	benchmarkRead(b, "account", "type", "time", "topic_offset", "sign", "api", "version", "endpoint", "status",
		"dimensions", "latency_ms", "quantity", "bytes", "amount")
}

// plainRow is the dense columns as parquet-go's struct path takes them.
type plainRow struct {
	ID         string   `parquet:"id,delta"`
	Source     string   `parquet:"source,dict"`
	Account    string   `parquet:"account,dict"`
	Type       string   `parquet:"type,dict"`
	Time       int64    `parquet:"time,delta"`
	Partition  int32    `parquet:"topic_partition,dict"`
	Offset     int64    `parquet:"topic_offset,delta"`
	Row        int32    `parquet:"row,dict"`
	LogTime    int64    `parquet:"log_time,delta"`
	Sign       int32    `parquet:"sign,dict"`
	API        string   `parquet:"api,dict,optional"`
	Version    string   `parquet:"version,dict,optional"`
	Endpoint   string   `parquet:"endpoint,dict,optional"`
	Method     string   `parquet:"method,dict,optional"`
	KeyID      string   `parquet:"key_id,dict,optional"`
	Status     int32    `parquet:"status,dict,optional"`
	LatencyMS  float64  `parquet:"latency_ms,optional"`
	Quantity   [16]byte `parquet:"quantity,dict"`
	Bytes      int64    `parquet:"bytes,delta,optional"`
	Dimensions string   `parquet:"dimensions,dict,optional"`
}

// BenchmarkWritePlain is the yardstick for BenchmarkWrite: the same rows by
// parquet-go's GenericWriter, with fewer columns and rows already in order.
func BenchmarkWritePlain(b *testing.B) {
	rows := denseRows(benchRows)
	var plain []plainRow
	for _, r := range ByDay(rows)[0].Index {
		text := func(f schemas.Field) string { return rows.String(rows.Strings[f][r]) }
		plain = append(plain, plainRow{string(rows.ID.At(int(r))), rows.String(rows.Source[r]), rows.String(rows.Account[r]),
			rows.String(rows.Type[r]), rows.Time[r], 3, rows.Offset[r], 0, rows.LogTime[r], 1, text(schemas.API),
			text(schemas.Version), text(schemas.Endpoint), text(schemas.Method), text(schemas.KeyID), rows.Status[r],
			rows.LatencyMS[r], rows.Quantity[r].Unscaled(), rows.Bytes[r], rows.String(rows.Dimensions[r])})
	}
	var out bytes.Buffer
	w := parquet.NewGenericWriter[plainRow](&out, parquet.Compression(&zstd.Codec{Level: zstd.SpeedFastest}),
		parquet.MaxRowsPerRowGroup(maxGroupRows), parquet.BloomFilters(parquet.SplitBlockFilter(bloomBitsPerValue, "id")))
	perCore(b, func() int {
		out.Reset()
		w.Reset(&out)
		if _, err := w.Write(plain); err != nil {
			b.Fatal(err)
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
		return len(plain)
	})
	b.ReportMetric(float64(out.Len())/float64(len(plain)), "bytes/row")
}
