package archive

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

// withRow writes an event as the only row of a file, and reads the columns back
// that an extractor asks for.
func withRow(t *testing.T, topic schemas.Topic, ev *schemas.Event, columns []string, use func(*Rows)) {
	t.Helper()
	all := &Rows{Dataset: topic, Dict: []string{""}}
	code := func(text []byte) Code {
		if len(text) == 0 {
			return 0
		}
		all.Dict = append(all.Dict, string(text))
		return Code(len(all.Dict) - 1)
	}
	all.ID.Append(ev.ID)
	all.Source, all.Account, all.Type = []Code{code(ev.Source)}, []Code{code([]byte("a"))}, []Code{code(ev.Type)}
	all.Time, all.LogTime, all.Offset = []int64{0}, []int64{0}, []int64{0}
	for f := range schemas.NumFields {
		if ev.Present.Has(f) && f != schemas.Region {
			all.Strings[f] = []Code{code(ev.Strings[f])}
		}
	}
	all.Data.Append(ev.Rest)
	all.Dimensions = []Code{code(ev.Dimensions)}
	all.Status, all.LatencyMS, all.Bytes, all.Quantity = []int32{NullInt32}, []float64{math.NaN()}, []int64{NullInt64}, []schemas.Decimal{NullDecimal}
	if ev.HasStatus {
		all.Status[0] = ev.Status
	}
	if ev.HasLatency {
		all.LatencyMS[0] = ev.LatencyMS
	}
	if ev.HasBytes {
		all.Bytes[0] = ev.Bytes
	}
	if ev.HasQuantity {
		all.Quantity[0] = ev.Quantity
	}
	a := New(NewMem())
	info, err := a.Stage(t.Context(), StageFile{Rows: all, Day: ByDay(all)[0], Source: schemas.Partition{Topic: topic}, Epoch: 1, Random: "x"})
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	err = a.Read(t.Context(), info.Staged, columns, func(rows *Rows) error {
		read += rows.Len()
		use(rows)
		return nil
	})
	if err != nil || read != 1 {
		t.Fatalf("read back %d rows, %v", read, err)
	}
}

// What a meter takes from an archive row is what it takes from the event.
func TestExtractor(t *testing.T) {
	const data = `{"api":"web","endpoint":"","status":404,"latency_ms":0.1,"bytes":7,"quantity":2.5,"method":["GET"],` +
		`"dimensions":{"region":"eu","n":"12","é":"ü"},"plan":{"name":"p\n","seats":[1,"2",null]},"price":"1e3","many":"1e12","on":true,"nan":"NaN","none":null}`
	const odd = `{"status":"bad","latency_ms":-4,"bytes":"x","quantity":"NaN","dimensions":{"n":1},"api":{"v":"w"}}`
	paths := []string{"$.api", "$.api.v", "$.endpoint", "$.status", "$.latency_ms", "$.bytes", "$.quantity", "$.method", "$.method[0]", "$.dimensions",
		"$.dimensions.region", "$.dimensions.n", "$.dimensions['é']", "$.plan.name", "$.plan.seats[0]", "$.plan.seats[-2]", "$.plan.seats[2]",
		"$.price", "$.many", "$.on", "$.nan", "$.none", "$.missing", "$.data"}
	var decoder schemas.Decoder
	for _, kind := range []string{schemas.TypeRequest, "order", schemas.TypeAPIError, "email.opened"} {
		for _, text := range []string{data, odd, `{}`, `7`} {
			for _, aggregation := range []schemas.Aggregation{schemas.Sum, schemas.UniqueCount} {
				for _, path := range paths {
					m, err := schemas.NewMeter(schemas.MeterDefinition{Slug: "m", EventType: kind, Aggregation: aggregation, ValueProperty: path,
						GroupBy: map[string]string{"d": path, "region": "$.dimensions.region", "event": "$.event"}}, 1)
					if err != nil {
						t.Fatal(err)
					}
					record := fmt.Sprintf(`{"specversion":"1.0","id":"i","source":"s","type":%q,"data":%s}`, kind, text)
					var ev schemas.Event
					if bad := decoder.Decode(m.Family.Topic, []byte(record), &ev); bad != nil {
						t.Fatal(bad)
					}
					live := schemas.NewMeterReader(&m)
					want := strings.Join(schemas.SplitDims(string(live.AppendDims(nil, &ev)), nil), "|") + describe(live.Value(&ev))
					x := NewExtractor(&m)
					withRow(t, m.Family.Topic, &ev, x.Columns(), func(rows *Rows) {
						got := strings.Join(x.AppendDims(nil, rows, 0), "|") + describe(x.Value(rows, 0))
						if got != want || !x.Matches(rows, 0) {
							t.Errorf("%s %s of %s %s: got %s, want %s", aggregation, path, kind, text, got, want)
						}
					})
				}
			}
		}
	}
}

func describe(v schemas.MeterValue) string {
	return fmt.Sprintf(" %v %v %q %s", v.Has, v.Number, v.Text, v.Problem)
}

func TestExtractorColumns(t *testing.T) {
	m, err := schemas.NewMeter(schemas.MeterDefinition{Slug: "m", EventType: "email.*", Aggregation: schemas.Sum, ValueProperty: "$.size",
		GroupBy: map[string]string{"event": "$.event", "api": "$.api"}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := NewExtractor(&m).Columns()
	slices.Sort(got)
	if want := []string{"data", "event", "type"}; !slices.Equal(got, want) { // e-mails have no column api
		t.Errorf("columns %q, want %q", got, want)
	}
}
