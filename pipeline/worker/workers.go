package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// Config of the workers of one process. Zero values take the defaults named.
type Config struct {
	Brokers    []string
	Dialer     *kafka.Dialer // nil: plain TCP
	Client     *kafka.Client // nil: made from Brokers
	MemberFile string        // keeps the name of this process in the group; "": none. No two processes have the same
	Group      string        // "tallybook"
	Store      *store.Store
	Archive    *archive.Archive
	Partitions map[schemas.Topic]int // that the process began with; nil: nothing depends on it
	Codec      kafka.Compression     // of records that are handed on; 0: none
	Rules      schemas.Rules
	Registry   prometheus.Registerer // nil: metrics are kept to ourselves
	Log        *slog.Logger
	Now        func() time.Time

	DedupeWindow time.Duration // 24 h of log clock
	DedupeMaxIDs int64         // in memory, 10 million in the process: 270 MB
	DedupeFolder string        // of files with the ids past that; "": none, they are forgotten
	DedupeFiles  int64         // ids in these files at most, 100 million: 1.6 GB, and 150 MB of memory

	Interval    time.Duration // a batch closes after it: 1 s
	BatchEvents int           // or at so many records: 65,536, which fold well and take 12 MB
	BatchBytes  int64         // or at so many bytes of records: 64 MiB
	BatchDays   int           // or past so many event dates, a file each: 64

	FetchBytes         int64         // of one fetch, as compressed: 1 MiB, or one record batch that is larger
	MaxRecordBytes     int           // of one record: 1 MiB; larger ones become error rows
	ErrorRowsPerMinute int           // of a partition, in detail: 1,000; more share a row
	RetryMin, RetryMax time.Duration // of every retry: 100 ms to 10 s
	FencedWait         time.Duration // before a lost partition is taken again: 2 heartbeats
	StoreTimeout       time.Duration // of one checkpoint transaction: 30 s
	HandOverTimeout    time.Duration // for the last checkpoint of a stop or hand-over: 8 s
	SessionTimeout     time.Duration // of the consumer group: 10 s
	HeartbeatInterval  time.Duration // 1 s
	WatchInterval      time.Duration // of looking at the number of partitions: 5 s

	metrics *metrics
	budget  *idBudget
	trouble *trouble
	meters  *meterSource
	prices  *priceSource
	reads   chan struct{} // places of those who read files for their windows
}

// rebuildAtOnce is how many files windows are rebuilt from at a time, in this
// process: each is a row group of what the window is made of, some 10 MiB.
const rebuildAtOnce = 16

// trouble is what keeps all partitions from going on, in words, for readiness.
type trouble struct{ group, store atomic.Pointer[string] }

func note(at *atomic.Pointer[string], err error) {
	if err == nil {
		at.Store(nil)
		return
	}
	s := err.Error()
	at.Store(&s)
}

