//go:build kafka

package main

import (
	"crypto/pbkdf2"
	"crypto/sha512"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
)

// Brokers of a cluster go down and come back. What an operator reads says what is
// wrong, and all goes on by itself when they are back.
func TestKafkaReplicas(t *testing.T) {
	k := startKafka(t, "KAFKA_NODES=3")
	t.Run("Leaderless", func(t *testing.T) { kafkaLeaderless(t, k) })
	t.Run("InSync", func(t *testing.T) { k.drop(t); kafkaInSync(t, k) })
}

// saysNotReady waits until readiness is gone for this reason, and the log has it too.
func (s *server) saysNotReady(t *testing.T, why string) {
	t.Helper()
	s.until(t, "it is not ready: "+why, func() bool {
		body, status := s.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, why)
	})
	s.until(t, "the log says: "+why, func() bool { return strings.Contains(s.output.String(), why) })
}

// post sends one event over HTTP; its status.
func (s *server) post(id int) int {
	_, status := s.ask(http.MethodPost, "/v1/events", strings.NewReader(string(usageEvent(fmt.Sprintf("acct-%d", id%manyAccounts), id).Value)))
	return status
}

// A partition with a single replica has no leader while its broker is down.
func kafkaLeaderless(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t, "--replication", "1", "--partitions", "6")
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 500)
	c.drained(t)
	k.script(t, nil, "kill", "3")
	p.saysNotReady(t, "a partition") // has no leader, or its broker is down
	k.script(t, nil, "start")
	p.until(t, "it is ready again", p.ready)
	k.send(t, 500, 500)
	c.want(t, 1000, 0)
	p.stop(t)
}

// One of three replicas may be away. With two away nothing is acknowledged, what
// was is read, and none of it is lost.
func kafkaInSync(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 500)
	k.script(t, nil, "kill", "3")
	k.send(t, 500, 500)
	c.drained(t)
	p.until(t, "it is ready without the third", p.ready)
	k.inSync(t, 1) // else nobody could lead when the second is gone
	k.script(t, nil, "kill", "2")
	p.until(t, "it refuses an event", func() bool { return p.post(1000) != http.StatusAccepted })
	p.until(t, "it says why", func() bool {
		body, _ := p.get("/readyz")
		p.post(1000)
		return strings.Contains(body, "events are not durable") && strings.Contains(body, "fewer replicas are in sync")
	})
	k.script(t, nil, "start")
	p.until(t, "it takes events again", func() bool { return p.post(1000) == http.StatusAccepted })
	p.until(t, "it is ready again", p.ready)
	k.send(t, 1001, 499)
	c.drained(t)
	if _, got := ledger(t, c.command(t, "balance", "--data", c.dir)); got != 1500 {
		t.Errorf("got %d counted, want 1500", got)
	}
	c.command(t, "verify", "--data", c.dir).want(t, 0, "verify: good")
}

// inSync waits until a broker has all of what was acknowledged.
func (k *realKafka) inSync(t *testing.T, id int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("broker %d is in sync", id), func() error {
		meta, err := k.kafka.Client().Metadata(soon(t), &kafka.MetadataRequest{Topics: []string{"usage", "errors", "emails"}})
		if err != nil {
			return err
		}
		for _, topic := range meta.Topics {
			for _, p := range topic.Partitions {
				if !slices.ContainsFunc(p.Isr, func(b kafka.Broker) bool { return b.ID == id }) {
					return fmt.Errorf("%s/%d has %v in sync", topic.Name, p.ID, p.Isr)
				}
			}
		}
		return nil
	})
}

// The password goes bad while a pipeline runs, and is mended while it runs.
func mendedPassword(t *testing.T, k *realKafka) {
	t.Setenv("TALLYBOOK_KAFKA_PASSWORD", "tally-secret")
	sasl := newCluster(t, &realKafka{dir: k.dir, brokers: []string{k.address(4)}, port: k.port, kafka: k.kafka})
	p := sasl.pipeline(t, "--kafka-tls", "--kafka-ca", k.file("ca.pem"), "--kafka-sasl", "scram-sha-512", "--kafka-user", "tally")
	p.until(t, "it is ready", p.ready)
	k.setPassword(t, "another")
	k.restart(t)
	p.until(t, "it is not ready, and the log says why", func() bool { // readiness may name the partitions' broker instead
		return !p.ready() && strings.Contains(p.output.String(), "refuses the user or the password")
	})
	k.setPassword(t, "tally-secret")
	p.until(t, "it is ready again", p.ready)
	p.stop(t)
}

func (k *realKafka) restart(t *testing.T) {
	t.Helper()
	k.script(t, nil, "stop")
	k.script(t, nil, "start")
}

// setPassword changes the password of the user for SCRAM, past all SASL.
func (k *realKafka) setPassword(t *testing.T, password string) {
	t.Helper()
	const rounds = 4096
	salt := []byte("salt for a test")
	salted, err := pbkdf2.Key(sha512.New, password, salt, rounds, sha512.Size)
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the password is changed", func() error {
		answer, err := k.kafka.Client().AlterUserScramCredentials(soon(t), &kafka.AlterUserScramCredentialsRequest{
			Upsertions: []kafka.UserScramCredentialsUpsertion{{Name: "tally", Mechanism: kafka.ScramMechanismSha512, Iterations: rounds, Salt: salt, SaltedPassword: salted}}})
		if err == nil && len(answer.Results) == 1 {
			err = answer.Results[0].Error
		}
		return err
	})
}
