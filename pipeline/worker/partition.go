package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

// errFenced: another owner has taken the partition over.
var errFenced = errors.New("another owner has taken the partition over")

// errCut: the partition had to stop in the middle of a record.
var errCut = errors.New("stopped in the middle of a record")

// errRefused: the store refused a batch for its data.
var errRefused = errors.New("the store refused the batch")

// errForgetful: the dedupe window could not be asked.
var errForgetful = errors.New("the dedupe window cannot be read")

// stopError needs somebody to look: going on would skip or count twice.
type stopError struct{ why string }

func (e *stopError) Error() string { return e.why }

// partition processes one partition. One goroutine owns it, the caller of run;
// only state and progress are read from outside.
type partition struct {
	schemas.Partition
	cfg      *Config
	commits  chan<- *commitRequest
	metrics  *partitionMetrics
	state    atomic.Pointer[string] // what it is doing, in words; "" when it reads
	ready    atomic.Bool
	nextPos  atomic.Int64 // committed position, for the hint to Kafka
	epoch    atomic.Int64 // it was taken over by; 0: not yet
	progress progress

	log     *fetchLog
	decoder schemas.Decoder
	hasher  *idHasher
	event   schemas.Event

	// What a take-over gives and losing the partition takes away.
	pos      store.Position // the newest submitted; in the store once written is empty
	clock    int64          // log clock of the last record folded
	window   *window        // nil: to be rebuilt
	change   *change        // of the topic's number of partitions; nil: there was none
	sessions sessions
	intern   *interner
	batch    *batch // being folded
	spare    *batch // to fold into next; nil while it is being written
	started  time.Time
	writing  *checkpointer
	inFlight bool
	meters   *store.MeterList       // that the next batch is folded with
	live     map[store.MeterID]bool // known to the store as live of this partition
	markedAt time.Time

	doubt     bool // the log may be another one than it was
	fetchedAt time.Time

	races      int   // batches in a row that lost an event's revision to another partition
	limit      int   // records a batch, halved while the store refuses
	rejectNext int64 // the record that the store refuses, found; -1: none
	refusal    error // why
}

func newPartition(cfg *Config, tp schemas.Partition, commits chan<- *commitRequest, secret [16]byte) *partition {
	p := &partition{
		Partition: tp, cfg: cfg, commits: commits,
		log: &fetchLog{client: cfg.Client, partition: tp, leader: -1,
			maxBytes: cfg.FetchBytes, maxWait: min(100*time.Millisecond, cfg.Interval/2)},
		hasher: newIDHasher(secret),
		limit:  cfg.BatchEvents, rejectNext: -1,
	}
	p.setState("starting")
	return p
}

func (p *partition) setState(s string) {
	p.state.Store(&s)
	p.ready.Store(s == "")
}

// run owns the partition until ctx ends: it then writes what it has folded and
// returns. hard bounds that: past it everything is dropped at once.
func (p *partition) run(ctx, hard context.Context) {
	p.metrics = p.cfg.metrics.partition(p.Partition)
	defer p.metrics.left()
	wait := newBackoff(p.cfg.RetryMin, p.cfg.RetryMax)
	for ctx.Err() == nil {
		err := p.own(ctx, hard, wait)
		if err == nil {
			break
		}
		p.drop() // also when we leave: the partition may come back to this process
		if ctx.Err() != nil {
			break
		}
		delay := wait.next()
		var stop *stopError
		switch {
		case errors.Is(err, errFenced):
			// Long enough for the group to tell us that the partition went
			// elsewhere; only then it is ours to take over again.
			delay = max(delay, p.cfg.FencedWait)
		case errors.As(err, &stop):
			delay = p.cfg.RetryMax
			p.cfg.Log.Error("partition stopped", "topic", p.Topic, "partition", p.ID, "reason", stop.why)
		case errors.Is(err, errRefused):
			delay = 0
		default:
			p.cfg.Log.Warn("partition interrupted, retrying", "topic", p.Topic, "partition", p.ID, "error", err, "in", delay)
		}
		p.setState(err.Error())
		sleep(ctx, delay)
	}
	p.setState("not assigned")
}

// drop forgets everything that a failed batch may have touched. The window
// goes too: ids of a dropped batch must leave it before anything is read
// again, and what the archive has is the one record of what stays.
func (p *partition) drop() {
	if p.window != nil {
		p.window.close()
		p.window = nil
	}
	p.batch, p.spare, p.intern = nil, nil, nil
	p.live = nil
}

