package known

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"tallybook/pipeline/broker"
	"tallybook/pipeline/producer"
)

const (
	queueBatches = 64              // of the generator, waiting to be sent
	sendRecords  = 10_000          // at most in one piece, when many wait
	awayLimit    = 5 * time.Minute // for one piece: then the log is not coming back
)

// Load sends the generator's records, each until it is acknowledged.
type Load struct {
	Kafka        *broker.Kafka
	Acknowledged int64
	Unanswered   int64 // pieces for which producer.Send gave up, sent again
}

// NewLoad sends to a broker that asks nobody who he is.
func NewLoad(addr string) *Load { return &Load{Kafka: broker.NewKafka(addr)} }

// Run returns when all records are acknowledged.
func (l *Load) Run(ctx context.Context, cfg producer.GenerateConfig) error {
	batches := make(chan []kafka.Message, queueBatches)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(batches)
		_, err := producer.Generate(ctx, cfg, func(records []kafka.Message) error {
			select {
			case batches <- Clone(records):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return err
	})
	g.Go(func() error {
		w := l.Kafka.Writer("")
		defer w.Close()
		for piece := range batches {
			for len(piece) < sendRecords && len(batches) > 0 {
				piece = append(piece, <-batches...)
			}
			if err := l.Send(ctx, w, piece); err != nil {
				return err
			}
			l.Acknowledged += int64(len(piece))
		}
		return nil
	})
	return g.Wait()
}

// Send repeats the whole piece while the broker is away: which part of it is in
// the log already, nobody can know.
func (l *Load) Send(ctx context.Context, w *kafka.Writer, piece []kafka.Message) error {
	for deadline := time.Now().Add(awayLimit); ; {
		err := producer.Send(ctx, w, piece)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if time.Now().After(deadline) {
			return Finding(fmt.Sprintf("Kafka takes nothing for %s: %v", awayLimit, err))
		}
		l.Unanswered++
	}
}

// Clone takes records out of the generator's memory: a connection that dies may
// still read them when the generator writes the next.
func Clone(records []kafka.Message) []kafka.Message {
	out := make([]kafka.Message, len(records))
	for i, m := range records {
		m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
		out[i] = m
	}
	return out
}
