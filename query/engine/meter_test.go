package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// declared declares a meter of requests' latency by dimensions.tier and data.place.
func (r *rig) declared(slug string, aggregation schemas.Aggregation, value string) *schemas.Meter {
	r.t.Helper()
	d := schemas.MeterDefinition{Slug: slug, EventType: "api.request", Aggregation: aggregation, ValueProperty: value,
		GroupBy: map[string]string{"tier": "$.dimensions.tier", "place": "$.place"}}
	if aggregation == schemas.Percentile {
		d.Percentiles = []float64{50}
	}
	m, err := r.store.CreateMeter(r.t.Context(), "test", d)
	if err != nil {
		r.t.Fatal(err)
	}
	return &m.Meter
}

// fill fills the meter with every event, by the words of this test.
func (r *rig) fill(m *schemas.Meter) {
	r.t.Helper()
	if err := r.store.AdoptIdle(r.t.Context(), m); err != nil {
		r.t.Fatal(err)
	}
	var units []store.MeterUnit
	err := r.store.View(r.t.Context(), func(v *store.View) (err error) {
		units, err = v.MeterUnits(store.MeterIDOf(m), 1000)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for n, u := range units {
		f := store.MeterFill{Meter: m, Unit: u}
		if n == 0 { // all of it with the first
			f.Series, f.Deltas = meterDeltas(m, r.events)
		}
		if filled, err := r.store.FillMeter(r.t.Context(), f); err != nil || !filled {
			r.t.Fatal(filled, err)
		}
	}
	if complete, err := r.store.CompleteMeter(r.t.Context(), m); err != nil || !complete {
		r.t.Fatal(complete, err)
	}
}

func meterDeltas(m *schemas.Meter, events []event) (series []schemas.Series, deltas []store.Delta) {
	index, cells := map[schemas.SeriesID]int{}, map[string]int{}
	for i := range events {
		e := &events[i]
		if e.kind != "api.request" {
			continue
		}
		dims := []string{placeOf(e), e.name("dimensions.tier")}
		id := schemas.MakeSeriesID(m.Family.Name, e.account, dims)
		if _, ok := index[id]; !ok {
			index[id] = len(series)
			series = append(series, schemas.Series{ID: id, Account: e.account, Family: m.Family.Name, Dims: dims})
		}
		key := fmt.Sprint(schemas.HourOf(e.time), index[id])
		if _, ok := cells[key]; !ok {
			cells[key] = len(deltas)
			deltas = append(deltas, store.Delta{Hour: schemas.HourOf(e.time), Series: index[id]})
		}
		all := e.measures()
		one := schemas.Measures{Count: all.Count, ValueCount: all.ValueCount, ValueSum: all.ValueSum, ValueMin: all.ValueMin, ValueMax: all.ValueMax}
		if err := deltas[cells[key]].Measures.Add(&one); err != nil {
			panic(err)
		}
	}
	return series, deltas
}

func placeOf(e *event) string {
	if strings.Contains(e.data, "Rome") {
		return "Rome"
	}
	return ""
}

// A declared meter is answered from the archive until its past is filled in,
// and alike from rollups then.
func TestDeclaredMeter(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 5))
	r := newRig(t)
	var events []event
	for range 300 {
		e := randomEvent(rng)
		e.data = pick(rng, "", `{"place":"Rome"}`, `{"place":null,"x":1}`)
		events = append(events, e)
	}
	r.write(usage0, events...)
	m := r.declared("slow", schemas.Avg, "$.latency_ms")
	questions := func() (all []*Question) {
		for _, by := range [][]string{nil, {"tier"}, {"place", "tier"}, {Account, "place"}, {"client_ip"}} {
			for _, size := range []Size{"", Day, Minute} {
				all = append(all, &Question{Family: m.Family, Meter: m, Need: Values | Extremes, From: at("2026-03-22T10:30:00Z"), To: at("2026-04-09T00:00:00Z"),
					GroupBy: by, Window: Window{Size: size}})
			}
		}
		all = append(all, &Question{Family: m.Family, Meter: m, Need: Values, From: at("2026-01-01T00:00:00Z"), To: at("2026-06-01T00:00:00Z"),
			Filters: map[string][]string{"place": {"Rome"}, "tier": {"x", ""}}})
		return all
	}
	want := func(q *Question) []string {
		like := *q // the same of requests, whose values are latencies too
		like.Family, like.Meter = schemas.FamilyRequest, nil
		rename := map[string]string{"tier": "dimensions.tier"}
		like.GroupBy, like.Filters = slices.Clone(q.GroupBy), map[string][]string{}
		for i, name := range like.GroupBy {
			if rename[name] != "" {
				like.GroupBy[i] = rename[name]
			}
		}
		for name, allowed := range q.Filters {
			if rename[name] != "" {
				name = rename[name]
			}
			like.Filters[name] = allowed
		}
		named := slices.Clone(r.events)
		for i := range named {
			fields := map[string]string{"place": placeOf(&named[i])}
			for name, value := range named[i].fields {
				fields[name] = value
			}
			named[i].fields, named[i].quantity, named[i].bytes, named[i].amount = fields, "", 0, ""
		}
		return expected(&like, named)
	}
	check := func(sources ...string) {
		t.Helper()
		for _, q := range questions() {
			a, err := r.engine.Ask(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := got(q, a.Groups[0]), want(q); !slices.Equal(got, want) {
				t.Errorf("by %q, window %q, from %s\n got %q\nwant %q", q.GroupBy, q.Window.Size, a.Source, got, want)
			}
			if !slices.Contains(sources, a.Source) {
				t.Errorf("by %q: answered from %s", q.GroupBy, a.Source)
			}
		}
	}
	check("archive")
	r.fill(m)
	check("rollups", "rollups+archive", "archive")
	if a, err := r.engine.Ask(t.Context(), questions()[15]); err != nil || a.Source != "rollups" {
		t.Errorf("whole hours of a meter that is complete: got %s, %v", a.Source, err)
	}
}

func TestMeterAggregations(t *testing.T) {
	r := newRig(t)
	one := func(time, customer string, latency float64, sign int8) event {
		return event{kind: "api.request", account: "acme", time: at(time), latency: latency, sign: sign, fields: map[string]string{"customer": customer}}
	}
	r.write(usage0,
		one("2026-03-01T10:00:00Z", "c1", 5, 1),
		one("2026-03-01T11:00:00Z", "c2", 7, 1),
		one("2026-03-01T12:00:00Z", "c1", 9, 1),
		one("2026-03-01T12:00:00Z", "c1", 9, 1),
		one("2026-03-01T12:00:00Z", "c1", 9, -1), // of two that are alike, one is taken away
		one("2026-03-01T13:00:00Z", "c3", 0, 1),  // no latency
		one("2026-03-01T14:00:00Z", "c4", 100, 1),
		one("2026-03-01T14:00:00Z", "c4", 100, -1)) // taken away
	q := func(m *schemas.Meter, need Need, distinct string) *Question {
		return &Question{Family: m.Family, Meter: m, Need: need, Distinct: distinct, From: at("2026-01-01T00:00:00Z"), To: at("2027-01-01T00:00:00Z")}
	}
	unique := r.ask(q(r.declared("customers", schemas.UniqueCount, "$.customer"), 0, Value))
	if len(unique) != 1 || unique[0].Distinct != 3 {
		t.Errorf("unique: got %+v, want 3", unique)
	}
	latest := r.ask(q(r.declared("last", schemas.Latest, "$.latency_ms"), Values|Latest, ""))
	if len(latest) != 1 || !latest[0].HasLatest || latest[0].Latest.String() != "9" {
		t.Errorf("latest: got %+v, want 9", latest)
	}
	middle := r.ask(q(r.declared("middle", schemas.Percentile, "$.latency_ms"), Values|Quantiles, ""))
	if v, ok := middle[0].Quantile(0.5); !ok || v.String() != "7" {
		t.Errorf("median: got %v, %v, want 7", v, ok)
	}
	extremes := r.ask(q(r.declared("most", schemas.Max, "$.latency_ms"), Values|Extremes, ""))
	if g := extremes[0]; g.ValueMax.String() != "9" || g.ValueMin.String() != "5" || g.ValueCount != 3 || g.Count != 4 {
		t.Errorf("extremes: got %+v", g)
	}
}

// Points of data frames: attributes group and filter, metadata filters.
func TestRatedAttributes(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 7))
	r := newRig(t)
	for range 6 {
		var events []event
		for range 40 {
			e := event{kind: "rated.usage", account: pick(rng, "p", "q"), time: randomEvent(rng).time, quantity: pick(rng, "1", "2.5"), amount: pick(rng, "0.1", "0")}
			groupby := pick(rng, `"user":"u1"`, `"user":"u2"`, `"other":"x"`, ``)
			metadata := pick(rng, `"flavor":"small"`, `"flavor":"large"`, `"user":"u1"`, ``)
			e.data = fmt.Sprintf(`{"metric":%q,"unit":"h","groupby":{%s},"metadata":{%s}}`, pick(rng, "vm", "disk"), groupby, metadata)
			events = append(events, e)
		}
		r.write(usage0, events...)
	}
	r.build(rng)
	for range 200 {
		q := randomQuestion(rng)
		q.Family, q.Need, q.Distinct, q.GroupBy, q.Filters = schemas.FamilyRated, Quantity|Amount, "", nil, map[string][]string{}
		for _, name := range []string{"metric", Attribute + "user", Attribute + "flavor", Account} {
			if rng.IntN(3) == 0 {
				q.GroupBy = append(q.GroupBy, name)
			}
			if rng.IntN(3) == 0 {
				q.Filters[name] = pick(rng, []string{"u1", "small", "vm", "p"}, []string{"", "disk", "q"}, []string{"u2", "", "large", "vm", "disk", "p", "q"})
			}
		}
		if want, got := expectedPoints(q, r.events), got(q, r.ask(q)); !slices.Equal(got, want) {
			t.Fatalf("%+v\n got %q\nwant %q", q, got, want)
		}
	}
}

