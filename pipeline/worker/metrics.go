package worker

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/schemas"
)

// metrics are what /metrics says about the workers.
type metrics struct {
	records, errors, retries   *prometheus.CounterVec
	lag, lagSeconds, span, ids *prometheus.GaugeVec
	checkpoint, freshness      prometheus.Histogram
	transaction, group         prometheus.Histogram
	step                       *prometheus.HistogramVec
	storeErrors                prometheus.Counter
	skipped                    *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	tp := []string{"topic", "partition"}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tallybook", Name: name, Help: help}, append(tp[:2:2], labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "tallybook", Name: name, Help: help}, tp)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "tallybook", Name: name, Help: help, Buckets: buckets})
	}
	seconds := prometheus.ExponentialBuckets(0.001, 2, 15)
	m := &metrics{
		records:     counter("records_total", "Records processed, by what became of them.", "outcome"),
		errors:      counter("rejected_total", "Records refused, by reason.", "reason"),
		retries:     counter("checkpoint_retries_total", "Steps of a checkpoint that were tried again.", "step"),
		lag:         gauge("lag_records", "Records in the log that are not folded yet."),
		lagSeconds:  gauge("lag_seconds", "Age of the last record folded while there is lag, else 0."),
		span:        gauge("dedupe_window_seconds", "How far back in log clock a repeat is recognised."),
		ids:         gauge("dedupe_window_ids", "Ids in the dedupe window."),
		checkpoint:  histogram("checkpoint_seconds", "From closing a batch to its files being published.", seconds),
		freshness:   histogram("freshness_seconds", "From the oldest record's timestamp in a batch to its being visible.", seconds),
		transaction: histogram("checkpoint_transaction_seconds", "Time of the SQL transaction.", seconds),
		step: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "tallybook", Name: "checkpoint_step_seconds",
			Help: "Time of the steps of a checkpoint; commit includes waiting for the committer.", Buckets: seconds}, []string{"step"}),
		group: histogram("checkpoint_group_size", "Checkpoints that shared a transaction.", []float64{1, 2, 4, 8, 16, 32, 64}),
		storeErrors: prometheus.NewCounter(prometheus.CounterOpts{Namespace: "tallybook", Name: "store_errors_total",
			Help: "Checkpoint transactions that failed and were tried again."}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "tallybook", Name: "meter_values_skipped_total",
			Help: "Values that a declared meter did not count, by reason: no number, or out of range."}, []string{"meter", "reason"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.errors, m.retries, m.lag, m.lagSeconds, m.span, m.ids,
			m.checkpoint, m.freshness, m.transaction, m.group, m.step, m.storeErrors, m.skipped)
	}
	return m
}

func (m *metrics) committed(group int, took time.Duration) {
	m.group.Observe(float64(group))
	m.transaction.Observe(took.Seconds())
}

func (m *metrics) storeError() { m.storeErrors.Inc() }

// partitionMetrics are one partition's, with its labels filled in.
type partitionMetrics struct {
	m                           *metrics
	topic, id                   string
	counted, duplicate, rejects prometheus.Counter
	otherKey, handedOn          prometheus.Counter
	lag, lagSeconds, span, ids  prometheus.Gauge
}

func (m *metrics) partition(tp schemas.Partition) *partitionMetrics {
	topic, id := string(tp.Topic), strconv.Itoa(int(tp.ID))
	return &partitionMetrics{m: m, topic: topic, id: id,
		counted:   m.records.WithLabelValues(topic, id, "counted"),
		duplicate: m.records.WithLabelValues(topic, id, "duplicate"),
		rejects:   m.records.WithLabelValues(topic, id, "rejected"),
		otherKey:  m.records.WithLabelValues(topic, id, "other_key"),
		handedOn:  m.records.WithLabelValues(topic, id, "handed_on"),
		lag:       m.lag.WithLabelValues(topic, id), lagSeconds: m.lagSeconds.WithLabelValues(topic, id),
		span: m.span.WithLabelValues(topic, id), ids: m.ids.WithLabelValues(topic, id),
	}
}

// left takes away what is only known of a partition that is here: its new owner
// shows it.
func (p *partitionMetrics) left() {
	for _, gauge := range []*prometheus.GaugeVec{p.m.lag, p.m.lagSeconds, p.m.span, p.m.ids} {
		gauge.DeleteLabelValues(p.topic, p.id)
	}
}

func (p *partitionMetrics) rejected(reason schemas.Reason) {
	p.m.errors.WithLabelValues(p.topic, p.id, string(reason)).Inc()
}

func (p *partitionMetrics) retried(step string) {
	p.m.retries.WithLabelValues(p.topic, p.id, step).Inc()
}

func (p *partitionMetrics) skippedValue(meter string, why schemas.Reason) {
	p.m.skipped.WithLabelValues(meter, string(why)).Inc()
}

// behind notes the lag; last is the last folded record's timestamp in µs.
func (p *partitionMetrics) behind(lag, last int64, now time.Time) {
	p.lag.Set(float64(lag))
	age := 0.0
	if lag > 0 {
		age = now.Sub(time.UnixMicro(last)).Seconds()
	}
	p.lagSeconds.Set(age)
}

func (p *partitionMetrics) checkpointed(job *writeJob, w *window, clock int64, now time.Time) {
	l := &job.batch.ledger
	p.counted.Add(float64(l.Counted))
	p.duplicate.Add(float64(l.Duplicate))
	p.rejects.Add(float64(l.Rejected))
	p.otherKey.Add(float64(l.OtherKey))
	p.handedOn.Add(float64(l.HandedOn))
	p.m.checkpoint.Observe(job.took.Seconds())
	if l.Records > 0 {
		p.m.freshness.Observe(now.Sub(time.UnixMicro(job.batch.oldest)).Seconds())
	}
	p.span.Set(float64(w.length(clock)) / 1e6)
	p.ids.Set(float64(w.ids()))
}
