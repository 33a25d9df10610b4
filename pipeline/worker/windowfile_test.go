package worker

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func fileBudget(t testing.TB, inMemory, inFiles int64) *idBudget {
	return &idBudget{max: inMemory, maxFiles: inFiles, folder: filepath.Join(t.TempDir(), "dedupe"),
		spills: func(err error) { t.Error(err) }}
}

func randomIDs(rng *rand.Rand, n int) []eventID {
	ids := make([]eventID, n)
	for i := range ids {
		ids[i] = eventID{rng.Uint64(), rng.Uint64()}
	}
	return ids
}

const windowStart = int64(1_767_225_600_000_000)

// Ids past what memory may hold are known from files, exactly, and forgotten with
// their time; the files have no names, and their descriptors go with the window.
func TestWindowFiles(t *testing.T) {
	const n, day = 300_000, int64(24 * time.Hour / time.Microsecond)
	rng := rand.New(rand.NewPCG(3, 4))
	ids, strangers := randomIDs(rng, n), randomIDs(rng, n)
	for name, fill := range map[string]func(w *window){
		"as they come": func(w *window) {
			for i, id := range ids {
				if w.seen(id, windowStart+int64(i)*day/n) {
					t.Fatalf("id %d is new", i)
				}
			}
		},
		"recalled in any order": func(w *window) {
			for _, i := range rng.Perm(n) {
				w.recall(ids[i], idTag(ids[i]), windowStart+int64(i)*day/n)
			}
		},
	} {
		budget := fileBudget(t, 50_000, 10*n)
		w := newWindow(24*time.Hour, budget)
		fill(w)
		for i, id := range ids {
			if !w.has(id) {
				t.Fatalf("%s: id %d is not known", name, i)
			}
		}
		for _, id := range strangers {
			if w.has(id) {
				t.Fatalf("%s: an id that never came is known", name)
			}
		}
		if held := budget.held.Load(); held > budget.max+int64(len(w.tables))*minSpill || w.ids() != n || w.err != nil {
			t.Errorf("%s: got %d ids in memory of %d in all, %v; want at most %d of %d", name, held, w.ids(), w.err, budget.max, n)
		}
		if got := len(w.files); got == 0 || got > 5*(tablesASpan+1) {
			t.Errorf("%s: got %d files", name, got)
		}
		if got := w.length(windowStart + day); got != day {
			t.Errorf("%s: got a length of %d, want %d", name, got, day)
		}
		if entries, err := os.ReadDir(budget.folder); err != nil || len(entries) != 0 {
			t.Errorf("%s: got %d names in the folder, %v", name, len(entries), err)
		}
		w.seen(eventID{1, 2}, windowStart+5*day/2)
		if w.has(ids[0]) || !w.has(eventID{1, 2}) {
			t.Errorf("%s: a day and a half later old ids are known", name)
		}
		w.close()
		if budget.held.Load() != 0 || budget.inFiles.Load() != 0 {
			t.Errorf("%s: closed, it has %d ids in memory, %d in files", name, budget.held.Load(), budget.inFiles.Load())
		}
	}
}

// Past what files may hold the oldest ids are forgotten, whole files of them.
func TestWindowFilesFull(t *testing.T) {
	budget := fileBudget(t, 10_000, 100_000)
	w := newWindow(24*time.Hour, budget)
	defer w.close()
	ids := randomIDs(rand.New(rand.NewPCG(5, 6)), 300_000)
	for i, id := range ids {
		w.seen(id, windowStart+int64(i)*200_000)
	}
	if got := budget.inFiles.Load(); got > budget.maxFiles || got < budget.maxFiles/4 {
		t.Errorf("got %d ids in files, want at most %d", got, budget.maxFiles)
	}
	if w.has(ids[0]) || !w.has(ids[len(ids)-20_000]) {
		t.Error("the oldest id is known, or a late one is not")
	}
}

// A disk that takes no more makes the window shorter and says so; one that gives
// nothing back is an error, so that no batch is written on its word.
func TestWindowFilesFail(t *testing.T) {
	budget := fileBudget(t, 10_000, 1_000_000)
	told := 0
	budget.spills = func(error) { told++ }
	ids := randomIDs(rand.New(rand.NewPCG(7, 8)), 60_000)
	if err := os.WriteFile(budget.folder, nil, 0o600); err != nil { // no folder
		t.Fatal(err)
	}
	w := newWindow(8*time.Second, budget) // a table a second
	for i, id := range ids[:30_000] {
		w.seen(id, windowStart+int64(i)*200)
	}
	if told == 0 || w.ids() > 20_000 || !w.has(ids[29_999]) {
		t.Errorf("got %d complaints, %d ids", told, w.ids())
	}
	if err := os.Remove(budget.folder); err != nil {
		t.Fatal(err)
	}
	for i, id := range ids[30_000:] {
		w.seen(id, windowStart+int64(30_000+i)*200)
	}
	if len(w.files) == 0 || w.err != nil {
		t.Fatalf("got %d files, %v", len(w.files), w.err)
	}
	for _, f := range w.files {
		f.f.Close()
	}
	for _, id := range ids {
		w.has(id)
	}
	if w.err == nil {
		t.Error("files that cannot be read: got no error")
	}
}

// What an id costs, in CPU time, with a window in memory and one of which a tenth
// is in memory: go test ./pipeline/worker -run - -bench WindowFiles -benchtime 1x
func BenchmarkWindowFiles(b *testing.B) {
	const n = 10_000_000
	for _, inMemory := range []int64{2 * n, n / 10} {
		b.Run(fmt.Sprintf("%d of %d in memory", min(inMemory, n), n), func(b *testing.B) {
			for b.Loop() {
				benchWindow(b, n, fileBudget(b, inMemory, 2*n))
			}
		})
	}
}

func benchWindow(b *testing.B, n int, budget *idBudget) {
	const probes = 1_000_000
	w := newWindow(24*time.Hour, budget)
	defer w.close()
	rng := rand.New(rand.NewPCG(9, 10))
	stranger := func() eventID { return eventID{rng.Uint64(), rng.Uint64()} }
	cpu := cpuTime(b)
	for i := range n {
		w.seen(stranger(), windowStart+int64(i)*w.span/int64(n))
	}
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(n), "cpu-ns/new_id")
	cpu = cpuTime(b)
	for range probes {
		w.has(stranger())
	}
	b.ReportMetric(float64(cpuTime(b)-cpu)/probes, "cpu-ns/miss_when_full")
	memory, looks := 0, 0
	for _, f := range w.files {
		memory += 8 * (len(f.filter) + len(f.index))
		for range probes / len(w.files) {
			if _, looked, _ := f.has(stranger()); looked {
				looks++
			}
		}
	}
	if len(w.files) > 0 {
		b.ReportMetric(float64(memory)/float64(budget.inFiles.Load()), "B-memory/id_in_files")
		b.ReportMetric(100*float64(looks)/probes, "%-false_positives")
	}
	b.ReportMetric(float64(len(w.files)), "files")
}

func cpuTime(b *testing.B) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
