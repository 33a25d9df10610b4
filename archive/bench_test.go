package archive

import (
	"bytes"
	"context"
	"io"
	"testing"
)

const benchRows = 500_000

func BenchmarkWrite(b *testing.B) {
	rows := denseRows(benchRows)
	index := ByDay(rows)[0].Index
	w := NewWriter()
	var out bytes.Buffer
	b.ResetTimer()
	for b.Loop() {
		out.Reset()
		if err := w.Write(&out, rows, index); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(index))/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(out.Len())/float64(len(index)), "bytes/row")
}

func BenchmarkByDay(b *testing.B) {
	rows := denseRows(benchRows)
	for b.Loop() {
		ByDay(rows)
	}
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
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
	n := 0
	b.ResetTimer()
	for b.Loop() {
		err := a.Read(context.Background(), name, columns, func(r *Rows) error {
			n += len(r.Offset)
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "rows/s")
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
