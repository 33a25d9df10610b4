package collector

import (
	"cmp"
	"context"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// maxRefused bounds the input that is kept of a refused request.
const maxRefused = 64 << 10

// Refuse makes an internal error of a request that an endpoint refused; nil: it
// is durable. It goes as a record of topic usage with a header of its own, of
// which the worker makes an error row with everything that belongs to it: the
// list, the archive, the rollup and the ledger agree without more ado. account
// "" is nobody's; of a longer input than 64 KiB the beginning is kept.
func (c *Collector) Refuse(ctx context.Context, refusal schemas.Refusal, account string, input []byte) error {
	if len(input) > maxRefused {
		input = input[:maxRefused]
	}
	e := event{topic: schemas.Usage, key: []byte(cmp.Or(account, schemas.UnknownAccount)), value: input,
		headers: []kafka.Header{{Key: schemas.RefusalHeader, Value: refusal.Text()}}}
	return c.produce(ctx, []event{e})
}

// produce puts checked events into Kafka, and returns nil when all of them are
// durable. The memory is charged as that of a request.
func (c *Collector) produce(ctx context.Context, events []event) error {
	l := c.newLoad()
	defer l.drop()
	for i := range events {
		l.bytes += int64(len(events[i].key) + len(events[i].value) + recordOverhead)
	}
	if !l.budget.take(l.bytes) {
		l.bytes = 0
		for i := range events {
			events[i].lost = true
		}
		return unavailable(time.Second, "too many bytes are in flight; try again")
	}
	in := &intake{events: events, received: c.cfg.Now().Truncate(time.Millisecond)}
	if _, lost := c.store(ctx, l, in); lost > 0 {
		return unavailable(2*time.Second, again)
	}
	return nil
}
