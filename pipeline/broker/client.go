package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

const (
	// BatchBytes bounds a producer's batch before compression; a batch of one
	// event of 1 MiB fits, and so does a batch into MaxMessageBytes.
	BatchBytes = 1<<20 + 64<<10

	clientTimeout = 10 * time.Second
	batchTimeout  = 5 * time.Millisecond
	maxAttempts   = 5
)

// Kafka is how to reach a cluster, the embedded one or another: one set of
// connections, shared by all that is made from it.
type Kafka struct {
	Brokers     []string          // host:port of one broker or more
	Transport   *kafka.Transport  // of clients and writers
	Dialer      *kafka.Dialer     // of consumer groups and plain connections
	Compression kafka.Compression // of what writers produce
}

// NewKafka is a Kafka that asks nobody who he is, as the embedded one; Reach is
// for others. It connects to nothing yet.
func NewKafka(brokers ...string) *Kafka {
	return &Kafka{
		Brokers:     brokers,
		Compression: kafka.Lz4,
		Transport: &kafka.Transport{
			ClientID:       "tallybook",
			DialTimeout:    clientTimeout / 2,
			MetadataTopics: topicNames(),
		},
		Dialer: &kafka.Dialer{ClientID: "tallybook", Timeout: clientTimeout / 2, DualStack: true},
	}
}

func topicNames() []string {
	names := make([]string, len(schemas.Topics))
	for i, topic := range schemas.Topics {
		names[i] = string(topic)
	}
	return names
}

// Client makes single requests.
func (k *Kafka) Client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(k.Brokers...), Timeout: clientTimeout, Transport: k.Transport}
}

// Close ends idle connections.
func (k *Kafka) Close() { k.Transport.CloseIdleConnections() }

// Writer produces to one topic: WriteMessages returns when all replicas have the
// messages. A produce whose answer was lost is sent again and may stand twice in
// the log; events are told apart by their ids. The account is the message's key.
func (k *Kafka) Writer(topic schemas.Topic) *kafka.Writer {
	return &kafka.Writer{
		Addr:         kafka.TCP(k.Brokers...),
		Topic:        string(topic),
		Balancer:     Partitioner,
		RequiredAcks: kafka.RequireAll,
		Compression:  k.Compression,
		BatchSize:    10_000,
		BatchBytes:   BatchBytes,
		BatchTimeout: batchTimeout,
		MaxAttempts:  maxAttempts,
		WriteTimeout: clientTimeout,
		ReadTimeout:  clientTimeout,
		Transport:    k.Transport,
	}
}

// Partitioner is Java's: the same account lands on the same partition whatever
// language its producer is written in.
var Partitioner = kafka.Murmur2Balancer{Consistent: true}

// Offsets is the offset of a partition's first record and the one that the next
// record will get.
func (k *Kafka) Offsets(ctx context.Context, tp schemas.Partition) (first, end int64, err error) {
	topic, id := string(tp.Topic), int(tp.ID)
	answer, err := k.Client().ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(id), kafka.LastOffsetOf(id)}},
	})
	if err != nil {
		return 0, 0, fmt.Errorf("offsets of %s/%d: %w", tp.Topic, tp.ID, err)
	}
	for _, p := range answer.Topics[topic] {
		if p.Partition != id {
			continue
		}
		if p.Error != nil {
			return 0, 0, fmt.Errorf("offsets of %s/%d: %w", tp.Topic, tp.ID, p.Error)
		}
		return p.FirstOffset, p.LastOffset, nil
	}
	return 0, 0, fmt.Errorf("offsets of %s/%d: not in the answer", tp.Topic, tp.ID)
}

// CountPartitions asks a broker how many partitions each topic has; 0: there is no
// such topic. Clients answer that from what they knew some seconds ago.
func CountPartitions(ctx context.Context, dialer *kafka.Dialer, brokers []string) (map[schemas.Topic]int, error) {
	var err error
	for _, address := range brokers {
		var conn *kafka.Conn
		if conn, err = dialer.DialContext(ctx, "tcp", address); err != nil {
			continue
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(clientTimeout)); err != nil {
			return nil, err
		}
		count := map[schemas.Topic]int{}
		for _, topic := range topicNames() {
			partitions, err := conn.ReadPartitions(topic)
			if err != nil && !errors.Is(err, kafka.UnknownTopicOrPartition) {
				return nil, fmt.Errorf("partitions of %s: %w", topic, err)
			}
			count[schemas.Topic(topic)] = len(partitions)
		}
		return count, nil
	}
	return nil, fmt.Errorf("partitions of the topics: %w", err)
}

// EnsureTopics creates the topics that are missing and answers with the number
// of partitions that each really has; it waits until every partition has a
// leader, at most until ctx ends. With replication 0 a topic gets three replicas
// where there are three brokers, and one where there are fewer.
func (k *Kafka) EnsureTopics(ctx context.Context, partitions, replication int) (map[schemas.Topic]int, error) {
	have, brokers, ready, err := k.topics(ctx)
	if err != nil {
		return nil, err
	}
	if replication == 0 {
		replication = 1
		if brokers >= 3 {
			replication = 3
		}
	}
	var missing []kafka.TopicConfig
	for _, topic := range schemas.Topics {
		if have[topic] == 0 {
			missing = append(missing, kafka.TopicConfig{Topic: string(topic), NumPartitions: partitions,
				ReplicationFactor: replication, ConfigEntries: topicSettings(replication)})
		}
	}
	if len(missing) > 0 {
		answer, err := k.Client().CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: missing})
		if err != nil {
			return nil, fmt.Errorf("create topics: %w", err)
		}
		for name, err := range answer.Errors {
			// Another process may have been quicker.
			if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
				return nil, fmt.Errorf("create topic %s with %d partitions, replication %d: %w", name, partitions, replication, err)
			}
		}
	}
	for len(have) < len(schemas.Topics) || !ready {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the topics' leaders: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		if have, _, ready, err = k.topics(ctx); err != nil {
			return nil, err
		}
	}
	return have, nil
}

// topicSettings are those of a topic that is made here: with three replicas an
// acknowledged record is on two of them at least.
func topicSettings(replication int) []kafka.ConfigEntry {
	settings := []kafka.ConfigEntry{{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(MaxMessageBytes)}}
	if replication >= 3 {
		settings = append(settings,
			kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"},
			kafka.ConfigEntry{ConfigName: "unclean.leader.election.enable", ConfigValue: "false"})
	}
	return settings
}

// topics counts brokers, and the partitions of the topics that exist; ready: all have leaders.
func (k *Kafka) topics(ctx context.Context) (have map[schemas.Topic]int, brokers int, ready bool, err error) {
	answer, err := k.Client().Metadata(ctx, &kafka.MetadataRequest{Topics: topicNames()})
	if err != nil {
		return nil, 0, false, fmt.Errorf("read the topics: %w", err)
	}
	have, ready = map[schemas.Topic]int{}, true
	for _, topic := range answer.Topics {
		switch {
		case errors.Is(topic.Error, kafka.UnknownTopicOrPartition):
			continue
		case errors.Is(topic.Error, kafka.LeaderNotAvailable):
			ready = false
		case topic.Error != nil:
			return nil, 0, false, fmt.Errorf("read topic %s: %w", topic.Name, topic.Error)
		}
		have[schemas.Topic(topic.Name)] = len(topic.Partitions)
		leaderless := func(p kafka.Partition) bool { return p.Error != nil || p.Leader.Host == "" }
		ready = ready && !slices.ContainsFunc(topic.Partitions, leaderless)
	}
	return have, len(answer.Brokers), ready, nil
}
