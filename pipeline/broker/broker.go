package broker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"tallybook/schemas"
)

const (
	defaultMaxLogBytes = 1 << 30
	// MaxMessageBytes is the largest record batch: an event of 1 MiB, or a
	// writer's batch of BatchBytes, with room for key, headers and framing.
	MaxMessageBytes = 2 << 20
	maxSegmentBytes = 8 << 20
	// minFree stays free on the disk: batches of the largest size that others let
	// no room for meanwhile, and what workers write to get on.
	minFree = 8 * MaxMessageBytes
)

// Config of the embedded broker. Dir is required; zero values take the default.
type Config struct {
	Dir    string // created if missing; one process at a time
	Listen string // host:port; port 0 takes a free one; default 127.0.0.1:9092
	// Advertise is the host:port that clients are told to come back to. Needed
	// where Listen is a wildcard address; default: what is listened on.
	Advertise string

	Partitions int // of each topic when it is created; default 4. Later starts keep theirs

	MaxLogBytes     int64 // of all partitions together; default 1 GiB (--log-max-bytes)
	MaxMessageBytes int   // of one record batch; default MaxMessageBytes
	// SegmentBytes is at what size a segment file ends. Two a partition stay
	// behind the positions; default 8 MiB, or less where MaxLogBytes is small.
	SegmentBytes int64

	Log *slog.Logger // default slog.Default()

	free func(dir string) (int64, error) // default Free
}

// Broker is a running embedded broker.
type Broker struct {
	cfg     Config
	cluster *kfake.Cluster
	addr    string
	lock    *os.File
	log     *logger
	parts   map[schemas.Topic]int

	trim sync.Mutex   // one Trim at a time
	used atomic.Int64 // bytes of segment files; exact after Trim

	// Owned by the cluster's goroutine: the produce request that admit saw last.
	last        kmsg.Request
	lastRefused bool
}

// Start opens the log in cfg.Dir and serves it until Close; kfake has no start
// of its own that could wait for a Run. Topics usage, errors and emails exist
// when it returns.
func Start(cfg Config) (*Broker, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	ln, err := listen(cfg)
	if err != nil {
		return nil, err
	}
	defer close(ln.ready)
	b := &Broker{cfg: cfg, addr: ln.Addr().String(), log: &logger{log: cfg.Log}}
	if err := b.open(ln); err != nil {
		ln.Close()
		b.unlock()
		return nil, err
	}
	return b, nil
}

func (c *Config) fill() error {
	if c.Dir == "" {
		return errors.New("the embedded broker needs a data folder")
	}
	c.Listen = cmp.Or(c.Listen, "127.0.0.1:9092")
	c.Partitions = cmp.Or(c.Partitions, 4)
	c.MaxLogBytes = cmp.Or(c.MaxLogBytes, defaultMaxLogBytes)
	c.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, MaxMessageBytes)
	all := int64(c.Partitions * len(schemas.Topics))
	c.SegmentBytes = cmp.Or(c.SegmentBytes, min(maxSegmentBytes, c.MaxLogBytes/(4*all)))
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.free == nil {
		c.free = Free
	}
	if c.Partitions < 1 || c.Partitions > 1000 {
		return fmt.Errorf("--partitions %d: must be 1 to 1000", c.Partitions)
	}
	// What is processed but not yet trimmed must never fill the log by itself.
	if c.SegmentBytes < 1 || 3*all*c.SegmentBytes > c.MaxLogBytes {
		return fmt.Errorf("--log-max-bytes %d: %d partitions keep up to 3 segments of %d bytes each, which is more",
			c.MaxLogBytes, all, c.SegmentBytes)
	}
	return nil
}

