//go:build kafka

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// These tests need Apache Kafka, which scripts/kafka.sh fetches and starts, kcat,
// and a Python with kafka-python as $PYTHON: go test -tags kafka -run Kafka .

func init() { patience = 4 * time.Minute }

// realKafka is a broker of Apache Kafka as a process.
type realKafka struct {
	dir     string
	brokers []string
	port    int
	kafka   *broker.Kafka
}

func startKafka(t *testing.T, env ...string) *realKafka {
	t.Helper()
	k := &realKafka{dir: t.TempDir()}
	t.Cleanup(func() { k.script(t, nil, "stop") })
	k.brokers = strings.Split(k.script(t, env, "start"), ",")
	if _, err := fmt.Sscanf(k.brokers[0], "127.0.0.1:%d", &k.port); err != nil {
		t.Fatal(err)
	}
	k.kafka = broker.NewKafka(k.brokers...)
	t.Cleanup(k.kafka.Close)
	return k
}

// script runs scripts/kafka.sh.
func (k *realKafka) script(t *testing.T, env []string, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command("scripts/kafka.sh", append([]string{command, k.dir}, args...)...)
	cmd.Env, cmd.Stderr = append(os.Environ(), env...), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kafka.sh %s: %v", command, err)
	}
	return strings.TrimSpace(string(out))
}

// address of another listener of the first broker: see scripts/kafka.sh.
func (k *realKafka) address(offset int) string { return fmt.Sprintf("127.0.0.1:%d", k.port+offset) }

func (k *realKafka) file(name string) string { return filepath.Join(k.dir, "tls", name) }

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// fresh makes the topics anew, empty.
func (k *realKafka) fresh(t *testing.T, partitions int) {
	t.Helper()
	k.drop(t)
	waitFor(t, "the topics are gone", func() error {
		count, err := broker.CountPartitions(soon(t), k.kafka.Dialer, k.brokers)
		for topic, n := range count {
			if n > 0 {
				return fmt.Errorf("%s has %d partitions", topic, n)
			}
		}
		return err
	})
	waitFor(t, "the topics are made", func() error {
		client := broker.NewKafka(k.brokers...) // another one remembers for seconds what is gone
		defer client.Close()
		ctx, cancel := context.WithTimeout(soon(t), 5*time.Second)
		defer cancel()
		got, err := client.EnsureTopics(ctx, partitions, 0)
		if err == nil && got[schemas.Usage] != partitions {
			err = fmt.Errorf("usage has %d partitions", got[schemas.Usage])
		}
		return err
	})
}

// drop deletes the topics.
func (k *realKafka) drop(t *testing.T) {
	t.Helper()
	names := make([]string, len(schemas.Topics))
	for i, topic := range schemas.Topics {
		names[i] = string(topic)
	}
	waitFor(t, "the topics are deleted", func() error { // connections to a broker that was restarted since end with an error
		answer, err := k.kafka.Client().DeleteTopics(soon(t), &kafka.DeleteTopicsRequest{Topics: names})
		if err != nil {
			return err
		}
		for name, err := range answer.Errors {
			if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
				return fmt.Errorf("delete %s: %w", name, err)
			}
		}
		return nil
	})
}

// waitFor tries until it is good.
func waitFor(t *testing.T, what string, try func() error) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); ; {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-limit:
			t.Fatalf("wait until %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// cluster is what processes share: a store and an archive.
type cluster struct {
	kafka          *realKafka
	dir            string
	store, archive string // in dir, unless others are set
}

func newCluster(t *testing.T, k *realKafka) *cluster {
	t.Helper()
	dir := t.TempDir()
	return &cluster{kafka: k, dir: dir, store: filepath.Join(dir, "tallybook.db"), archive: filepath.Join(dir, "archive")}
}

func (c *cluster) flags() []string {
	return []string{"--brokers", strings.Join(c.kafka.brokers, ","), "--store", c.store, "--archive", c.archive, "--no-auth"}
}

// pipeline starts a process with workers and waits until it takes requests.
func (c *cluster) pipeline(t *testing.T, args ...string) *server {
	t.Helper()
	return c.pipelineOf(t, "", t.TempDir(), args...)
}

// pipelineOf starts one of another program, or with "" of this one.
func (c *cluster) pipelineOf(t *testing.T, binary, data string, args ...string) *server {
	t.Helper()
	args = append(append([]string{"pipeline", "--data", data, "--http", "127.0.0.1:0"}, c.flags()...), args...)
	s := &server{Cmd: tallybookCommand(t, args...), data: data, output: &output{}, ended: make(chan struct{})}
	if binary != "" {
		s.Path = binary
	}
	launch(t, s)
	s.until(t, "it is up", func() bool { return upLine.MatchString(s.output.String()) })
	s.url = upLine.FindStringSubmatch(s.output.String())[1]
	return s
}

func (s *server) ready() bool {
	_, status := s.get("/readyz")
	return status == http.StatusOK
}

func (c *cluster) command(t *testing.T, args ...string) outcome {
	t.Helper()
	return tallybook(t, append(args, c.flags()...)...)
}

func (c *cluster) positions(t *testing.T) map[schemas.Partition]store.Position {
	t.Helper()
	st, err := store.Open(soon(t), c.store, store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	all := map[schemas.Partition]store.Position{}
	err = st.View(soon(t), func(v *store.View) error {
		list, err := v.Positions()
		for _, p := range list {
			all[p.Partition] = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// drained waits until everything in the log is counted.
func (c *cluster) drained(t *testing.T) {
	t.Helper()
	waitFor(t, "the log is worked off", func() error {
		positions := c.positions(t)
		for _, topic := range schemas.Topics {
			for id := int32(0); ; id++ {
				tp := schemas.Partition{Topic: topic, ID: id}
				_, end, err := c.kafka.kafka.Offsets(soon(t), tp)
				if err != nil {
					if id > 0 {
						break
					}
					return err
				}
				if next := positions[tp].Next; next != end {
					return fmt.Errorf("%s/%d is at %d of %d", topic, id, next, end)
				}
			}
		}
		return nil
	})
}
