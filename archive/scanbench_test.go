package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"tallybook/schemas"
)

// benchFiles writes a batch of dense rows to a folder, as often as asked.
func benchFiles(b *testing.B, folder string, files, rows int) (names []string) {
	b.Helper()
	dir, err := OpenDir(folder)
	if err != nil {
		b.Fatal(err)
	}
	var file bytes.Buffer
	dense := denseRows(rows)
	if err := NewWriter().Write(&file, dense, ByDay(dense)[0].Index); err != nil {
		b.Fatal(err)
	}
	for i := range files {
		name, _ := FileName(schemas.Usage, sampleDay, schemas.Partition{Topic: schemas.Usage}, 1, "bench", int64(i))
		err := dir.Put(context.Background(), name, func(out io.Writer) error {
			_, err := out.Write(file.Bytes())
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// duckDB asks the same of DuckDB, with two threads, and holds its answer against
// ours; 0 where $PYTHON names no Python that has it. The best of three, as the
// files are in memory by then.
func duckDB(b *testing.B, folder, sql string, want int64) (seconds float64) {
	b.Helper()
	python := os.Getenv("PYTHON")
	if python == "" {
		return 0
	}
	var answer struct {
		Seconds float64
		Sum     int64
	}
	const script = `import duckdb, json, sys, time
db = duckdb.connect()
db.execute("SET threads = 2; SET TimeZone = 'UTC'")
best = 1e9
for _ in range(3):
    began = time.monotonic()
    rows = db.execute("SELECT sum(sign * bytes) FROM read_parquet($files) " + sys.argv[2], {"files": sys.argv[1]}).fetchall()
    best = min(best, time.monotonic() - began)
print(json.dumps({"Seconds": best, "Sum": int(sum(row[0] for row in rows))}))`
	out, err := exec.Command(python, "-c", script, filepath.Join(folder, "usage/*/*.parquet"), sql).Output()
	if err == nil {
		err = json.Unmarshal(out, &answer)
	}
	if err != nil {
		b.Fatalf("DuckDB: %v", err)
	}
	if answer.Sum != want {
		b.Errorf("DuckDB says %d, we say %d", answer.Sum, want)
	}
	return answer.Seconds
}

// BenchmarkScanFiles asks what questions ask of the archive, of 16 large files
// on all processors. rows/s are rows in the files, whether wanted or not;
// bytes/row is what is read for each of them.
func BenchmarkScanFiles(b *testing.B) {
	const files = 16
	folder := b.TempDir()
	names := benchFiles(b, folder, files, benchRows)
	dir, err := OpenDir(folder)
	if err != nil {
		b.Fatal(err)
	}
	watched := &watchedBucket{Bucket: dir}
	a := New(watched)
	start := int64(sampleDay)*microsPerDay + 10*3_600_000_000
	from, to := start+1_234_567_890, start+2_345_678_901
	window := fmt.Sprintf("WHERE time >= make_timestamptz(%d) AND time < make_timestamptz(%d)", from, to)
	for _, bench := range []struct {
		name, sql string
		q         ScanQuery
	}{
		{"sum", "", ScanQuery{Columns: []string{"sign", "bytes"}}},
		{"window", window, ScanQuery{Columns: []string{"sign", "bytes"}, From: from, To: to}},
		{"account", "WHERE account = 'account-0500'", ScanQuery{Columns: []string{"sign", "bytes"}, Accounts: []string{"account-0500"}}},
		{"endpoints", "GROUP BY endpoint", ScanQuery{Columns: []string{"sign", "bytes", "endpoint"}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			q := bench.q
			if q.From == q.To {
				q.From, q.To = math.MinInt64, math.MaxInt64
			}
			sums := make([][]int64, 64)
			watched.reads = nil
			start := cpuSeconds(b)
			for b.Loop() {
				err := a.ScanFiles(context.Background(), names, q, func(worker int, _ string, r *Rows) error {
					addUp(&sums[worker], r)
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			read := 0
			for _, r := range watched.reads {
				read += r.to - r.from
			}
			rows := float64(files * benchRows)
			b.ReportMetric(rows*float64(b.N)/(cpuSeconds(b)-start), "rows/s/core")
			b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(float64(read)/rows/float64(b.N), "bytes/row")
			b.ReportMetric(0, "ns/op")
			if s := duckDB(b, folder, bench.sql, total(sums)/int64(b.N)); s > 0 {
				b.ReportMetric(rows/s, "duckdb-rows/s")
			}
		})
	}
}

// addUp adds to the sum of each endpoint, or to one where that was not asked for.
func addUp(sums *[]int64, r *Rows) {
	for len(*sums) < len(r.Dict) {
		*sums = append(*sums, 0)
	}
	endpoint := r.Strings[schemas.Endpoint]
	for i, n := range r.Bytes {
		if n == NullInt64 {
			continue
		}
		code := Code(0)
		if len(endpoint) > 0 {
			code = endpoint[i]
		}
		(*sums)[code] += int64(r.Sign[i]) * n
	}
}

func total(sums [][]int64) (n int64) {
	for _, worker := range sums {
		for _, s := range worker {
			n += s
		}
	}
	return n
}

// BenchmarkScanSmall is a day of small files before compaction: what a file
// costs, when its footer is read and when it is known.
func BenchmarkScanSmall(b *testing.B) {
	const files, rows = 2000, 500
	folder := b.TempDir()
	names := benchFiles(b, folder, files, rows)
	a, err := Open(folder)
	if err != nil {
		b.Fatal(err)
	}
	all := ScanQuery{Columns: []string{"sign", "bytes"}, From: math.MinInt64, To: math.MaxInt64}
	later := all
	later.From = int64(sampleDay+1) * microsPerDay
	for _, bench := range []struct {
		name string
		q    ScanQuery
		cold bool
	}{{"cold", all, true}, {"warm", all, false}, {"pruned", later, true}, {"pruned-warm", later, false}} {
		b.Run(bench.name, func(b *testing.B) {
			sums := make([][]int64, 64)
			start := cpuSeconds(b)
			for b.Loop() {
				if bench.cold {
					a.footers = newFooterCache(maxFooterBytes)
				}
				err := a.ScanFiles(context.Background(), names, bench.q, func(worker int, _ string, r *Rows) error {
					addUp(&sums[worker], r)
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric((cpuSeconds(b)-start)*1e6/float64(b.N)/files, "cpu-µs/file")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/files, "µs/file")
			b.ReportMetric(files*rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric(0, "ns/op")
			if bench.q.From != all.From {
				return
			}
			if s := duckDB(b, folder, "", total(sums)/int64(b.N)); s > 0 {
				b.ReportMetric(s*1e6/files, "duckdb-µs/file")
			}
		})
	}
}

// BenchmarkFind looks for an id that a large file does not have, and for one
// that it has.
func BenchmarkFind(b *testing.B) {
	rows := denseRows(benchRows)
	a := New(NewMem())
	name := mustWrite(b, a, rows, ByDay(rows)[0].Index)
	rnd := rand.New(rand.NewPCG(8, 8))
	b.Run("absent", func(b *testing.B) {
		for b.Loop() {
			if err := a.Find(context.Background(), name, uuid(rnd), func(*Rows) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("there", func(b *testing.B) {
		for b.Loop() {
			id := string(rows.ID.At(rnd.IntN(benchRows)))
			if err := a.Find(context.Background(), name, id, func(*Rows) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
