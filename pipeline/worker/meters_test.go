package worker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
	"tallybook/store"
)

// spread is declared in every rig: what holds for requests at every fault holds
// for a declared meter and for sketches too.
var spread = schemas.MeterDefinition{Slug: "spread", EventType: schemas.TypeRequest, Aggregation: schemas.Percentile,
	ValueProperty: "$.latency_ms", GroupBy: map[string]string{"api": "$.api"}, Percentiles: []float64{50}}

func (r *rig) declare(d schemas.MeterDefinition) store.DeclaredMeter {
	r.t.Helper()
	s := r.openStore()
	defer s.Close()
	m, err := s.CreateMeter(context.Background(), "test", d)
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

// meterCounts are a declared meter's events by account and hour, and the values
// of sketches of a family.
func (r *rig) meterCounts(s *store.Store, slug string, sketches *schemas.Family) (counts, values map[string]int64) {
	r.t.Helper()
	counts, values = map[string]int64{}, map[string]int64{}
	err := s.View(context.Background(), func(v *store.View) error {
		m, err := v.Meter(slug)
		if err != nil {
			return err
		}
		err = v.Rollups(store.RollupQuery{Family: m.Family, From: 0, To: 1 << 30}, func(row *store.Rollup) error {
			counts[fmt.Sprintf("%s %d", row.Series.Account, row.Window)] += row.Count
			return nil
		})
		if err != nil {
			return err
		}
		if sketches == nil {
			sketches = m.Family
		}
		return v.Sketches(store.SketchQuery{Family: sketches, From: 0, To: 1 << 30}, func(h schemas.Hour, s *schemas.Series, x schemas.Sketch) error {
			values[fmt.Sprintf("%s %d", s.Account, h)] += x.Count()
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return counts, values
}

// checkMeters compares the meter spread with the archive's rows by "account
// hour", and all sketches with the latencies that rollups of requests count.
func (r *rig) checkMeters(s *store.Store, archived map[string]int64) {
	r.t.Helper()
	events := maps.Clone(archived)
	for account := range r.sent {
		delete(events, account)
	}
	latencies := map[string]int64{}
	err := s.View(context.Background(), func(v *store.View) error {
		return v.Rollups(store.RollupQuery{Family: schemas.FamilyRequest, From: 0, To: 1 << 30}, func(row *store.Rollup) error {
			if row.ValueCount > 0 {
				latencies[fmt.Sprintf("%s %d", row.Series.Account, row.Window)] += row.ValueCount
			}
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	counts, values := r.meterCounts(s, spread.Slug, nil)
	if !maps.Equal(counts, events) {
		r.t.Errorf("the declared meter has %v, the archive has %v", counts, events)
	}
	_, sketches := r.meterCounts(s, spread.Slug, schemas.FamilyLatency)
	if !maps.Equal(values, latencies) || !maps.Equal(sketches, latencies) {
		r.t.Errorf("sketches of the meter have %v, of latency %v, rollups have %v", values, sketches, latencies)
	}
}

// A meter that is declared while a worker runs is live from some offset on; the
// checkpoint tells which, and nothing behind it is missing.
func TestMeterDeclaredMeanwhile(t *testing.T) {
	r := newRig(t)
	r.load(0, 60)
	p := r.start()
	r.until("the first events are counted", func() bool { return p.part.nextPos.Load() == r.end() })
	d := spread
	d.Slug, d.EventType = "later", "api.*"
	m := r.declare(d)
	r.until("it is live of the idle partition", func() bool {
		var waits []schemas.Partition
		err := p.store.View(context.Background(), func(v *store.View) (err error) {
			waits, err = v.MeterWaits(&m.Meter)
			return err
		})
		return err == nil && len(waits) == 0
	})
	from := r.end()
	r.load(60, 40)
	p.drain()
	s := r.openStore()
	var units []store.MeterUnit
	err := s.View(context.Background(), func(v *store.View) (err error) {
		units, err = v.MeterUnits(store.MeterIDOf(&m.Meter), 10)
		return err
	})
	if err != nil || len(units) != 3 || slices.ContainsFunc(units, func(u store.MeterUnit) bool { return u.From != from }) {
		t.Errorf("units to fill %v, %v; want three dates below %d", units, err, from)
	}
	counts, _ := r.meterCounts(s, "later", nil)
	var total int64
	for _, n := range counts {
		total += n
	}
	if total != 40 {
		t.Errorf("%d events are counted live, want 40", total)
	}
	// Deleted, it counts nothing more.
	if err := s.DeleteMeter(context.Background(), "test", "later"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	r.load(100, 10)
	r.finish()
}

// What an event has no number for is not counted, and refuses nothing.
func TestMeterValues(t *testing.T) {
	r := newRig(t)
	r.declare(schemas.MeterDefinition{Slug: "tokens", EventType: "prompt", Aggregation: schemas.Sum, ValueProperty: "$.usage.tokens",
		GroupBy: map[string]string{"model": "$.model", "region": "$.dimensions.region"}})
	r.declare(schemas.MeterDefinition{Slug: "prompts", EventType: "prompt", Aggregation: schemas.Count})
	values := []string{`100`, `"100"`, `0.000000001`, `-3.5`, `999999999999.999999999`, `1000000000000`, `"NaN"`, `"Inf"`, `null`, `{}`, `"many"`}
	var messages []kafka.Message
	for i, v := range values {
		messages = append(messages, kafka.Message{Key: []byte("a"), Value: fmt.Appendf(nil,
			`{"specversion":"1.0","id":"p%d","source":"s","type":"prompt","subject":"a","time":"2026-01-01T00:00:00Z",`+
				`"data":{"model":"m","dimensions":{"region":"eu"},"usage":{"tokens":%s}}}`, i, v)})
	}
	messages = append(messages, kafka.Message{Key: []byte("a"), Value: []byte(
		`{"specversion":"1.0","id":"none","source":"s","type":"prompt","subject":"a","time":"2026-01-01T00:00:00Z"}`)})
	r.produce(messages...)
	r.start().drain()
	s := r.openStore()
	defer s.Close()
	var got []string
	err := s.View(context.Background(), func(v *store.View) error {
		for _, slug := range []string{"tokens", "prompts"} {
			m, err := v.Meter(slug)
			if err != nil {
				return err
			}
			err = v.Rollups(store.RollupQuery{Family: m.Family, From: 0, To: 1 << 30}, func(x *store.Rollup) error {
				got = append(got, fmt.Sprintf("%s %q %d: %d %v %v %v", slug, x.Series.Dims, x.Count, x.ValueCount, x.ValueSum, x.ValueMin, x.ValueMax))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	slices.Sort(got)
	want := []string{`prompts [] 12: 0 0 0 0`, `tokens ["" ""] 1: 0 0 0 0`,
		`tokens ["m" "eu"] 11: 5 1000000000196.5 -3.5 999999999999.999999999`}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v\nwant %q", got, err, want)
	}
}
