package worker

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"tallybook/store"
)

// A partition that waits for the store reads nothing; what gathers in its log
// meanwhile is shown as lag all the same, and its age grows.
func TestLagWhileTheStoreIsAway(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.load(0, 100)
	r.until("it counts", func() bool { return p.part.nextPos.Load() == r.end() })
	w := New(Config{Brokers: r.kafka.Brokers, Client: r.kafka.Client(), Log: quiet(), WatchInterval: 20 * time.Millisecond})
	w.running[r.tp] = &owned{partition: p.part}
	ctx, stop := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { w.watchLag(ctx) })
	defer watching.Wait()
	defer stop()

	r.setFault(func(step string) (error, error) {
		if step == "begin" {
			return errors.Join(store.ErrAway, errors.New("it is away")), nil
		}
		return nil, nil
	})
	r.load(100, 500)
	r.until("its lag is shown", func() bool {
		waiting := r.end() - p.part.progress.folded.Load()
		return waiting > 100 && gauge(t, p.part.metrics.lag) == float64(waiting) && gauge(t, p.part.metrics.lagSeconds) > 0
	})
	before := gauge(t, p.part.metrics.lag)
	r.load(600, 100)
	r.until("more of it is shown", func() bool { return gauge(t, p.part.metrics.lag) >= before+100 })
	r.setFault(nil)
	r.until("it is worked off", func() bool {
		return p.part.nextPos.Load() == r.end() && gauge(t, p.part.metrics.lag) == 0 && gauge(t, p.part.metrics.lagSeconds) == 0
	})
	p.drain()
	r.check()
}

func gauge(t *testing.T, g interface{ Write(*dto.Metric) error }) float64 {
	t.Helper()
	var m dto.Metric
	if err := g.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetGauge().GetValue()
}
