package collector

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/schemas"
)

// budget bounds bytes in flight. Nobody waits for it: who gets nothing answers
// 503 at once.
type budget struct {
	max  int64
	used atomic.Int64
}

func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.used.Add(-n) }

type metrics struct {
	events  *prometheus.CounterVec
	produce *prometheus.HistogramVec
	records prometheus.Histogram
}

// Outcomes of events besides schemas.Reason.
const (
	accepted   = "accepted"
	rejected   = "rejected"
	notDurable = "not_durable"
)

func newMetrics(reg prometheus.Registerer, inFlight *budget) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	m := &metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tallybook_collector_events_total",
			Help: "Events, by outcome: accepted, not_durable, or the reason of the rejection."}, []string{"outcome"}),
		produce: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tallybook_collector_produce_seconds",
			Help:    "From handing a batch to Kafka until it was acknowledged or given up, retries included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15)}, []string{"result"}),
		records: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tallybook_collector_batch_records",
			Help: "Records of a Kafka batch.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
	}
	bytes := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "tallybook_collector_in_flight_bytes",
		Help: "Bytes of request bodies not yet acknowledged."},
		func() float64 { return float64(inFlight.used.Load()) })
	for _, c := range []prometheus.Collector{m.events, m.produce, m.records, bytes} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the collector's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) rejected(reason schemas.Reason) { m.events.WithLabelValues(string(reason)).Inc() }

func (m *metrics) produced(records int, took time.Duration, err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.produce.WithLabelValues(result).Observe(took.Seconds())
	m.records.Observe(float64(records))
}
