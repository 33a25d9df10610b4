package collector

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

const (
	laneQueue       = 4096 // groups; bytes are bounded by the budget
	recordOverhead  = 64   // of a record besides key and value, at most
	firstRetryDelay = 25 * time.Millisecond
	lastRetryDelay  = 500 * time.Millisecond
)

var (
	errStopped = errors.New("the collector is stopping")
	errExpired = errors.New("no acknowledgement in time")
	errBusy    = errors.New("too many requests wait for the partition")
)

// load is the memory of one request. It is given back when the handler and every
// group of the request are through with it.
type load struct {
	bytes  int64
	budget *budget
	users  atomic.Int32
}

func (l *load) drop() {
	if l.users.Add(-1) == 0 {
		l.budget.give(l.bytes)
	}
}

// record is one event on its way.
type record struct {
	key, value []byte
	headers    []kafka.Header
	event      int       // its place in the request
	time       time.Time // of receipt
}

// group is what one request has for one partition, at most BatchBytes; a larger
// share goes in several groups.
type group struct {
	lane     *lane
	records  []record
	bytes    int
	deadline time.Time // when the handler stops waiting
	load     *load
	done     chan<- *group // has room for every group of the request
	err      error         // valid once it came through done
}

func (g *group) finish(err error) {
	g.err = err
	g.done <- g
	g.load.drop()
}

// mark notes in the request's events whether the group is lost.
func (g *group) mark(events []event, lost bool) {
	for i := range g.records {
		events[g.records[i].event].lost = lost
	}
}

// lane is the way to one partition. It sends one batch at a time: while one is
// on its way, what arrives gathers for the next, so that batches grow with the
// load and a lone event waits for nothing.
type lane struct {
	tp      schemas.Partition
	queue   chan *group
	next    *group                  // taken from the queue, did not fit the batch before it
	refused atomic.Pointer[refusal] // of the last batch; nil: it was acknowledged
}

// refusal is why a batch was not acknowledged.
type refusal struct {
	at  time.Time
	why error
}

func newLane(tp schemas.Partition) *lane { return &lane{tp: tp, queue: make(chan *group, laneQueue)} }

// offer never waits.
func (l *lane) offer(g *group) bool {
	select {
	case l.queue <- g:
		return true
	default:
		return false
	}
}

// producer drives the lanes; it is shared by them.
type producer struct {
	client  *kafka.Client
	codec   kafka.Compression
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
}

func (p *producer) run(ctx context.Context, l *lane) {
	for {
		batch := l.gather(ctx)
		if len(batch) == 0 {
			break
		}
		err := p.send(ctx, l, batch)
		for _, g := range batch {
			g.finish(err)
		}
	}
	for { // ctx ended
		select {
		case g := <-l.queue:
			g.finish(errStopped)
		default:
			return
		}
	}
}

// gather waits for a group and takes those behind it that fit into one batch.
// Nothing: ctx ended.
func (l *lane) gather(ctx context.Context) []*group {
	first := l.next
	l.next = nil
	if first == nil {
		select {
		case first = <-l.queue:
		case <-ctx.Done():
			return nil
		}
	}
	batch, bytes := []*group{first}, first.bytes
	for {
		select {
		case g := <-l.queue:
			if bytes+g.bytes > broker.BatchBytes {
				l.next = g
				return batch
			}
			batch, bytes = append(batch, g), bytes+g.bytes
		default:
			return batch
		}
	}
}

// send returns nil once all replicas have the batch. It tries until the last
// request of the batch stops waiting, but only once where the batch before it
// failed too: while Kafka is away, requests are refused soon.
//
// An attempt whose answer was lost may have been written, so a batch may stand
// in the log twice, and after an error it may stand there once: events are told
// apart by their ids downstream.
func (p *producer) send(ctx context.Context, l *lane, batch []*group) error {
	start := time.Now()
	var deadline time.Time
	records := 0
	for _, g := range batch {
		records += len(g.records)
		if g.deadline.After(deadline) {
			deadline = g.deadline
		}
	}
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	err := p.attempts(ctx, l, batch)
	p.metrics.produced(records, time.Since(start), err)
	switch before := l.refused.Load(); {
	case err != nil:
		err = broker.Explain(err)
		if before == nil {
			p.log.Warn("events not durable", "topic", l.tp.Topic, "partition", l.tp.ID, "records", records, "error", err)
		}
		l.refused.Store(&refusal{p.now(), err})
	case before != nil:
		p.log.Info("events durable again", "topic", l.tp.Topic, "partition", l.tp.ID)
		l.refused.Store(nil)
	}
	return err
}

func (p *producer) attempts(ctx context.Context, l *lane, batch []*group) error {
	if ctx.Err() != nil {
		return errExpired
	}
	for delay := firstRetryDelay; ; delay = min(2*delay, lastRetryDelay) {
		err := p.attempt(ctx, l.tp, batch)
		if err == nil || !worthRetry(err) || l.refused.Load() != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(delay):
		}
	}
}

func (p *producer) attempt(ctx context.Context, tp schemas.Partition, batch []*group) error {
	answer, err := p.client.Produce(ctx, &kafka.ProduceRequest{
		Topic:        string(tp.Topic),
		Partition:    int(tp.ID),
		RequiredAcks: kafka.RequireAll,
		Compression:  p.codec,
		Records:      &batchReader{groups: batch},
	})
	if err != nil {
		return err
	}
	return answer.Error
}

// worthRetry: all but what Kafka calls permanent; errors of the network come
// without Kafka's word.
func worthRetry(err error) bool {
	var kafkaError kafka.Error
	return !errors.As(err, &kafkaError) || kafkaError.Temporary()
}

// batchReader gives kafka-go the records of a batch, anew for each attempt.
type batchReader struct {
	groups []*group
	next   int // record of groups[0]
	record kafka.Record
}

func (r *batchReader) ReadRecord() (*kafka.Record, error) {
	for len(r.groups) > 0 && r.next == len(r.groups[0].records) {
		r.groups, r.next = r.groups[1:], 0
	}
	if len(r.groups) == 0 {
		return nil, io.EOF
	}
	from := &r.groups[0].records[r.next]
	r.next++
	r.record = kafka.Record{Time: from.time, Key: kafka.NewBytes(from.key), Value: kafka.NewBytes(from.value), Headers: from.headers}
	return &r.record, nil
}