func (b *Broker) open(ln *listener) error {
	if err := os.MkdirAll(b.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("make the broker's data folder: %w", err)
	}
	var err error
	if b.lock, err = lock(filepath.Join(b.cfg.Dir, "LOCK")); err != nil {
		return err
	}
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(ln.once),
		kfake.ClusterID("tallybook"),
		kfake.DataDir(b.cfg.Dir),
		kfake.SyncWrites(),
		kfake.WithLogger(b.log),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes":   strconv.Itoa(b.cfg.MaxMessageBytes),
			"log.segment.bytes":   strconv.FormatInt(b.cfg.SegmentBytes, 10),
			"log.retention.ms":    "-1",
			"log.retention.bytes": "-1",
		}))
	if err != nil {
		return fmt.Errorf("open the embedded broker's log in %s: %w", b.cfg.Dir, err)
	}
	b.cluster.Fault(b.refusals()...)
	if err := b.createTopics(); err != nil {
		b.cluster.Close()
		return err
	}
	if err := b.measure(); err != nil {
		b.cluster.Close()
		return err
	}
	if b.Bytes() > 64<<20 {
		debug.FreeOSMemory() // kfake has read the whole log and needs none of it
	}
	return nil
}

// createTopics makes what is missing. It does not rely on kfake's seeding: a
// crash during the very first start can leave a data folder without topics.
func (b *Broker) createTopics() error {
	b.parts = make(map[schemas.Topic]int, len(schemas.Topics))
	for _, topic := range schemas.Topics {
		if b.cluster.TopicInfo(string(topic)) == nil {
			if err := b.cluster.CreateTopic(string(topic), int32(b.cfg.Partitions), nil); err != nil {
				return fmt.Errorf("create topic %s: %w", topic, err)
			}
		}
		b.parts[topic] = len(b.cluster.PartitionInfos(string(topic)))
	}
	return nil
}

// refusals are the requests that no client may make of the embedded broker.
func (b *Broker) refusals() []kfake.Fault {
	return []kfake.Fault{
		{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: -1, When: b.refuse},
		{Keys: []kmsg.Key{kmsg.DeleteTopics, kmsg.DeleteRecords, kmsg.AlterConfigs, kmsg.IncrementalAlterConfigs},
			Err: kerr.PolicyViolation, Count: -1},
		{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: kerr.PolicyViolation, Count: -1, When: namesOther},
	}
}

// refuse reports whether a produce request comes while the log or the disk is
// full, and else counts its bytes. It runs on the cluster's goroutine, several
// times for one request.
func (b *Broker) refuse(req kmsg.Request) bool {
	if req == b.last {
		return b.lastRefused
	}
	b.last, b.lastRefused = req, b.Full() || b.diskFull()
	if b.lastRefused {
		return true
	}
	for _, topic := range req.(*kmsg.ProduceRequest).Topics {
		for i := range topic.Partitions {
			b.used.Add(int64(len(topic.Partitions[i].Records)))
		}
	}
	return false
}

func namesOther(req kmsg.Request) bool {
	for _, topic := range req.(*kmsg.CreateTopicsRequest).Topics {
		switch schemas.Topic(topic.Topic) {
		case schemas.Usage, schemas.Errors, schemas.Emails:
		default:
			return true
		}
	}
	return false
}

// Addr is the host:port that clients use.
func (b *Broker) Addr() string { return b.addr }

// Partitions is the number of partitions that a topic really has; 0: no such topic.
func (b *Broker) Partitions(topic schemas.Topic) int { return b.parts[topic] }

// Bytes is the size of the log: all segment files.
func (b *Broker) Bytes() int64 { return b.used.Load() }

// Full reports whether the log has no room for another batch of the largest
// size. Produce requests are then refused; trimming makes room.
func (b *Broker) Full() bool {
	room := min(int64(b.cfg.MaxMessageBytes), b.cfg.SegmentBytes)
	return b.used.Load()+room > b.cfg.MaxLogBytes
}

// diskFull is asked before kfake sees a batch: one that it could not write it
// answers UNKNOWN_SERVER_ERROR, and an idempotent producer that sends it again is
// told that it is there.
func (b *Broker) diskFull() bool {
	left, err := b.cfg.free(b.cfg.Dir)
	return err == nil && left < minFree
}

// Close stops serving and saves the snapshot that makes the next start quick.
// Without it the log is as durable: the next start reads it through.
func (b *Broker) Close() error {
	b.cluster.Close()
	b.unlock()
	return b.log.failure()
}

func (b *Broker) unlock() {
	if b.lock != nil {
		b.lock.Close()
	}
}
