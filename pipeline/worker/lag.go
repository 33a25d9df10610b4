package worker

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// progress is what others than its goroutine know of a partition's reading.
type progress struct {
	folded atomic.Int64 // next offset to be folded
	last   atomic.Int64 // timestamp of the last record folded, µs
	told   atomic.Int64 // when that was, µs; 0: nothing was read yet
}

// fetched notes the lag after a fetch.
func (p *partition) fetched() {
	next, last, now := p.batch.ledger.Next, p.log.rec.time, p.cfg.Now()
	p.progress.folded.Store(next)
	p.progress.last.Store(last)
	p.progress.told.Store(now.UnixMicro())
	p.metrics.behind(p.log.end-next, last, now)
}

// watchLag looks at the logs of partitions that do not read, because they wait for
// the store, the archive or a take-over: what gathers meanwhile is lag, and nobody
// else sees it.
func (w *Workers) watchLag(ctx context.Context) {
	tick := time.NewTicker(w.cfg.WatchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		waiting := w.waiting()
		if len(waiting) == 0 {
			continue
		}
		res, err := w.cfg.Client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: waiting})
		if err != nil {
			w.cfg.Log.Debug("ends of logs that wait", "error", err)
			continue
		}
		for topic, ends := range res.Topics {
			for _, end := range ends {
				if end.Error == nil {
					w.noteLag(schemas.Partition{Topic: schemas.Topic(topic), ID: int32(end.Partition)}, end.LastOffset)
				}
			}
		}
	}
}

// waiting are the partitions that have read before, and not for a while.
func (w *Workers) waiting() map[string][]kafka.OffsetRequest {
	since := w.cfg.Now().Add(-w.cfg.WatchInterval).UnixMicro()
	waiting := map[string][]kafka.OffsetRequest{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for tp, o := range w.running {
		if at := o.progress.told.Load(); at != 0 && at < since {
			waiting[string(tp.Topic)] = append(waiting[string(tp.Topic)], kafka.LastOffsetOf(int(tp.ID)))
		}
	}
	return waiting
}

// noteLag holds the lock, so that no partition shows lag that was given away.
func (w *Workers) noteLag(tp schemas.Partition, end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	o := w.running[tp]
	if o == nil {
		return
	}
	at := o.progress.told.Load()
	if at == 0 { // begun anew meanwhile: its metrics are not there yet
		return
	}
	last := o.progress.last.Load()
	if last == 0 { // it read nothing before it had to wait
		last = at
	}
	o.metrics.behind(end-o.progress.folded.Load(), last, w.cfg.Now())
}
