package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"math"
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
	if _, err := s.write.Exec(`INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, o := range []Options{{}, {ReadOnly: true}} {
		if _, err := Open(ctx, newer, o); !errors.Is(err, ErrVersion) {
			t.Errorf("tables of a newer program: got %v, want ErrVersion", err)
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

func TestKnownSet(t *testing.T) {
	k := newKnownSet(100)
	key := func(i int) [16]byte { return [16]byte{byte(i), byte(i >> 8)} }
	k.add([][16]byte{key(1 << 12)})
	for i := range 1000 {
		k.add([][16]byte{key(i)})
		if !k.has(key(i)) || !k.has(key(1<<12)) {
			t.Fatalf("%d, or the one that is always used, was forgotten", i)
		}
		if n := len(k.now) + len(k.old); n > 100 {
			t.Fatalf("got %d keys, want at most 100", n)
		}
	}
	if k.has(key(1)) {
		t.Error("nothing is ever forgotten")
	}
}

// TestViewDeadline: a view that lasts too long is cut short, in the middle of a
// query that would never end.
func TestViewDeadline(t *testing.T) {
	s := openFile(t, filepath.Join(t.TempDir(), "store.db"), Options{ViewTimeout: 20 * time.Millisecond})
	err := s.View(ctx, func(v *View) error {
		return v.stream(func(*sql.Rows) error { return nil },
			`WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n`)
	})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "a view of the store may last 20ms") {
		t.Errorf("got %v, want the deadline, told in words", err)
	}
}

// TestRefusedSaysWhy: the cause names the column.
func TestRefusedSaysWhy(t *testing.T) {
	s := openNew(t)
	o := takeOver(t, s, usage0)
	row := request(day0.Hour(), "a", "x")
	row.Bytes = math.MaxInt64
	o.apply(o.next(1, row))
	err := o.try(o.next(1, row)).Err
	if err == nil || !strings.Contains(err.Error(), "checkpoint usage/0 at 1: rollups: ") ||
		!strings.Contains(err.Error(), "rollup_hours.bytes") {
		t.Errorf("got %v, want the partition, the offset and the column", err)
	}
}
