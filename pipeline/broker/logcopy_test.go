package broker

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallybook/schemas"
)

// A log that is copied twice, while segments of it begin, end and would be
// trimmed, has no hole in the copy.
func TestCopyOfKeptLog(t *testing.T) {
	cfg := Config{Dir: t.TempDir(), Partitions: 2, MaxLogBytes: 1 << 20, SegmentBytes: 1000}
	b := mustStart(t, cfg)
	k := testKafka(t, b.Addr())
	want := make([]string, 60)
	for i := range want {
		want[i] = fmt.Sprintf("%03d%s", i, strings.Repeat("x", 20))
	}
	to := t.TempDir()
	release, err := KeepLog(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range want {
		produce(t, k, usage1, value)
		if i == 2 {
			mustCopyLog(t, cfg.Dir, to)
		}
	}
	trim := func() (first int64) {
		t.Helper()
		if err := b.Trim(map[schemas.Partition]int64{usage1: 60}); err != nil {
			t.Fatal(err)
		}
		if first, _, err = k.Offsets(testContext(t), usage1); err != nil {
			t.Fatal(err)
		}
		return first
	}
	if first := trim(); first != 0 {
		t.Errorf("a log that is kept begins at %d", first)
	}
	mustCopyLog(t, cfg.Dir, to)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if first := trim(); first <= 3 {
		t.Errorf("released, the log begins at %d", first)
	}
	mustClose(t, b)

	cfg.Dir = to
	restored := mustStart(t, cfg)
	defer mustClose(t, restored)
	sameValues(t, read(t, testKafka(t, restored.Addr()), usage1, 0), want)
	if release, err := KeepLog(filepath.Join(to, "none")); err != nil || release() != nil {
		t.Errorf("no log: got %v", err)
	}
}

func mustCopyLog(t *testing.T, from, to string) {
	t.Helper()
	names, err := LogFiles(from)
	for _, name := range names {
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755)
		}
		var raw []byte
		if err == nil {
			raw, err = os.ReadFile(filepath.Join(from, name))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), raw, 0o644)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}
