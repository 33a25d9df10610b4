package worker

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/fetch"
)

// beforeFetch calls a function once, when a fetch is under way.
type beforeFetch struct {
	kafka.RoundTripper
	do   func()
	done atomic.Bool
}

func (b *beforeFetch) RoundTrip(ctx context.Context, addr net.Addr, req kafka.Request) (kafka.Response, error) {
	if _, ok := req.(*fetch.Request); ok && !b.done.Swap(true) {
		b.do()
	}
	return b.RoundTripper.RoundTrip(ctx, addr, req)
}

// A process that was stopped for an hour while it fetched does not take what was
// produced meanwhile for events of the future.
func TestStoppedDuringAFetch(t *testing.T) {
	r := newRig(t)
	var clock atomic.Int64
	before := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	clock.Store(before.UnixMicro())
	client := r.kafka.Client()
	client.Transport = &beforeFetch{RoundTripper: client.Transport, do: func() {
		later := before.Add(time.Hour)
		r.produce(kafka.Message{Key: []byte("acct-0"), Time: later, Value: []byte(event("acct-0", "id-1", later.Format(time.RFC3339)))})
		r.sent["acct-0"]++
		clock.Store(later.UnixMicro())
	}}
	p := r.start(func(c *Config) {
		c.Client, c.Now = client, func() time.Time { return time.UnixMicro(clock.Add(1000)) } // it never stands still
	})
	r.until("it is processed", func() bool { return p.part.nextPos.Load() == 1 })
	p.drain()
	r.check()
}
