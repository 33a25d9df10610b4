package producer

import (
	"context"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

func startBroker(t testing.TB) *broker.Kafka {
	t.Helper()
	b, err := broker.Start(broker.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Partitions: 3, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	k := broker.NewKafka(b.Addr())
	t.Cleanup(func() {
		k.Close()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// readAll reads every record of every topic, partition by partition.
func readAll(t testing.TB, k *broker.Kafka) (records []kafka.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, topic := range schemas.Topics {
		for p := range int32(3) {
			tp := schemas.Partition{Topic: topic, ID: p}
			first, end, err := k.Offsets(ctx, tp)
			if err != nil {
				t.Fatal(err)
			}
			if first == end {
				continue
			}
			r := kafka.NewReader(kafka.ReaderConfig{Brokers: k.Brokers, Topic: string(topic), Partition: int(p), MaxWait: 50 * time.Millisecond})
			for n := first; n < end; n++ {
				m, err := r.ReadMessage(ctx)
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, m)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	return records
}

// What the embedded broker holds after a load is what was expected of it: the
// memory of batches is reused, and nothing of it may reach a later batch.
func TestGenerateIntoKafka(t *testing.T) {
	k := startBroker(t)
	w := k.Writer("")
	defer w.Close()
	cfg := mixedLoad(Dense, 20_000)
	cfg.BatchRecords = 3000
	ctx := context.Background()
	want, err := Generate(ctx, cfg, func(batch []kafka.Message) error { return Send(ctx, w, batch) })
	if err != nil {
		t.Fatal(err)
	}
	got := recount(t, readAll(t, k))
	if got.Late = want.Late; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestImportIntoKafka(t *testing.T) {
	k := startBroker(t)
	w := k.Writer("")
	defer w.Close()
	for name, format := range map[string]Format{"access.log": Combined, "api-errors.ndjson": NDJSON, "mail-events.ndjson": NDJSON} {
		cfg, _, _ := testConfig(t, testdata+name)
		cfg.Format, cfg.Account, cfg.Writer = format, "demo", w
		mustImport(t, cfg)
	}
	records := readAll(t, k)
	got := recount(t, records)
	counts := map[schemas.Topic]int64{}
	for topic, totals := range got.Topics {
		counts[topic] = totals.Events
	}
	if want := map[schemas.Topic]int64{schemas.Usage: 500, schemas.Errors: 40, schemas.Emails: 120}; !reflect.DeepEqual(counts, want) || got.Counted != got.Records {
		t.Errorf("got %v of %d records, want %v", counts, got.Records, want)
	}
	partitions := map[string]map[int]bool{}
	for _, m := range records {
		if partitions[m.Topic] == nil {
			partitions[m.Topic] = map[int]bool{}
		}
		partitions[m.Topic][m.Partition] = true
		if d := m.Time.Sub(testNow); d < -time.Millisecond || d > time.Millisecond {
			t.Fatalf("record of %v, want %v", m.Time, testNow)
		}
	}
	for topic, p := range partitions {
		if len(p) != 1 {
			t.Errorf("topic %s: one account on %d partitions", topic, len(p))
		}
	}
}
