package broker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// The test binary is also the broker process that tests kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("TALLYBOOK_TEST_BROKER_DIR"); dir != "" {
		b, err := Start(Config{Dir: dir, Listen: "127.0.0.1:0", Log: quiet})
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {}
	}
	os.Exit(m.Run())
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func mustStart(t *testing.T, cfg Config) *Broker {
	t.Helper()
	cfg.Log = quiet
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	b, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustClose(t *testing.T, b *Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func testKafka(t *testing.T, addr string) *Kafka {
	k := NewKafka(addr)
	t.Cleanup(k.Close)
	return k
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// produce sends one batch and returns after its acknowledgement.
func produce(t *testing.T, k *Kafka, tp schemas.Partition, values ...string) {
	t.Helper()
	if err := tryProduce(testContext(t), k, tp, values...); err != nil {
		t.Fatal(err)
	}
}

func tryProduce(ctx context.Context, k *Kafka, tp schemas.Partition, values ...string) error {
	records := make([]kafka.Record, len(values))
	for i, v := range values {
		records[i] = kafka.Record{Key: kafka.NewBytes([]byte("acme")), Value: kafka.NewBytes([]byte(v))}
	}
	answer, err := k.Client().Produce(ctx, &kafka.ProduceRequest{Topic: string(tp.Topic), Partition: int(tp.ID),
		RequiredAcks: kafka.RequireAll, Compression: kafka.Lz4, Records: kafka.NewRecordReader(records...)})
	if err != nil {
		return err
	}
	return answer.Error
}

// read returns the values from an offset to the end.
func read(t *testing.T, k *Kafka, tp schemas.Partition, from int64) []string {
	t.Helper()
	ctx := testContext(t)
	_, end, err := k.Offsets(ctx, tp)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := k.Dialer.DialLeader(ctx, "tcp", k.Brokers[0], string(tp.Topic), int(tp.ID))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Seek(from, kafka.SeekAbsolute); err != nil {
		t.Fatal(err)
	}
	var values []string
	for from < end {
		m, err := conn.ReadMessage(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		if m.Offset != from {
			t.Fatalf("got offset %d, want %d", m.Offset, from)
		}
		values = append(values, string(m.Value))
		from++
	}
	return values
}

func numbers(prefix string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprint(prefix, i)
	}
	return values
}

func sameValues(t *testing.T, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %d values %.200q, want %d values %.200q", len(got), got, len(want), want)
	}
}

var usage1 = schemas.Partition{Topic: schemas.Usage, ID: 1}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	b := mustStart(t, Config{Dir: dir, Partitions: 2})
	k := testKafka(t, b.Addr())
	first := numbers("a", 100)
	produce(t, k, usage1, first...)

	// A copy while it runs is what a machine that lost power would find.
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, b)

	for _, from := range []string{dir, copied} {
		b := mustStart(t, Config{Dir: from, Partitions: 7})
		if got, want := b.Partitions(schemas.Usage), 2; got != want {
			t.Errorf("partitions: got %d, want the %d of the first start", got, want)
		}
		k := testKafka(t, b.Addr())
		sameValues(t, read(t, k, usage1, 0), first)
		second := numbers("b", 10)
		produce(t, k, usage1, second...)
		sameValues(t, read(t, k, usage1, 100), second)
		mustClose(t, b)
	}
}

func TestKilledProcessKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	var acknowledged []string
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), "TALLYBOOK_TEST_BROKER_DIR="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || strings.HasPrefix(addr, "error") {
			child.Process.Kill()
			t.Fatal(addr, err)
		}
		k := testKafka(t, strings.TrimSpace(addr))
		var sent []string
		for i := range 50 {
			value := fmt.Sprintf("%d.%d", round, i)
			if err := tryProduce(testContext(t), k, usage1, value); err != nil {
				t.Error(err)
				break
			}
			sent = append(sent, value)
		}
		child.Process.Kill()
		child.Wait()
		acknowledged = append(acknowledged, sent...)
	}
	b := mustStart(t, Config{Dir: dir})
	defer mustClose(t, b)
	sameValues(t, read(t, testKafka(t, b.Addr()), usage1, 0), acknowledged)
}

func TestFullRefusesUntilTrimmed(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir(), Partitions: 2, MaxLogBytes: 200 << 10})
	defer mustClose(t, b)
	k := testKafka(t, b.Addr())
	ctx := testContext(t)
	// Text that compresses badly, 2 KiB a record.
	values := make([]string, 0, 200)
	var err error
	for i := 0; err == nil && i < 200; i++ {
		if b.Full() {
			err = tryProduce(ctx, k, usage1, "one too many")
			break
		}
		var text strings.Builder
		for j := range 200 {
			fmt.Fprintf(&text, "%x", uint32(i*7919+j*104729+1)*2654435761)
		}
		values = append(values, text.String())
		err = tryProduce(ctx, k, usage1, text.String())
	}
	if !errors.Is(err, kafka.KafkaStorageError) || !b.Full() {
		t.Fatalf("got %v, full %v; want %v", err, b.Full(), kafka.KafkaStorageError)
	}
	if b.Bytes() < 150<<10 || b.Bytes() > 200<<10 {
		t.Errorf("got %d bytes, want just below %d", b.Bytes(), 200<<10)
	}
	if err := b.Trim(map[schemas.Partition]int64{usage1: int64(len(values))}); err != nil {
		t.Fatal(err)
	}
	if b.Full() {
		t.Errorf("still full after trimming: %d bytes", b.Bytes())
	}
	produce(t, k, usage1, "again")
	first, end, err := k.Offsets(ctx, usage1)
	if err != nil || end != int64(len(values)+1) || first == 0 {
		t.Errorf("got first %d, end %d, %v", first, end, err)
	}
}

