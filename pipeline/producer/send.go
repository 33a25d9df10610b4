package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

const (
	sendAttempts = 6
	sendGrace    = 10 * time.Second // for the attempt under way when ctx is cancelled
	backoffFirst = 100 * time.Millisecond
	backoffMax   = 5 * time.Second
)

// Writer sends records to Kafka. When it returns nil all of them are durable;
// when it fails each of them may or may not be. Each message names its topic;
// the partition is Murmur2 of the key, as in Java's client. *kafka.Writer
// with RequiredAcks all and Async false is one.
type Writer interface {
	WriteMessages(ctx context.Context, msgs ...kafka.Message) error
}

// Send writes records with a limited number of attempts; only those that
// failed are sent again. A cancelled ctx ends the waiting between attempts; an
// attempt under way gets some seconds more, so that its answer is known. How
// long an attempt may take else is the Writer's to limit: a deadline from here
// would leave it at work on memory that the caller reuses. After an error the
// caller must not reuse the records' memory.
func Send(ctx context.Context, w Writer, records []kafka.Message) error {
	backoff := backoffFirst
	for attempt := 1; ; attempt++ {
		err := sendOnce(ctx, w, records)
		if err == nil {
			return nil
		}
		var failed kafka.WriteErrors
		if errors.As(err, &failed) && len(failed) == len(records) {
			var left []kafka.Message
			for i, e := range failed {
				if e != nil {
					left, err = append(left, records[i]), e
				}
			}
			if len(left) == 0 {
				return nil
			}
			records = left
		}
		if attempt == sendAttempts || permanent(err) {
			return fmt.Errorf("send %d records, attempt %d: %w", len(records), attempt, err)
		}
		if wait(ctx, backoff) != nil {
			return fmt.Errorf("send %d records, attempt %d: %w (%v)", len(records), attempt, ctx.Err(), err)
		}
		backoff = min(2*backoff, backoffMax)
	}
}

func sendOnce(ctx context.Context, w Writer, records []kafka.Message) error {
	attempt, cancel := afterGrace(ctx)
	defer cancel()
	return w.WriteMessages(attempt, records...)
}

// afterGrace is a context that is cancelled sendGrace after ctx is.
func afterGrace(ctx context.Context) (context.Context, context.CancelFunc) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if wait(late, sendGrace) == nil {
			cancel()
		}
	})
	return late, func() {
		stop()
		cancel()
	}
}

// permanent errors come again however often the records are sent.
func permanent(err error) bool {
	var large kafka.MessageTooLargeError
	if errors.As(err, &large) {
		return true
	}
	var code kafka.Error
	return errors.As(err, &code) && !code.Temporary() && !code.Timeout()
}

// wait is d long, or until ctx is cancelled.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
