package client

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// ReporterConfig of a Reporter; zero values take the default.
type ReporterConfig struct {
	Queue     int           // usages that wait, further ones are dropped; default 10,000
	Batch     int           // usages of a request, at most MaxUsages; default 500
	Interval  time.Duration // how long the first of a batch waits for others; default 1 s
	RetryMin  time.Duration // the first wait after a failure, doubled each time; default 200 ms
	RetryMax  time.Duration // default 30 s
	StopAfter time.Duration // how long Run goes on sending when it is told to end; default 30 s

	// Rejected hears of usages that the service refused, from Run's goroutine.
	Rejected func(Usage, error)
}

// Stats count usages since the Reporter was made. Each that was reported ends
// as sent, rejected or dropped.
type Stats struct {
	Reported int64
	Sent     int64 // durable
	Rejected int64 // refused by the service: unknown key, bad field
	Dropped  int64 // the queue was full, or the end came first
	Retries  int64 // requests that were sent again
}

// Reporter sends usages in the background. Report never waits; Run sends.
type Reporter struct {
	client *Client
	cfg    ReporterConfig
	queue  chan Usage
	mu     sync.RWMutex // held to end, shared to report
	ended  bool

	reported, sent, rejected, dropped, retries atomic.Int64
}

// NewReporter starts nothing: Run does.
func NewReporter(c *Client, cfg ReporterConfig) *Reporter {
	cfg.Queue = cmp.Or(cfg.Queue, 10_000)
	cfg.Batch = min(cmp.Or(cfg.Batch, 500), MaxUsages)
	cfg.Interval = cmp.Or(cfg.Interval, time.Second)
	cfg.RetryMin = cmp.Or(cfg.RetryMin, 200*time.Millisecond)
	cfg.RetryMax = cmp.Or(cfg.RetryMax, 30*time.Second)
	cfg.StopAfter = cmp.Or(cfg.StopAfter, 30*time.Second)
	if cfg.Rejected == nil {
		cfg.Rejected = func(Usage, error) {}
	}
	return &Reporter{client: c, cfg: cfg, queue: make(chan Usage, cfg.Queue)}
}

// Report queues a usage; false: it was dropped, and counted as that. One without
// an id gets one, so that sending it again counts it once.
func (r *Reporter) Report(u Usage) bool {
	r.reported.Add(1)
	if u.ID == "" {
		u.ID = NewID()
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.ended {
		select {
		case r.queue <- u:
			return true
		default:
		}
	}
	r.dropped.Add(1)
	return false
}

// Stats are the counts so far.
func (r *Reporter) Stats() Stats {
	return Stats{Reported: r.reported.Load(), Sent: r.sent.Load(), Rejected: r.rejected.Load(), Dropped: r.dropped.Load(), Retries: r.retries.Load()}
}

// Run sends until ctx ends, and then what is queued, for StopAfter at most. Shut
// the HTTP server down first. It runs once, and returns an error where usages
// were dropped at the end.
func (r *Reporter) Run(ctx context.Context) error {
	sending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(r.cfg.StopAfter, stop)
		context.AfterFunc(sending, func() { timer.Stop() })
	})()
	for ctx.Err() == nil {
		r.deliver(sending, r.gather(ctx))
	}
	r.mu.Lock()
	r.ended = true
	r.mu.Unlock()
	before := r.dropped.Load()
	for len(r.queue) > 0 {
		r.deliver(sending, r.gather(ctx))
	}
	if lost := r.dropped.Load() - before; lost > 0 {
		return errors.New(strconv.FormatInt(lost, 10) + " usages were dropped: the service did not take them in time")
	}
	return nil
}

// gather waits for a usage, and for more of them until the batch is full or
// Interval has passed; where ctx has ended it takes what is there.
func (r *Reporter) gather(ctx context.Context) []Usage {
	var batch []Usage
	var timeout <-chan time.Time
	for len(batch) < r.cfg.Batch {
		select {
		case u := <-r.queue:
			batch = append(batch, u)
			continue
		default:
		}
		if ctx.Err() != nil {
			return batch
		}
		if timeout == nil && len(batch) > 0 {
			timer := time.NewTimer(r.cfg.Interval)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case u := <-r.queue:
			batch = append(batch, u)
		case <-timeout:
			return batch
		case <-ctx.Done():
		}
	}
	return batch
}

// deliver sends a batch, a request for each key, until each usage is accepted or
// refused, or ctx ends.
func (r *Reporter) deliver(ctx context.Context, batch []Usage) {
	var keys []string
	byKey := map[string][]Usage{}
	for _, u := range batch {
		if byKey[u.Key] == nil {
			keys = append(keys, u.Key)
		}
		byKey[u.Key] = append(byKey[u.Key], u)
	}
	for _, key := range keys {
		left := byKey[key]
		for delay := r.cfg.RetryMin; len(left) > 0; delay = min(2*delay, r.cfg.RetryMax) {
			if ctx.Err() != nil {
				r.dropped.Add(int64(len(left)))
				break
			}
			var wait time.Duration
			if left, wait = r.post(ctx, key, left); len(left) == 0 {
				break
			}
			r.retries.Add(1)
			r.pause(ctx, max(wait, delay/2+rand.N(delay/2+1)))
		}
	}
}

func (r *Reporter) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// post sends usages of one key once; it returns those to send again, and how
// long the service asks to wait before.
func (r *Reporter) post(ctx context.Context, key string, list []Usage) (again []Usage, wait time.Duration) {
	results, err := r.client.PostUsage(ctx, key, list)
	var refused *StatusError
	switch {
	case err == nil:
	case errors.As(err, &refused) && refused.Code == http.StatusRequestEntityTooLarge && len(list) > 1:
		half := len(list) / 2
		again, wait = r.post(ctx, key, list[:half])
		more, longer := r.post(ctx, key, list[half:])
		return append(append([]Usage(nil), again...), more...), max(wait, longer)
	case refused != nil && refused.final():
		for _, u := range list {
			r.reject(u, err)
		}
		return nil, 0
	default: // nobody answered, or not now: send again
		if refused != nil {
			wait = refused.wait()
		}
		return list, wait
	}
	for i, result := range results {
		switch {
		case result.Status == Accepted:
			r.sent.Add(1)
		case len(result.Fields) == 0:
			again = append(again, list[i])
		default:
			r.reject(list[i], errors.New(result.Error))
		}
	}
	return again, 0
}

func (r *Reporter) reject(u Usage, err error) {
	r.rejected.Add(1)
	r.cfg.Rejected(u, err)
}

// final: the same request will be refused again.
func (e *StatusError) final() bool {
	return e.Code >= 400 && e.Code < 500 && e.Code != http.StatusRequestTimeout && e.Code != http.StatusTooManyRequests
}

// wait is Retry-After in seconds; its other form is left to the back-off.
func (e *StatusError) wait() time.Duration {
	n, err := strconv.Atoi(e.RetryAfter)
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(n)*time.Second, 5*time.Minute)
}
