package worker

import (
	"context"
	"time"

	"tallybook/store"
)

// commitRequest asks for one checkpoint to be committed.
type commitRequest struct {
	checkpoint *store.Checkpoint
	answer     chan store.Result // of capacity 1
}

const maxGroup = 64 // checkpoints in one transaction

// committer commits whatever checkpoints are ready in one transaction, so
// that many partitions share one fsync.
type committer struct {
	cfg      *Config
	requests chan *commitRequest
}

func (c *committer) run(ctx context.Context) {
	for {
		var group []*commitRequest
		select {
		case r := <-c.requests:
			group = append(group, r)
		case <-ctx.Done():
			return
		}
	ready:
		for len(group) < maxGroup {
			select {
			case r := <-c.requests:
				group = append(group, r)
			default:
				break ready
			}
		}
		c.commit(ctx, group)
	}
}

// commit repeats the transaction until its outcome is known. That is safe: a
// checkpoint moves its position by compare-and-swap, and one that was applied
// although its answer was lost is recognised by the position it left.
func (c *committer) commit(ctx context.Context, group []*commitRequest) {
	batch := make([]*store.Checkpoint, len(group))
	for i, r := range group {
		batch[i] = r.checkpoint
	}
	wait := newBackoff(c.cfg.RetryMin, c.cfg.RetryMax)
	for ctx.Err() == nil {
		began := c.cfg.Now()
		deadline, cancel := context.WithTimeout(ctx, c.cfg.StoreTimeout)
		results, err := c.cfg.Store.Checkpoint(deadline, batch)
		cancel()
		note(&c.cfg.trouble.store, err)
		if err == nil {
			c.cfg.metrics.committed(len(batch), c.cfg.Now().Sub(began))
			for i, r := range group {
				r.answer <- results[i]
			}
			return
		}
		delay := wait.next()
		c.cfg.Log.Error("checkpoint transaction, retrying", "partitions", len(batch), "error", err, "in", delay)
		c.cfg.metrics.storeError()
		sleep(ctx, delay)
	}
}

// backoff doubles from min to max.
type backoff struct {
	min, max time.Duration
	tries    int
}

func newBackoff(min, max time.Duration) *backoff { return &backoff{min: min, max: max} }

func (b *backoff) reset() { b.tries = 0 }

func (b *backoff) next() time.Duration {
	d := b.min << min(b.tries, 20)
	b.tries++
	return min(d, b.max)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
