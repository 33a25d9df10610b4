package broker

import (
	"fmt"
	"testing"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

func TestEnsureTopics(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir(), Partitions: 3})
	defer mustClose(t, b)
	k := testKafka(t, b.Addr())
	got, err := k.EnsureTopics(testContext(t), 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range schemas.Topics {
		if got[topic] != 3 || b.Partitions(topic) != 3 {
			t.Errorf("%s: got %d and %d partitions, want 3", topic, got[topic], b.Partitions(topic))
		}
	}
}

// Topics that are missing are made: as on a cluster that nobody prepared.
func TestEnsureTopicsCreates(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir(), Partitions: 3})
	defer mustClose(t, b)
	if err := b.cluster.DeleteTopic("errors"); err != nil {
		t.Fatal(err)
	}
	got, err := testKafka(t, b.Addr()).EnsureTopics(testContext(t), 8, 1)
	if err != nil {
		t.Fatal(err)
	}
	if got[schemas.Usage] != 3 || got[schemas.Errors] != 8 || got[schemas.Emails] != 3 {
		t.Errorf("got %v, want errors with 8 and the others with 3", got)
	}
}

func TestWriterPartitionsAsJavaDoes(t *testing.T) {
	b := mustStart(t, Config{Dir: t.TempDir(), Partitions: 100})
	defer mustClose(t, b)
	k := testKafka(t, b.Addr())
	w := k.Writer(schemas.Usage)
	defer w.Close()
	// What org.apache.kafka.common.utils.Utils.murmur2 gives for its own test's
	// keys, made positive, modulo 100.
	for key, hash := range map[string]int32{"21": -973932308, "foobar": -790332482,
		"a-little-bit-long-string": -985981536, "a-little-bit-longer-string": -1486304829} {
		tp := schemas.Partition{Topic: schemas.Usage, ID: (hash & 0x7fffffff) % 100}
		if err := w.WriteMessages(testContext(t), kafka.Message{Key: []byte(key), Value: []byte("v")}); err != nil {
			t.Fatal(err)
		}
		if _, end, err := k.Offsets(testContext(t), tp); err != nil || end != 1 {
			t.Errorf("key %s: got end %d of partition %d, %v; want 1", key, end, tp.ID, err)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	broker, err := Start(Config{Dir: b.TempDir(), Listen: "127.0.0.1:0", Log: quiet})
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	k := NewKafka(broker.Addr())
	defer k.Close()
	for name, codec := range map[string]kafka.Compression{"none": 0, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		b.Run(name, func(b *testing.B) {
			w := k.Writer(schemas.Usage)
			w.Compression = codec
			defer w.Close()
			messages := make([]kafka.Message, 2000)
			b.ReportAllocs()
			start := broker.Bytes()
			for b.Loop() {
				for i := range messages {
					messages[i] = kafka.Message{Key: fmt.Appendf(nil, "account-%d", i%50), Value: sample(i)}
				}
				if err := w.WriteMessages(b.Context(), messages...); err != nil {
					b.Fatal(err)
				}
			}
			n := float64(b.N * len(messages))
			b.ReportMetric(n/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64(broker.Bytes()-start)/n, "B/event")
		})
	}
}

func sample(i int) []byte {
	return fmt.Appendf(nil, `{"specversion":"1.0","id":"%08x-7b1c-4c8e-9a51-%012x","source":"gateway-1","type":"api.request",`+
		`"subject":"account-%d","time":"2026-01-02T03:04:05.%06dZ","data":{"api":"orders","version":"v2","endpoint":"/orders/{id}",`+
		`"method":"GET","status":200,"latency_ms":%d.5,"bytes":%d,"client_ip":"192.0.2.%d","key_id":"k-%d"}}`,
		i*2654435761, i*7919, i%50, i, i%300, i*37%9000, i%250, i%20)
}
