//go:build kafka

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tallybook/bench/servers"
	"tallybook/pipeline/broker"
)

// nextMigration is what a later version may do to tables that are written all
// the time (store/migrations_test.go says what it may not).
const nextMigration = `-- +goose Up
CREATE TABLE next_things (name TEXT NOT NULL PRIMARY KEY) STRICT;
ALTER TABLE ledger ADD COLUMN next_count INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rollup_hours ADD COLUMN next_sum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE archive_files ADD COLUMN next_note TEXT NOT NULL DEFAULT '';
ALTER TABLE positions ADD COLUMN next_note TEXT NOT NULL DEFAULT '';
`

// nextVersion builds this program with one more migration.
func nextVersion(t *testing.T) (binary string) {
	t.Helper()
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(here, "store", "migrations", "99999_next.sql"): filepath.Join(dir, "next.sql")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"next.sql": []byte(nextMigration), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	binary = filepath.Join(dir, "tallybook")
	build := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// ask is for a store that a program of before made, which this one does not open.
func (c *cluster) ask(t *testing.T, query string) (answer float64) {
	t.Helper()
	out, err := exec.Command("psql", "-qAtX", c.store, "-c", query).CombinedOutput()
	if err == nil {
		_, err = fmt.Sscan(string(out), &answer)
	}
	if err != nil {
		t.Fatalf("%s: %v: %s", query, err, out)
	}
	return answer
}

// flowing waits until each partition of usage has so many more records counted.
func (c *cluster) flowing(t *testing.T, more int) {
	t.Helper()
	query := fmt.Sprintf(`SELECT CASE WHEN count(*) < 4 THEN 0 ELSE min(records) END FROM (
		SELECT sum(records) AS records FROM ledger WHERE topic = 'usage' AND closed_at > %d GROUP BY partition) p`, time.Now().UnixMicro())
	waitFor(t, "events flow", func() error {
		if n := c.ask(t, query); n < float64(more) {
			return fmt.Errorf("a partition has %.0f records, want %d", n, more)
		}
		return nil
	})
}

// longestPause is the longest time, in seconds, between two checkpoints of a
// partition of usage, of those that were under way at a time or later.
func (c *cluster) longestPause(t *testing.T, since time.Time) float64 {
	t.Helper()
	return c.ask(t, fmt.Sprintf(`SELECT max(pause) / 1e6 FROM (
		SELECT closed_at, closed_at - lag(closed_at) OVER (PARTITION BY partition ORDER BY first_offset) AS pause
		FROM ledger WHERE topic = 'usage') c WHERE closed_at > %d`, since.UnixMicro()))
}

// A rolling upgrade, as docs/operators.md has it: one pipeline after the other is
// stopped, replaced and waited for, while events flow. The first of the new ones
// migrates beside the old one. OLD_TALLYBOOK names a program to begin with;
// without it that is this one.
func kafkaUpgrade(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	database, err := servers.Postgres(soon(t), publicDir(t), "-c fsync=off")
	t.Cleanup(func() { stopServer(t, database) })
	if err != nil {
		t.Fatal(err)
	}
	c.store = database.Address
	old, next := os.Getenv("OLD_TALLYBOOK"), nextVersion(t)
	var pipelines [2]*server
	for i := range pipelines {
		pipelines[i] = c.pipelineOf(t, old, t.TempDir())
	}
	for _, p := range pipelines {
		p.until(t, "it is ready", p.ready)
	}
	sent := k.keepSending(t, 0, broker.Partitioner)
	c.flowing(t, 20)
	for i, p := range pipelines {
		began := time.Now()
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		<-p.ended
		stopped := time.Since(began)
		if code := p.ProcessState.ExitCode(); code != 0 || stopped > 10*time.Second {
			t.Errorf("stop: exit code %d after %s\n%s", code, stopped, p.output)
		}
		c.flowing(t, 20)
		leaving := c.longestPause(t, began)
		began = time.Now()
		p = c.pipelineOf(t, next, p.data)
		pipelines[i] = p
		p.until(t, "it is ready", p.ready)
		c.flowing(t, 20)
		coming := c.longestPause(t, began)
		t.Logf("pipeline %d ended within %.1f s; longest time between checkpoints of a partition: %.1f s while it left, %.1f s while the next came",
			i+1, stopped.Seconds(), leaving, coming)
		if limit := 15.0; leaving > limit || coming > limit { // a missed session is 10 s more than a hand-over
			t.Errorf("pauses of %.1f and %.1f s, want one hand-over", leaving, coming)
		}
	}
	c.wantAll(t, sent())
}

// wantAll: everything was counted, in whatever number of copies it was sent.
func (c *cluster) wantAll(t *testing.T, events int) {
	t.Helper()
	c.drained(t)
	c.command(t, "balance", "--data", c.dir).want(t, 0, fmt.Sprintf("counted %d + duplicate", events))
	c.command(t, "verify", "--data", c.dir).want(t, 0, "verify: good")
}