func orElse[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c *Config) fill() {
	if c.Client == nil {
		c.Client = &kafka.Client{Addr: kafka.TCP(c.Brokers...)}
	}
	if c.Dialer == nil {
		c.Dialer = kafka.DefaultDialer
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	orElse(&c.Group, "tallybook")
	orElse(&c.Rules, schemas.DefaultRules())
	orElse(&c.DedupeWindow, 24*time.Hour)
	orElse(&c.DedupeMaxIDs, 10_000_000)
	orElse(&c.DedupeFiles, 100_000_000)
	orElse(&c.Interval, time.Second)
	orElse(&c.BatchEvents, 1<<16)
	orElse(&c.BatchBytes, 64<<20)
	orElse(&c.BatchDays, 64)
	orElse(&c.FetchBytes, 1<<20)
	orElse(&c.MaxRecordBytes, 1<<20)
	orElse(&c.ErrorRowsPerMinute, 1000)
	orElse(&c.RetryMin, 100*time.Millisecond)
	orElse(&c.RetryMax, 10*time.Second)
	orElse(&c.HeartbeatInterval, time.Second)
	orElse(&c.FencedWait, 2*c.HeartbeatInterval)
	orElse(&c.StoreTimeout, 30*time.Second)
	orElse(&c.HandOverTimeout, 8*time.Second)
	orElse(&c.SessionTimeout, 10*time.Second)
	orElse(&c.WatchInterval, 5*time.Second)
	c.metrics = newMetrics(c.Registry)
	c.budget = &idBudget{max: c.DedupeMaxIDs, folder: c.DedupeFolder, maxFiles: c.DedupeFiles,
		spills: func(err error) { c.Log.Error("the dedupe window is shorter than it should be", "error", err) }}
	c.trouble = &trouble{}
	c.meters = &meterSource{}
	c.prices = &priceSource{}
	c.reads = make(chan struct{}, rebuildAtOnce)
}

// Workers process the partitions that the consumer group gives to this process.
type Workers struct {
	cfg     Config
	commits chan *commitRequest

	mu      sync.Mutex
	running map[schemas.Partition]*owned
	parked  map[schemas.Partition]*partition // handed over; their windows, should they come back
	joined  bool
}

type owned struct {
	*partition
	stop context.CancelFunc
	done chan struct{}
}

// New makes the workers; Run starts them.
func New(cfg Config) *Workers {
	cfg.fill()
	return &Workers{cfg: cfg, commits: make(chan *commitRequest),
		running: map[schemas.Partition]*owned{}, parked: map[schemas.Partition]*partition{}}
}

// Run joins the consumer group and processes what it is given until ctx ends;
// it then writes what is folded, within HandOverTimeout, and leaves the group,
// so that others go on at once.
func (w *Workers) Run(ctx context.Context) error {
	secret, ok := w.secret(ctx)
	if !ok {
		return nil
	}
	// Partitions and the committer outlive ctx by their last checkpoint.
	hard, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	var committing, watching sync.WaitGroup
	watch, stop := context.WithCancel(ctx)
	watching.Go(func() { w.watchLag(watch) })
	defer watching.Wait()
	defer stop()
	committing.Go(func() { (&committer{&w.cfg, w.commits}).run(hard) })
	defer committing.Wait()
	defer kill()

	wait := newBackoff(w.cfg.RetryMin, w.cfg.RetryMax)
	for ctx.Err() == nil {
		err := w.member(ctx, hard, secret, wait)
		if errors.Is(err, ErrRestart) {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		delay := wait.next()
		w.cfg.Log.Warn("consumer group, joining again", "error", err, "in", delay)
		note(&w.cfg.trouble.group, err)
		sleep(ctx, delay)
	}
	w.assign(ctx, hard, nil, secret)
	return nil
}

// secret waits for the store; false: ctx has ended.
func (w *Workers) secret(ctx context.Context) (secret [16]byte, ok bool) {
	for wait := newBackoff(w.cfg.RetryMin, w.cfg.RetryMax); ctx.Err() == nil; {
		secret, err := w.cfg.Store.Secret(ctx)
		if err == nil {
			return secret, true
		}
		delay := wait.next()
		w.cfg.Log.Warn("the store is away, workers wait", "error", err, "in", delay)
		note(&w.cfg.trouble.group, err)
		sleep(ctx, delay)
	}
	return secret, false
}

// assign stops the partitions that are no longer ours, all at once and within
// HandOverTimeout, and starts the new ones; those that stay are not touched.
func (w *Workers) assign(ctx, hard context.Context, now []schemas.Partition, secret [16]byte) {
	keep := map[schemas.Partition]bool{}
	for _, tp := range now {
		keep[tp] = true
	}
	var leaving []*owned
	w.mu.Lock()
	w.joined = len(now) > 0
	for tp, o := range w.running {
		if !keep[tp] {
			leaving = append(leaving, o)
			delete(w.running, tp)
		}
	}
	w.mu.Unlock()
	for _, o := range leaving {
		o.stop()
	}
	for _, o := range leaving {
		<-o.done
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	// What was parked at an earlier change and is not ours again went elsewhere:
	// its window would take its share of the budget for nothing.
	for tp, p := range w.parked {
		if !keep[tp] {
			p.drop()
			delete(w.parked, tp)
		}
	}
	for _, o := range leaving {
		w.parked[o.Partition] = o.partition
	}
	for _, tp := range now {
		if w.running[tp] == nil {
			w.running[tp] = w.startPartition(ctx, hard, tp, secret)
		}
	}
}

// startPartition runs a partition in a goroutine of its own, outside any
// generation of the group: a rebalance that leaves it here does not touch it.
func (w *Workers) startPartition(ctx, hard context.Context, tp schemas.Partition, secret [16]byte) *owned {
	p := w.parked[tp]
	delete(w.parked, tp)
	if p == nil {
		p = newPartition(&w.cfg, tp, w.commits, secret)
	}
	p.progress.told.Store(0) // its metrics are made anew
	ctx, stop := context.WithCancel(ctx)
	o := &owned{partition: p, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(o.done)
		hard, kill := context.WithCancel(hard)
		defer kill()
		release := context.AfterFunc(ctx, func() { time.AfterFunc(w.cfg.HandOverTimeout, kill) })
		defer release()
		p.run(ctx, hard)
	}()
	return o
}

// Ready is nil when this process owns partitions and reads all of them; else
// it says what is in the way.
func (w *Workers) Ready() error {
	if why := w.cfg.trouble.store.Load(); why != nil {
		return errors.New(*why)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if why := w.cfg.trouble.group.Load(); why != nil && !w.joined {
		return errors.New(*why)
	}
	if !w.joined {
		return errors.New("no partitions are assigned to this process yet")
	}
	var waiting []string
	for tp, o := range w.running {
		if !o.ready.Load() {
			waiting = append(waiting, fmt.Sprintf("%s/%d: %s", tp.Topic, tp.ID, *o.state.Load()))
		}
	}
	if len(waiting) == 0 {
		return nil
	}
	sort.Strings(waiting)
	return errors.New(waiting[0])
}