// own takes the partition over, or goes on where it left it, and reads.
func (p *partition) own(ctx, hard context.Context, wait *backoff) (err error) {
	p.writing = startCheckpointer(hard, p)
	p.inFlight = false
	defer func() { p.writing.stop() }()
	if err := p.resume(ctx); err != nil {
		return err
	}
	if err := p.readMeters(ctx, true); err != nil {
		return err
	}
	p.setState("")
	p.nextBatch()
	p.started = time.Time{} // the first batch closes at once: a process that never lives long gets on too
	for ctx.Err() == nil {
		switch err := p.poll(ctx, hard); {
		case err == nil:
			if wait.tries > 0 {
				p.setState("")
			}
			wait.reset()
		case losesPartition(err) || hard.Err() != nil:
			return err
		case ctx.Err() == nil: // Kafka is away: what is folded stays folded
			delay := wait.next()
			level := slog.LevelWarn // where it is another error than before
			if *p.state.Load() == err.Error() {
				level = slog.LevelDebug
			}
			p.cfg.Log.Log(ctx, level, "fetch, retrying", "topic", p.Topic, "partition", p.ID, "error", err, "in", delay)
			p.setState(err.Error())
			sleep(ctx, delay)
		}
	}
	return p.handOver(hard)
}

// losesPartition: after these errors nothing in memory may be relied on.
func losesPartition(err error) bool {
	var stop *stopError
	return errors.Is(err, errForgetful) || errors.Is(err, errFenced) || errors.Is(err, errRefused) || errors.Is(err, errCut) || errors.As(err, &stop)
}

// resume continues with the window at hand where the store shows that nobody
// else was here, and takes over otherwise.
func (p *partition) resume(ctx context.Context) error {
	if p.window != nil {
		pos, err := p.cfg.Store.Position(ctx, p.Partition)
		if err != nil {
			return err
		}
		if pos == p.pos {
			p.doubt = true
			return nil
		}
		p.drop()
	}
	return p.takeOver(ctx)
}

// poll fetches once, folds what came and closes the batch when it is time.
func (p *partition) poll(ctx, hard context.Context) error {
	if p.batch.empty() {
		p.idle(ctx)
	}
	next, err := p.read(ctx, hard)
	if err != nil {
		if errors.Is(err, kafka.OffsetOutOfRange) {
			return p.outOfRange(ctx)
		}
		if losesPartition(err) {
			return err
		}
		if err := p.closeIfDue(hard); err != nil {
			return err
		}
		return fmt.Errorf("fetch %s/%d at %d: %w", p.Topic, p.ID, p.batch.ledger.Next, broker.Explain(err))
	}
	if gap := next - p.batch.ledger.Next; gap > 0 { // markers at the log's end
		p.batch.ledger.Gaps += gap
		p.batch.ledger.Next = next
	}
	p.fetched()
	return p.closeIfDue(hard)
}

// doubtAfter is how long after a good fetch the log may have become another one
// unseen: a topic that is deleted while a fetch waits ends that with an error.
const doubtAfter = time.Second

// read fetches once and processes what came. Where the log may be another one
// than the one read so far, it is compared first.
func (p *partition) read(ctx, hard context.Context) (next int64, err error) {
	if p.doubt || p.cfg.Now().Sub(p.fetchedAt) > doubtAfter {
		if err := p.sameLog(ctx); err != nil {
			return 0, err
		}
	}
	var now time.Time // no earlier than what was fetched: its times are held against it
	next, err = p.log.fetch(ctx, p.batch.ledger.Next, func(rec *record) error {
		if now.IsZero() {
			now = p.cfg.Now()
		}
		if err := p.process(hard, rec, now); err != nil {
			return err
		}
		if p.full() {
			return p.closeBatch(hard)
		}
		return nil
	})
	if errors.Is(err, errOtherLeader) {
		if err = p.sameLog(ctx); err == nil {
			p.log.followLeader()
		}
	}
	p.doubt, p.fetchedAt = err != nil, p.cfg.Now()
	return next, err
}

// closeIfDue takes in a finished checkpoint and closes a batch whose time is up.
func (p *partition) closeIfDue(hard context.Context) error {
	if err := p.settle(hard, false); err != nil {
		return err
	}
	if !p.inFlight && !p.batch.empty() && p.cfg.Now().Sub(p.started) >= p.cfg.Interval {
		return p.closeBatch(hard)
	}
	return nil
}

func (p *partition) full() bool {
	b := p.batch
	return b.ledger.Next-b.ledger.First >= int64(p.limit) || b.bytes >= p.cfg.BatchBytes || len(b.days) > p.cfg.BatchDays ||
		len(b.pending) >= maxPending || b.away.bytes >= maxAway
}
