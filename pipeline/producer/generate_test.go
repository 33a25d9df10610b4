package producer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

func mixedLoad(shape Shape, events int64) GenerateConfig {
	return GenerateConfig{Seed: 42, Events: events, Shape: shape, ErrorShare: 0.05, EmailShare: 0.1, LateShare: 0.02,
		DuplicateShare: 0.03, MalformedShare: 0.02, BatchRecords: 777, Now: func() time.Time { return testNow }}
}

// collect runs a load and keeps copies of its records.
func collect(t testing.TB, cfg GenerateConfig) ([]kafka.Message, *Expected) {
	t.Helper()
	var records []kafka.Message
	expected, err := Generate(context.Background(), cfg, func(batch []kafka.Message) error {
		for _, m := range batch {
			m.Key, m.Value = bytes.Clone(m.Key), bytes.Clone(m.Value)
			records = append(records, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records, expected
}

// recount judges and adds up records as a worker would, with the decoder and
// the rules of schemas and none of the generator's code.
func recount(t testing.TB, records []kafka.Message) *Expected {
	t.Helper()
	e := &Expected{Next: int64(len(records)), Records: int64(len(records)), Malformed: map[schemas.Reason]int64{},
		Topics: map[schemas.Topic]Totals{}, Accounts: map[AccountKey]Totals{}, Hours: map[HourKey]Totals{}, Statuses: map[StatusKey]Totals{}}
	var decoder schemas.Decoder
	var ev schemas.Event
	seen := map[string]bool{}
	for _, m := range records {
		topic := schemas.Topic(m.Topic)
		rejection := decoder.Decode(topic, m.Value, &ev)
		if rejection == nil {
			rejection = schemas.DefaultRules().Validate(topic, &ev, m.Time.UnixMicro())
		}
		if rejection != nil {
			e.Malformed[rejection.Reason]++
			continue
		}
		if string(ev.Subject) != string(m.Key) {
			t.Fatalf("key %s of %s", m.Key, m.Value)
		}
		id := fmt.Sprintf("%s %s %s %s", topic, m.Key, ev.Source, ev.ID)
		if seen[id] {
			e.Duplicates++
			continue
		}
		seen[id] = true
		e.Counted++
		one := Totals{Events: 1}
		if topic == schemas.Usage {
			one.Quantity, one.LatencyMS, one.Bytes = ev.Quantity, ev.Latency, ev.Bytes
		}
		plus(t, e.Topics, topic, one)
		plus(t, e.Accounts, AccountKey{topic, string(m.Key)}, one)
		plus(t, e.Hours, HourKey{topic, schemas.HourOf(ev.Time)}, one)
		plus(t, e.Statuses, StatusKey{topic, ev.Status}, one)
	}
	return e
}

func plus[K comparable](t testing.TB, m map[K]Totals, key K, one Totals) {
	t.Helper()
	sum := m[key]
	sum.Events += one.Events
	sum.Bytes += one.Bytes
	var err, err2 error
	sum.Quantity, err = sum.Quantity.Add(one.Quantity)
	sum.LatencyMS, err2 = sum.LatencyMS.Add(one.LatencyMS)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	m[key] = sum
}

func TestExpectedIsWhatARecountFinds(t *testing.T) {
	for _, shape := range []Shape{Dense, Wide, Live} {
		cfg := mixedLoad(shape, 30_000)
		if shape == Live {
			cfg.Rate, cfg.BatchRecords, cfg.Start = 1e9, 30_000, testNow
		}
		records, got := collect(t, cfg)
		want := recount(t, records)
		want.Late = got.Late // a worker cannot tell
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%+v\nwant\n%+v", shape, got, want)
		}
		computed, err := Expect(cfg)
		if err != nil || !reflect.DeepEqual(computed, got) {
			t.Errorf("%s: Expect differs from Generate: %v", shape, err)
		}
		if got.Counted+got.Duplicates+got.Rejected() != got.Records || got.Records != 30_000 {
			t.Errorf("%s: %d counted, %d duplicates, %d rejected of %d", shape, got.Counted, got.Duplicates, got.Rejected(), got.Records)
		}
		near(t, shape, "duplicates", got.Duplicates, 900)
		near(t, shape, "malformed", got.Rejected(), 600)
		near(t, shape, "late", got.Late, 570)
		near(t, shape, "errors", got.Topics[schemas.Errors].Events, 1425)
		near(t, shape, "emails", got.Topics[schemas.Emails].Events, 2850)
		if len(got.Malformed) != 9 {
			t.Errorf("%s: reasons %v, want 9", shape, got.Malformed)
		}
	}
}

// near allows five standard deviations of a count; the seed is fixed.
func near(t *testing.T, shape Shape, what string, got, want int64) {
	t.Helper()
	if d := got - want; d*d > 25*want {
		t.Errorf("%s: %d %s, want about %d", shape, got, what, want)
	}
}

func TestGenerateGoesOnAnywhere(t *testing.T) {
	cfg := mixedLoad(Wide, 5000)
	whole, _ := collect(t, cfg)
	for _, from := range []int64{0, 1, 777, 4999, 5000} {
		cfg.From = from
		part, e := collect(t, cfg)
		if len(part) != len(whole[from:]) || len(part) > 0 && !reflect.DeepEqual(part, whole[from:]) {
			t.Errorf("records from %d differ from those of the whole", from)
		}
		if e.From != from || e.Next != 5000 || e.Records != 5000-from {
			t.Errorf("from %d: got [%d, %d) with %d records", from, e.From, e.Next, e.Records)
		}
	}
	cfg.From, cfg.Seed = 0, 43
	if other, _ := collect(t, cfg); bytes.Equal(other[0].Value, whole[0].Value) || bytes.Equal(other[77].Value, whole[77].Value) {
		t.Error("another seed made the same records")
	}
}

func TestResentRangeIsDuplicates(t *testing.T) {
	cfg := mixedLoad(Dense, 4000)
	records, want := collect(t, cfg)
	again, err := Expect(GenerateConfig{Seed: 42, From: 1000, Events: 4000, Shape: Dense, ErrorShare: 0.05, EmailShare: 0.1,
		LateShare: 0.02, DuplicateShare: 0.03, MalformedShare: 0.02})
	if err != nil {
		t.Fatal(err)
	}
	want.AddResent(again)
	got := recount(t, append(records, records[1000:]...))
	got.Late, got.Next = want.Late, want.Next
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestGenerateStopsAtAnErrorWithTheTotalsBefore(t *testing.T) {
	cfg := mixedLoad(Dense, 5000)
	calls := 0
	got, err := Generate(context.Background(), cfg, func([]kafka.Message) error {
		if calls++; calls == 4 {
			return errAway
		}
		return nil
	})
	if !errors.Is(err, errAway) || got.Next != 3*777 {
		t.Fatalf("got %v with next %d", err, got.Next)
	}
	short := cfg
	short.Events = 3 * 777
	if want, err := Expect(short); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("totals before the error: got %+v, want %+v (%v)", got, want, err)
	}
}

func TestGenerateKeepsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := GenerateConfig{Rate: 2000, Shape: Live, Start: time.Now(), Now: time.Now}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		got, err := Generate(ctx, cfg, func(batch []kafka.Message) error {
			var d decoded
			for _, m := range batch {
				if d = decode(t, m); d.Time.After(time.Now()) || time.Since(d.Time) > 50*time.Millisecond {
					t.Fatalf("event of %v sent at %v", d.Time, time.Now())
				}
			}
			return nil
		})
		if err != nil || got.Records < 19_900 || got.Records > 20_000 {
			t.Errorf("got %d records in 10 s, want about 20000 (%v)", got.Records, err)
		}
	})
}