func TestSetUpErrors(t *testing.T) {
	taken := mustStart(t, Config{Dir: t.TempDir()})
	defer mustClose(t, taken)
	held := t.TempDir()
	holder := mustStart(t, Config{Dir: held})
	defer mustClose(t, holder)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg  Config
		want []string
	}{
		"port in use":       {Config{Dir: t.TempDir(), Listen: taken.Addr()}, []string{"--kafka-listen", taken.Addr(), "in use"}},
		"no port":           {Config{Dir: t.TempDir(), Listen: "127.0.0.1"}, []string{"--kafka-listen", "host:port"}},
		"wildcard":          {Config{Dir: t.TempDir(), Listen: ":0"}, []string{"--kafka-listen", "advertised"}},
		"folder held":       {Config{Dir: held, Listen: "127.0.0.1:0"}, []string{"LOCK", "another process"}},
		"folder is a file":  {Config{Dir: file, Listen: "127.0.0.1:0"}, []string{"data folder"}},
		"no folder":         {Config{Listen: "127.0.0.1:0"}, []string{"data folder"}},
		"limit too small":   {Config{Dir: t.TempDir(), MaxLogBytes: 1 << 20, SegmentBytes: 1 << 20}, []string{"--log-max-bytes"}},
		"no partition":      {Config{Dir: t.TempDir(), Partitions: -1, SegmentBytes: 1}, []string{"--partitions"}},
		"unknown interface": {Config{Dir: t.TempDir(), Listen: "192.0.2.1:0"}, []string{"--kafka-listen", "192.0.2.1"}},
	} {
		c.cfg.Log = quiet
		b, err := Start(c.cfg)
		if err == nil {
			b.Close()
			t.Errorf("%s: got no error", name)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want it to name %q", name, err, want)
			}
		}
	}
}

func TestAdvertise(t *testing.T) {
	probe, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(probe.Addr().String())
	probe.Close()
	b := mustStart(t, Config{Dir: t.TempDir(), Listen: "0.0.0.0:" + port, Advertise: "localhost:" + port})
	defer mustClose(t, b)
	if got, want := b.Addr(), "localhost:"+port; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	k := testKafka(t, "127.0.0.1:"+port)
	produce(t, k, usage1, "x")
	answer, err := k.Client().Metadata(testContext(t), &kafka.MetadataRequest{})
	if err != nil || len(answer.Brokers) != 1 || answer.Brokers[0].Host != "localhost" {
		t.Errorf("got brokers %v, %v; want localhost alone", answer.Brokers, err)
	}
}

// A listener for Kafka is found by port scanners and web browsers.
func TestGarbageOnThePort(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir()})
	defer mustClose(t, b)
	for _, garbage := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS",
		"\x00\x00\x00\x10\x7f\xff\x00\x00aaaaaaaaaaaa",     // unknown key
		"\x00\x00\x00\x10\x00\x00\xff\xffaaaaaaaaaaaa",     // negative version
		"\x00\x00\x00\x01\x00\x00\x00\x00aaaaaaaaaaaaaaaa", // shorter than a header
		"\xff\xff\xff\xff\x00\x00\x00\x00aaaaaaaaaaaaaaaa",
	} {
		conn, err := net.Dial("tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := conn.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%q: got %d bytes, %v; want the connection closed", garbage, n, err)
		}
		conn.Close()
	}
	produce(t, testKafka(t, b.Addr()), usage1, "still here")
}

func TestClientsCannotDelete(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir()})
	defer mustClose(t, b)
	k := testKafka(t, b.Addr())
	ctx := testContext(t)
	produce(t, k, usage1, "kept")

	deleted, err := k.Client().DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{"usage"}})
	if err != nil || !errors.Is(deleted.Errors["usage"], kafka.PolicyViolation) {
		t.Errorf("delete: got %v, %v; want %v", deleted, err, kafka.PolicyViolation)
	}
	created, err := k.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: "other", NumPartitions: 1, ReplicationFactor: 1}}})
	if err != nil || !errors.Is(created.Errors["other"], kafka.PolicyViolation) {
		t.Errorf("create: got %v, %v; want %v", created, err, kafka.PolicyViolation)
	}
	altered, err := k.Client().AlterConfigs(ctx, &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: "usage",
		Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "1"}}}}})
	if err != nil || len(altered.Errors) != 1 {
		t.Errorf("alter: got %v, %v; want an error", altered, err)
	}
	for _, err := range altered.Errors {
		if !errors.Is(err, kafka.PolicyViolation) {
			t.Errorf("alter: got %v, want %v", err, kafka.PolicyViolation)
		}
	}
	b.cluster.ApplyRetention()
	sameValues(t, read(t, k, usage1, 0), []string{"kept"})
}