// expectedPoints gives each event the names that groups mean, drops those that
// the filters refuse, and counts.
func expectedPoints(q *Question, events []event) []string {
	text := func(e *event, part, name string) (string, bool) {
		_, rest, _ := strings.Cut(e.data, `"`+part+`":`)
		rest, _, _ = strings.Cut(rest, "}")
		_, rest, ok := strings.Cut(rest, `"`+name+`":"`)
		value, _, _ := strings.Cut(rest, `"`)
		return value, ok
	}
	var left []event
	for _, e := range events {
		metric := "disk"
		if strings.Contains(e.data, `"metric":"vm"`) {
			metric = "vm"
		}
		e.fields = map[string]string{"metric": metric}
		keep := true
		for _, name := range []string{"user", "flavor"} {
			value, grouped := text(&e, "groupby", name)
			e.fields[Attribute+name] = value
			if !grouped {
				value, _ = text(&e, "metadata", name)
			}
			if allowed, ok := q.Filters[Attribute+name]; ok && !slices.Contains(allowed, value) {
				keep = false
			}
		}
		if keep {
			left = append(left, e)
		}
	}
	rest := *q
	rest.Filters = map[string][]string{}
	for name, allowed := range q.Filters {
		if !strings.HasPrefix(name, Attribute) {
			rest.Filters[name] = allowed
		}
	}
	return expected(&rest, left)
}
