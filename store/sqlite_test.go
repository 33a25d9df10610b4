//go:build !postgres

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir? 100%#", "store.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Open(ctx, "sqlite://"+path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := s.Secret(ctx)
	if err != nil {
		t.Fatal(err)
	}
	o := takeOver(t, s, usage0)
	o.apply(o.next(3, request(day0.Hour(), "a", "x")))
	before := everything(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the log is still there after Close: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want a file for its owner alone", info.Mode(), err)
	}
	for _, o := range []Options{{ReadOnly: true}, {}} {
		s := openFile(t, path, o)
		if after := everything(t, s); after != before {
			t.Errorf("reopened with %+v: got\n%s\nwant\n%s", o, after, before)
		}
		if again, err := s.Secret(ctx); err != nil || again != secret {
			t.Errorf("got secret %x, %v, want %x", again, err, secret)
		}
	}
}

// TestPragmas: what durability rests on.
func TestPragmas(t *testing.T) {
	s := openNew(t)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "0"} {
		var got string
		if err := s.write.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s: got %s, %v, want %s", pragma, got, err, want)
		}
	}
	if _, err := s.read.Exec("DELETE FROM meta"); err == nil {
		t.Error("a read connection wrote")
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, err := Open(ctx, path, Options{ReadOnly: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: got %v, want not exist", err)
	}
	s := openFile(t, path, Options{})
	o := takeOver(t, s, usage0)
	ro := openFile(t, path, Options{ReadOnly: true})
	o.apply(o.next(3)) // seen although it is not in the database file yet
	if got, err := ro.Position(ctx, usage0); err != nil || got != o.pos {
		t.Errorf("got %+v, %v, want %+v", got, err, o.pos)
	}
	if _, err := ro.TakeOver(ctx, usage0, 0); !errors.Is(err, ErrReadOnly) {
		t.Errorf("take over: got %v, want ErrReadOnly", err)
	}
	if _, err := ro.Checkpoint(ctx, []*Checkpoint{o.next(1)}); !errors.Is(err, ErrReadOnly) {
		t.Errorf("checkpoint: got %v, want ErrReadOnly", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	newer := filepath.Join(dir, "newer.db")
	s, err := Open(ctx, newer, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.write.Exec(`INSERT INTO meta (key, value) VALUES ('needs', CAST('999' AS BLOB))`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(ctx, newer, o); !errors.Is(err, ErrVersion) {
			t.Errorf("tables that need a newer program: got %v, want ErrVersion", err)
		}
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{garbage, dir, filepath.Join(dir, "no", "folder.db"), "postgres://localhost/x", "", "sqlite://"} {
		if s, err := Open(ctx, url, Options{}); err == nil {
			s.Close()
			t.Errorf("%q: got no error", url)
		}
	}
}

// TestPlans: a question reads the rows of its windows and accounts, no others.
func TestPlans(t *testing.T) {
	s := openNew(t)
	seek := "SEARCH r USING PRIMARY KEY (window_start=? AND account=?)"
	for name, test := range map[string]struct{ query, want string }{
		"one account": {existingWindows(Hourly) + ` SELECT ` + rollupColumns + ` FROM w CROSS JOIN rollup_hours r CROSS JOIN series s
			WHERE r.window_start = w.x AND r.account IN (?) AND s.id = r.series AND s.family = ?`, seek},
		"a chunk of a build": {`SELECT 1 FROM rollup_hours WHERE window_start IN (?, ?) AND (account, series) > (?, ?)
			AND (account, series) <= (?, ?)`, "PRIMARY KEY (window_start=? AND (account,series)>(?,?) AND (account,series)<(?,?))"},
		"the windows that exist": {`SELECT min(window_start) FROM rollup_hours WHERE window_start > ?`, "SEARCH"},
		"window files": {`SELECT name FROM archive_files WHERE retired_at IS NULL AND topic = ? AND partition = ? AND dataset = ?
			AND max_log >= ?`, "archive_files_window (topic=? AND partition=? AND dataset=? AND max_log>?)"},
		"files of a day": {`SELECT name FROM archive_files WHERE retired_at IS NULL AND dataset = ? AND day = ? ORDER BY name`,
			"archive_files_day (dataset=? AND day=?)"},
		"errors by origin": {`SELECT origin_topic, origin_partition, sum(records) FROM errors GROUP BY origin_topic, origin_partition`,
			"COVERING INDEX errors_origin"},
	} {
		rows, err := s.read.Query("EXPLAIN QUERY PLAN "+test.query, make([]any, strings.Count(test.query, "?"))...)
		if err != nil {
			t.Fatal(name, err)
		}
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var text string
			if err := rows.Scan(&id, &parent, &unused, &text); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(plan, "\n"); !strings.Contains(got, test.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}

// TestTwoStores: two processes on one file see each other's commits; the one
// that finds it locked says so.
func TestTwoStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	a := openFile(t, path, Options{})
	b := openFile(t, path, Options{BusyTimeout: time.Millisecond})
	o := takeOver(t, a, usage0)
	o.apply(o.next(3, request(day0.Hour(), "a", "x")))
	if got, err := b.Position(ctx, usage0); err != nil || got != o.pos {
		t.Errorf("got %+v, %v, want %+v", got, err, o.pos)
	}
	w, err := a.begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.TakeOver(ctx, usage0, 0); !errors.Is(err, ErrBusy) {
		t.Errorf("take over of a locked store: got %v, want ErrBusy", err)
	}
	if _, err := b.Checkpoint(ctx, []*Checkpoint{o.next(1)}); !errors.Is(err, ErrBusy) || errors.Is(err, ErrUnknown) {
		t.Errorf("checkpoint into a locked store: got %v, want ErrBusy", err)
	}
	waiting, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := a.TakeOver(waiting, usage0, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for our own writer: got %v, want canceled", err)
	}
	if _, err := b.Position(ctx, usage0); err != nil {
		t.Errorf("reading a locked store: %v", err)
	}
	w.rollback()
	p := takeOver(t, b, usage0)
	p.apply(p.next(1, request(day0.Hour(), "a", "x")))
	if r := o.try(o.next(1)); r.Outcome != Fenced {
		t.Errorf("got %+v, want Fenced", r)
	}
}

// TestFull: an engine that has no room is no fault of the data. Nothing is
// applied, and it goes on when there is room again.
func TestFull(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	pages := func(n int) {
		t.Helper()
		if err := s.write.QueryRow(fmt.Sprintf("PRAGMA max_page_count = %d", n)).Scan(new(int)); err != nil {
			t.Fatal(err)
		}
	}
	pages(1) // what it has now is the least
	before := everything(t, s)
	var rows []Rollup
	for i := range 1000 {
		rows = append(rows, request(day0.Hour(), "a", fmt.Sprint(i)))
	}
	c := o.next(1000, rows...)
	results, err := s.Checkpoint(ctx, []*Checkpoint{c})
	if err == nil || errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "full") {
		t.Fatalf("got %v, %v, want an error that says full", results, err)
	}
	if after := everything(t, s); after != before {
		t.Error("it left something")
	}
	pages(1 << 20)
	o.apply(c)
}
