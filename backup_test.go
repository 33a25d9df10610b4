package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// load is a part of the generator's events, with faults among them.
func load(from, to int, more ...string) []string {
	return append([]string{"generate", "--from", strconv.Itoa(from), "--events", strconv.Itoa(to), "--errors", "0.05", "--emails", "0.05",
		"--duplicates", "0.01", "--late", "0.01", "--malformed", "0.001"}, more...)
}

// totalLine is what balance says of all partitions.
var totalLine = regexp.MustCompile(`total: records (\d+) = counted (\d+) \+ duplicate \d+ \+ rejected \d+`)

// ledger is how many records were processed, and how many of them counted.
func ledger(t *testing.T, balance outcome) (records, counted int64) {
	t.Helper()
	balance.want(t, 0, "balance: good")
	m := totalLine.FindStringSubmatch(balance.out)
	if m == nil {
		t.Fatalf("no total in %s", balance.out)
	}
	for i, n := range []*int64{&records, &counted} {
		var err error
		if *n, err = strconv.ParseInt(m[i+1], 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	return records, counted
}

func counted(t *testing.T, balance outcome) int64 {
	t.Helper()
	_, n := ledger(t, balance)
	return n
}

func madeCounted(t *testing.T, generated outcome) int64 {
	t.Helper()
	generated.want(t, 0)
	var made struct{ Counted int64 }
	if err := json.Unmarshal([]byte(generated.out), &made); err != nil {
		t.Fatal(err)
	}
	return made.Counted
}

// A data folder is copied while events flow, lost, and put back: what had been
// acknowledged before is in the copy, all of it is consistent, and when producers
// send again what was acknowledged since, each event is counted once.
func TestBackup(t *testing.T) {
	s := start(t, "run", filepath.Join(t.TempDir(), "data"))
	before := madeCounted(t, s.command(t, load(0, 3000)...))
	flowing := make(chan outcome, 1)
	go func() { flowing <- s.command(t, load(3000, 15000, "--rate", "5000")...) }()
	s.until(t, "they flow", func() bool {
		records, _ := ledger(t, s.command(t, "balance"))
		return records > 4000
	})
	to := filepath.Join(t.TempDir(), "copy")
	s.command(t, "backup", to).want(t, 0, "records counted")
	s.command(t, "backup", to).want(t, 2, "is there already")
	s.command(t, "backup", filepath.Join(s.data, "archive", "usage", "copy")).want(t, 2, "name a folder elsewhere")
	(<-flowing).want(t, 0)
	s.kill(t)
	if err := os.RemoveAll(s.data); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(s.data, os.DirFS(to)); err != nil {
		t.Fatal(err)
	}

	s = start(t, "run", s.data)
	s.drained(t)
	got := counted(t, s.command(t, "balance"))
	if got < before {
		t.Errorf("restored: got %d counted, at least %d were before the backup", got, before)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	all := madeCounted(t, s.command(t, load(0, 15000)...)) // again, with the same ids
	s.drained(t)
	if got := counted(t, s.command(t, "balance")); got != all {
		t.Errorf("sent again: got %d counted, want %d", got, all)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.stop(t)
	tallybook(t, "backup", filepath.Join(t.TempDir(), "stopped"), "--data", s.data).want(t, 0, fmt.Sprintf("%d archive files", liveFiles(t, s.data)))
	tallybook(t, "backup", to, "--data", s.data, "--brokers", "127.0.0.1:1").want(t, 2, "by their own tools")
	tallybook(t, "backup", filepath.Join(t.TempDir(), "none"), "--data", t.TempDir()).want(t, 2, "tallybook.db")
}

// Where only the store was lost, its older copy is put beside the archive and the
// log as they are: what the archive has in addition is set aside and counted again.
func TestOlderStore(t *testing.T) {
	s := start(t, "run", t.TempDir())
	s.command(t, load(0, 3000)...).want(t, 0)
	s.drained(t)
	to := filepath.Join(t.TempDir(), "copy")
	s.command(t, "backup", to).want(t, 0)
	s.command(t, load(3000, 6000)...).want(t, 0)
	s.drained(t)
	all := counted(t, s.command(t, "balance"))
	s.kill(t)
	for _, name := range []string{"tallybook.db", "tallybook.db-wal", "tallybook.db-shm"} {
		if err := os.Remove(filepath.Join(s.data, name)); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	db, err := os.ReadFile(filepath.Join(to, "tallybook.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(s.data, "tallybook.db"), db, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}

	s = start(t, "run", s.data)
	s.drained(t)
	if got := counted(t, s.command(t, "balance")); got != all {
		t.Errorf("got %d counted, want %d", got, all)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "doctor", "--http", strings.TrimPrefix(s.url, "http://")).want(t, 1, "have read on past their beginnings", "no lag")
	if err := os.RemoveAll(filepath.Join(s.data, "archive", "_quarantine")); err != nil {
		t.Fatal(err)
	}
	s.command(t, "doctor", "--http", strings.TrimPrefix(s.url, "http://")).want(t, 0, "doctor: nothing is wrong")
	s.command(t, "verify").want(t, 0, "verify: good")
}

// drained waits until everything in the log is counted.
func (s *server) drained(t *testing.T) {
	t.Helper()
	s.until(t, "the log is worked off", func() bool {
		return strings.Contains(s.command(t, "doctor", "--http", strings.TrimPrefix(s.url, "http://")).out, "no lag: everything")
	})
}

func liveFiles(t *testing.T, data string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "archive", "[^_]*", "*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
