//go:build kafka

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallybook/bench/servers"
	"tallybook/schemas"
)

// onServers is a cluster on PostgreSQL and an S3 server, which are gone with the test.
func onServers(t *testing.T, k *realKafka) *cluster {
	t.Helper()
	c := newCluster(t, k)
	database, err := servers.Postgres(soon(t), publicDir(t), "-c fsync=off")
	t.Cleanup(func() { stopServer(t, database) })
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := servers.S3(soon(t), t.TempDir())
	t.Cleanup(func() { stopServer(t, bucket) })
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range bucket.Env {
		name, value, _ := strings.Cut(set, "=")
		t.Setenv(name, value)
	}
	c.store, c.archive = database.Address, bucket.Address
	return c
}

func stopServer(t *testing.T, s *servers.Server) {
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// publicDir is a folder that PostgreSQL's own user can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tallybook-test-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "postgres")
}

// tool runs one of PostgreSQL's.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}

// restore brings the store of a dump back, as docs/operators.md says.
func (c *cluster) restore(t *testing.T, dump string) {
	t.Helper()
	server := strings.Replace(c.store, "/tallybook?", "/postgres?", 1)
	tool(t, "psql", server, "-c", "DROP DATABASE tallybook WITH (FORCE)", "-c", "CREATE DATABASE tallybook")
	tool(t, "pg_restore", "--exit-on-error", "--single-transaction", "--dbname", c.store, dump)
}

// PostgreSQL is saved while events flow, lost, and restored beside the newer
// bucket: every event is counted once, what is set aside is explained. Where Kafka
// has lost records meanwhile, their partitions stop and say so.
func kafkaBackup(t *testing.T, k *realKafka) {
	c := onServers(t, k)
	p := c.pipeline(t)
	doctor := func() outcome {
		return c.command(t, "doctor", "--data", p.data, "--http", strings.TrimPrefix(p.url, "http://"))
	}
	c.command(t, load(0, 3000)...).want(t, 0)
	flowing := make(chan outcome, 1)
	go func() { flowing <- c.command(t, load(3000, 20000, "--rate", "5000")...) }()
	p.until(t, "they flow", func() bool {
		records, _ := ledger(t, c.command(t, "balance"))
		return records > 4000
	})
	dump := filepath.Join(c.dir, "tallybook.dump")
	tool(t, "pg_dump", "--format=custom", "--file", dump, c.store)
	(<-flowing).want(t, 0)
	c.drained(t)
	records, all := ledger(t, c.command(t, "balance"))
	if code := p.stop(t); code != 0 {
		t.Errorf("stop: exit code %d", code)
	}
	c.restore(t, dump)
	if before, _ := ledger(t, c.command(t, "balance")); before >= records || before < 3000 {
		t.Errorf("restored: got %d records of %d, at least 3000 were before the dump", before, records)
	}

	p = c.pipeline(t)
	c.drained(t)
	p.until(t, "it is ready", p.ready)
	if got, again := ledger(t, c.command(t, "balance")); got != records || again != all {
		t.Errorf("got %d records, %d counted, want %d and %d", got, again, records, all)
	}
	c.command(t, "verify").want(t, 0, "verify: good")
	doctor().want(t, 1, "have read on past their beginnings", "no lag")
	p.stop(t)

	// The same dump once more, and a log that begins behind its positions.
	c.restore(t, dump)
	k.forget(t, schemas.Usage, 0)
	p = c.pipeline(t)
	p.until(t, "it stops", func() bool {
		body, _ := p.get("/readyz")
		return strings.Contains(body, "records are gone")
	})
	doctor().want(t, 1, "were deleted before they were counted")
	p.stop(t)
}

// forget deletes what a partition's log has, but for the last record.
func (k *realKafka) forget(t *testing.T, topic schemas.Topic, id int32) {
	t.Helper()
	_, end, err := k.kafka.Offsets(soon(t), schemas.Partition{Topic: topic, ID: id})
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(k.brokers...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	req.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: string(topic), Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Partition: id, Offset: end - 1}}}}
	if _, err := req.RequestWith(soon(t), client); err != nil {
		t.Fatal(err)
	}
}