func TestGenerateConfigIsChecked(t *testing.T) {
	for name, cfg := range map[string]GenerateConfig{
		"shape":          {Shape: "round"},
		"rate":           {Rate: -1},
		"live":           {Shape: Live},
		"share":          {LateShare: 1.1},
		"negative share": {ErrorShare: -0.5, EmailShare: 1},
		"shares":         {DuplicateShare: 0.5, MalformedShare: 0.5},
		"accounts":       {Accounts: -1},
		"range":          {From: 5, Events: 4},
		"batch":          {BatchRecords: -1},
		"no end":         {},
	} {
		if _, err := Expect(cfg); !errors.Is(err, ErrGenerate) {
			t.Errorf("%s: got %v, want ErrGenerate", name, err)
		}
	}
}

// The shapes' rollup rows per event decide what a benchmark measures.
func TestShapes(t *testing.T) {
	rows := func(shape Shape, perDay int64) (ratio float64, dates int) {
		cfg := GenerateConfig{Seed: 1, Events: 100_000, Shape: shape}
		if err := cfg.setDefaults(); err != nil {
			t.Fatal(err)
		}
		g := newSynth(&cfg)
		g.perDay = perDay
		series, days := map[sample]bool{}, map[schemas.Day]bool{}
		for i := range cfg.Events {
			e := g.event(i, original)
			days[schemas.DayOf(e.time)] = true
			series[sample{account: e.account, route: e.route, status: e.status, time: int64(schemas.HourOf(e.time))}] = true
		}
		return float64(len(series)) / float64(cfg.Events), len(days)
	}
	if ratio, dates := rows(Dense, 0); ratio < 0.10 || ratio > 0.16 || dates != 1 {
		t.Errorf("dense: %.3f rows an event, %d dates; want about 0.13 and 1", ratio, dates)
	}
	if ratio, dates := rows(Wide, 10_000_000/wideDays); ratio < 0.95 || dates != 1 {
		t.Errorf("wide: %.3f rows an event, %d dates; want nearly 1 each and 1", ratio, dates)
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, shape := range []Shape{Dense, Wide} {
		b.Run(string(shape), func(b *testing.B) {
			cfg := GenerateConfig{Seed: 1, Events: int64(b.N), Shape: shape, DuplicateShare: 0.01, Now: time.Now}
			var size int64
			began := cpuTime(b)
			if _, err := Generate(b.Context(), cfg, func(batch []kafka.Message) error {
				for i := range batch {
					size += int64(len(batch[i].Value))
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
			// Of the processor's time: it holds beside other work, too.
			b.ReportMetric(float64(b.N)/(cpuTime(b)-began).Seconds(), "events/s/core")
			b.ReportMetric(float64(size)/float64(b.N), "bytes/event")
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
