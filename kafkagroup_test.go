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
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

// One broker of Apache Kafka, and what happens to processes around it.
func TestKafka(t *testing.T) {
	k := startKafka(t)
	for _, test := range []struct {
		name string
		run  func(t *testing.T, k *realKafka)
	}{
		{"HandOver", kafkaHandOver},
		{"Codecs", kafkaCodecs},
		{"Grow", kafkaGrow},
		{"GrownBehindUs", kafkaGrownBehindUs},
		{"MadeAnew", kafkaMadeAnew},
		{"Restart", kafkaRestart},
		{"CutLog", kafkaCutLog},
		{"Backup", kafkaBackup},
		{"Hangs", kafkaHangs},
		{"Upgrade", kafkaUpgrade},
	} {
		t.Run(test.name, func(t *testing.T) {
			k.fresh(t, 4)
			test.run(t, k)
		})
	}
}

func usageEvent(account string, id int) kafka.Message {
	value := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"s","type":"api.request","subject":%q,"time":"2026-01-12T00:00:00Z",`+
		`"data":{"api":"a","endpoint":"/","method":"GET","status":200}}`, id, account)
	return kafka.Message{Key: []byte(account), Value: []byte(value)}
}

const manyAccounts = 24 // so that each of the partitions has some

// send writes events with these ids, of many accounts.
func (k *realKafka) send(t *testing.T, first, n int) {
	t.Helper()
	k.sendBy(t, broker.Partitioner, first, n)
}

// formerly is the hash of a producer that still believes in so many partitions.
func formerly(partitions int) kafka.Balancer {
	return kafka.BalancerFunc(func(m kafka.Message, all ...int) int { return broker.Partitioner.Balance(m, all[:partitions]...) })
}

var otherHash = kafka.CRC32Balancer{Consistent: true} // librdkafka's, where nothing else is set

func (k *realKafka) sendBy(t *testing.T, hash kafka.Balancer, first, n int) {
	t.Helper()
	fresh := broker.NewKafka(k.brokers...) // a client that is older knows the partitions of some seconds ago
	defer fresh.Close()
	w := fresh.Writer(schemas.Usage)
	w.Balancer = hash
	defer w.Close()
	messages := make([]kafka.Message, n)
	for i := range messages {
		messages[i] = usageEvent(fmt.Sprintf("acct-%d", (first+i)%manyAccounts), first+i)
	}
	waitFor(t, "the events are taken", func() error {
		err := w.WriteMessages(soon(t), messages...)
		var each kafka.WriteErrors
		if errors.As(err, &each) { // those that were not: the others would be repeats
			left := messages[:0:0]
			for i, err := range each {
				if err != nil {
					left = append(left, messages[i])
				}
			}
			messages = left
		}
		return err
	})
}

// want holds the ledger against what was sent.
func (c *cluster) want(t *testing.T, counted, duplicate int) {
	t.Helper()
	c.drained(t)
	c.command(t, "balance", "--data", c.dir).want(t, 0, fmt.Sprintf("records %d = counted %d + duplicate %d + rejected 0", counted+duplicate, counted, duplicate))
	c.command(t, "verify", "--data", c.dir).want(t, 0, "verify: good")
}

// keepSending sends events from first on, one after the other, each by producers
// with these hashes in turn. What it returns ends that and says how many there were.
func (k *realKafka) keepSending(t *testing.T, first int, hashes ...kafka.Balancer) (end func() int) {
	patience := soon(t)
	ctx, stop := context.WithCancel(patience)
	ended := make(chan int, 1)
	go func() {
		var writers []*kafka.Writer
		for _, hash := range hashes {
			w := k.kafka.Writer(schemas.Usage)
			w.Balancer = hash
			defer w.Close()
			writers = append(writers, w)
		}
		n := 0
		for ; ctx.Err() == nil; n++ {
			m := usageEvent(fmt.Sprintf("acct-%d", (first+n)%manyAccounts), first+n)
			for i := range writers {
				w := writers[(n+i)%len(writers)]
				for patience.Err() == nil && w.WriteMessages(patience, m) != nil { // not written, or not known to be
				}
			}
		}
		ended <- n
	}()
	return func() int { stop(); return <-ended }
}

// wantCounted is for what depends on which records were handed on, and how often.
func (c *cluster) wantCounted(t *testing.T, counted int) {
	t.Helper()
	c.wantAll(t, counted)
	c.command(t, "balance", "--data", c.dir).want(t, 0, "handed on to another partition")
}

func epochsOf(positions int, c *cluster, t *testing.T) map[schemas.Partition]int64 {
	t.Helper()
	epochs := map[schemas.Partition]int64{}
	waitFor(t, "all partitions are taken", func() error {
		all := c.positions(t)
		if len(all) < positions {
			return fmt.Errorf("%d of %d", len(all), positions)
		}
		for tp, p := range all {
			epochs[tp] = p.Epoch
		}
		return nil
	})
	return epochs
}

// Processes come, leave, freeze and die. Nothing is lost or counted twice, and
// partitions that stay where they are stay with their window: their epoch.
func kafkaHandOver(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	const parts = 12
	first := c.pipeline(t)
	first.until(t, "it is ready", first.ready)
	k.send(t, 0, 2000)
	c.drained(t)
	before := epochsOf(parts, c, t)

	second := c.pipeline(t)
	second.until(t, "it is ready", second.ready)
	k.send(t, 2000, 2000)
	c.drained(t)
	moved := 0
	after := epochsOf(parts, c, t)
	for tp, epoch := range after {
		if epoch != before[tp] {
			moved++
		}
	}
	if moved != parts/2 {
		t.Errorf("a second process: got %d partitions moved, want %d", moved, parts/2)
	}

	began := time.Now()
	if code := first.stop(t); code != 0 {
		t.Errorf("stop: exit code %d\n%s", code, first.output)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("stopping took %s", took)
	}
	began = time.Now()
	k.send(t, 4000, 500)
	c.drained(t)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("behind a stop the next went on after %s", took)
	}

	third := c.pipeline(t)
	third.until(t, "it is ready", third.ready)
	if err := third.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	k.send(t, 4500, 500)
	c.drained(t) // by the second, behind the session timeout
	if err := third.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	k.send(t, 5000, 500)
	third.until(t, "the one that was frozen is back", third.ready)
	c.drained(t)
	second.kill(t)
	k.send(t, 5500, 500)
	k.send(t, 0, 500) // again
	c.want(t, 6000, 500)
}

// Producers of other languages, with every compression, keyed and unkeyed.
func kafkaCodecs(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	var sent int
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		for _, keyed := range []bool{true, false} {
			var lines strings.Builder
			for range 200 {
				m := usageEvent("acct-1", sent)
				if keyed {
					fmt.Fprintf(&lines, "%s\t", m.Key)
				}
				fmt.Fprintf(&lines, "%s\n", m.Value)
				sent++
			}
			args := []string{"-P", "-b", k.brokers[0], "-t", "usage", "-z", codec, "-X", "partitioner=murmur2_random"}
			if keyed {
				args = append(args, "-K", "\t")
			}
			cmd := exec.Command("kcat", args...)
			cmd.Stdin = strings.NewReader(lines.String())
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("kcat %v: %v: %s", args, err, out)
			}
		}
	}
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	cmd := exec.Command(python, filepath.Join("bench", "clients", "produce.py"), k.brokers[0], fmt.Sprint(sent), "200")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var more int
	if _, err := fmt.Sscanf(string(out), "%d", &more); err != nil {
		t.Fatalf("produce.py says %q", out)
	}
	c.want(t, sent+more, 0)
	if body, _ := p.get("/metrics"); !strings.Contains(body, `tallybook_lag_records{partition="0",topic="usage"} 0`) {
		t.Errorf("no lag in the metrics: %s", body)
	}
}

// A topic gets more partitions by our command: repeats are recognised wherever
// their accounts have moved.
func kafkaGrow(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 1000)
	c.drained(t)
	c.command(t, "topics", "admit", "usage", "--partitions", "3", "--data", c.dir).want(t, 2, "cannot take partitions away")
	sent := k.keepSending(t, 10_000, formerly(4), broker.Partitioner) // one that never learns of the change, one that does within seconds
	admitted := make(chan outcome, 1)
	go func() { admitted <- c.command(t, "topics", "admit", "usage", "--partitions", "7", "--data", c.dir) }()
	<-p.ended // it knows four partitions, and ends to be started again
	if text := p.output.String(); !strings.Contains(text, "admitted: the process ends") {
		t.Errorf("got %s", text)
	}
	p = c.pipeline(t)
	(<-admitted).want(t, 0, "topic usage has 7 partitions, admitted; it had 4")
	meanwhile := sent()
	k.send(t, 1000, 1000)
	k.send(t, 0, 2000) // again: most accounts have another partition
	c.wantCounted(t, 2000+meanwhile)
	p.until(t, "it is ready", p.ready)
	p.kill(t)
	c.pipeline(t)
	k.send(t, 0, 2000) // and with windows built again
	k.send(t, 10_000, meanwhile)
	c.wantCounted(t, 2000+meanwhile)
	k.sendBy(t, formerly(4), 0, 3000) // by a producer that knows nothing yet, with new ones
	k.send(t, 2000, 2000)
	k.sendBy(t, formerly(4), 3000, 1000)
	k.sendBy(t, otherHash, 0, 5000)
	k.send(t, 4000, 1000)
	c.wantCounted(t, 5000+meanwhile)
	c.command(t, "topics", "--data", c.dir).want(t, 0, "usage           7         7            0")
}

// Somebody else made partitions: workers stop and say what to do.
func kafkaGrownBehindUs(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 1000)
	k.sendBy(t, otherHash, 5000, 1000)
	c.drained(t)
	answer, err := k.kafka.Client().CreatePartitions(soon(t), &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: "usage", Count: 8}}})
	if err != nil || answer.Errors["usage"] != nil {
		t.Fatalf("got %v, %v", err, answer)
	}
	p.until(t, "it stops", func() bool {
		body, status := p.get("/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(body, "tallybook topics admit usage")
	})
	k.send(t, 1000, 500)
	k.sendBy(t, formerly(4), 0, 1600)
	k.send(t, 0, 1600)
	k.sendBy(t, otherHash, 5000, 1000)
	admitted := make(chan outcome, 1)
	go func() { admitted <- c.command(t, "topics", "admit", "usage", "--data", c.dir) }()
	<-p.ended
	c.pipeline(t)
	(<-admitted).want(t, 0, "topic usage has 8 partitions, admitted; it had 4")
	k.sendBy(t, formerly(4), 1500, 200)
	k.send(t, 1600, 100)
	k.send(t, 5000, 1000)
	c.wantCounted(t, 2700)
}

// The topic was deleted and made again, while a process runs and while none does.
func kafkaMadeAnew(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 1000)
	c.drained(t)
	k.fresh(t, 4)
	k.send(t, 5000, 5000) // longer than the log was
	stopped := func() bool {
		body, _ := p.get("/readyz")
		return strings.Contains(body, "the log was replaced") || strings.Contains(body, "the log went backwards")
	}
	p.until(t, "it stops", stopped)
	p.stop(t)
	p = c.pipeline(t)
	p.until(t, "it stops again", stopped)
	p.stop(t)
	c.command(t, "balance", "--data", c.dir).want(t, 0, "counted 1000")
}

// The broker goes down and comes back, in order and not: leaders have new epochs,
// and the log is the same.
func kafkaRestart(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	k.send(t, 0, 1000)
	c.drained(t)
	for i, how := range []string{"stop", "kill"} {
		k.script(t, nil, how)
		p.until(t, "it is not ready", func() bool { return !p.ready() })
		if body, _ := p.get("/readyz"); !strings.Contains(body, "broker") {
			t.Errorf("without a broker: got %s", body)
		}
		k.script(t, nil, "start")
		k.send(t, 1000+1000*i, 1000)
		p.until(t, "it is ready again", p.ready)
		c.drained(t)
	}
	c.want(t, 3000, 0)
}

// The log lost its end, as by an unclean election or a disk that was restored.
func kafkaCutLog(t *testing.T, k *realKafka) {
	c := newCluster(t, k)
	p := c.pipeline(t)
	p.until(t, "it is ready", p.ready)
	for i := range 5 { // batches of their own
		k.send(t, 100*i, 100)
	}
	c.drained(t)
	k.script(t, nil, "stop")
	logs, err := filepath.Glob(filepath.Join(k.dir, "1", "log", "usage-[0-9]", "*.log"))
	if err != nil || len(logs) != 4 {
		t.Fatalf("got %v, %v", logs, err)
	}
	for _, path := range logs {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, info.Size()/2); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(k.dir, "1", "log", ".kafka_cleanshutdown")); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	k.script(t, nil, "start")
	p.until(t, "it stops", func() bool {
		body, _ := p.get("/readyz")
		return strings.Contains(body, "the log went backwards")
	})
	k.send(t, 5000, 2000) // now it is longer than it was
	p.stop(t)
	p = c.pipeline(t)
	p.until(t, "it stops", func() bool {
		body, _ := p.get("/readyz")
		return strings.Contains(body, "the log was replaced")
	})
	p.stop(t)
	c.command(t, "balance", "--data", c.dir).want(t, 0, "counted 500")
}
