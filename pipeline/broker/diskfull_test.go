package broker

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A full disk is told to clients as what they wait out, and what an idempotent
// producer then sends again under the same numbers is acknowledged when it is in
// the log, not before.
func TestFullDisk(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	b := mustStart(t, Config{Dir: t.TempDir(), free: func(string) (int64, error) { return free.Load(), nil }})
	defer mustClose(t, b)
	k, ctx := testKafka(t, b.Addr()), testContext(t)
	produce(t, k, usage1, "before")
	free.Store(minFree - 1)
	if err := tryProduce(ctx, k, usage1, "refused"); !errors.Is(err, kafka.KafkaStorageError) {
		t.Errorf("got %v, want %v", err, kafka.KafkaStorageError)
	}

	client, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.WithHooks(retried(func() { free.Store(1 << 40) })))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	record := &kgo.Record{Topic: string(usage1.Topic), Partition: usage1.ID, Value: []byte("waited out")}
	if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
		t.Fatal(err)
	}
	sameValues(t, read(t, k, usage1, 0), []string{"before", "waited out"})
	if left, err := Free(t.TempDir()); err != nil || left <= 0 {
		t.Errorf("got %d bytes free, %v", left, err)
	}
}

// retried is called behind the first produce request that was answered.
type retried func()

func (r retried) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, _ kgo.BrokerE2E) {
	if key == 0 {
		r()
	}
}
