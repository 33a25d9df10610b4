package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"}

func pick[T any](rng *rand.Rand, from ...T) T { return from[rng.IntN(len(from))] }

// randomEvent is a request in the weeks around a change of clocks.
func randomEvent(rng *rand.Rand) event {
	begin, end := at("2026-03-20T00:00:00Z"), at("2026-04-12T00:00:00Z")
	t := begin + rng.Int64N(end-begin)
	if rng.IntN(4) == 0 {
		t = floor(t, hour) - int64(rng.IntN(2)) // at or just before an edge
	}
	e := event{kind: pick(rng, "api.request", "api.request", "api.request", "app.event"), account: pick(rng, "acme", "bolt", "core"), time: t,
		status: pick[int32](rng, 200, 200, 404, 0), quantity: pick(rng, "1", "1", "2.5", "-0.000000001", ""), amount: pick(rng, "0.25", "0.1", ""),
		bytes:   pick[int64](rng, 0, 10, 1000),
		latency: pick(rng, 0, 1.5, 2, 99.25, 0.1),
		fields: map[string]string{"api": "web", "endpoint": pick(rng, "/a", "/b", ""), "method": pick(rng, "GET", "PUT"),
			"client_ip": pick(rng, "1.1.1.1", "2.2.2.2", ""), "customer": pick(rng, "c1", "c2"), "dimensions.region": pick(rng, "eu", ""), "dimensions.tier": pick(rng, "x", "y", "")}}
	return e
}

// expected answers a question by looking at every event.
func expected(q *Question, events []event) []string {
	type sum struct {
		m      schemas.Measures
		values map[schemas.Decimal]int64
		texts  map[string]int64
		latest map[int64]map[schemas.Decimal]int64
		start  time.Time
	}
	sums := map[string]*sum{}
	for i := range events {
		e := &events[i]
		family, _ := e.family()
		if family != q.Family || e.time < q.From || e.time >= q.To || q.Accounts != nil && !slices.Contains(q.Accounts, e.account) {
			continue
		}
		ok := true
		for name, allowed := range q.Filters {
			ok = ok && slices.Contains(allowed, e.name(name))
		}
		if !ok {
			continue
		}
		start := slowWindow(e.time, q.Window.Size, q.Window.zone())
		key := ""
		if q.Window.Size != "" {
			key = start.UTC().Format(time.RFC3339Nano)
		}
		if len(q.Window.Labels) > 0 {
			key = ""
		}
		for _, name := range q.GroupBy {
			key += "|" + e.name(name)
		}
		for _, label := range q.Window.Labels {
			key += "|" + label(start)
		}
		s := sums[key]
		if s == nil {
			s = &sum{values: map[schemas.Decimal]int64{}, texts: map[string]int64{}, latest: map[int64]map[schemas.Decimal]int64{}, start: start}
			sums[key] = s
		}
		m := e.measures()
		if err := s.m.Add(&m); err != nil {
			panic(err)
		}
		if e.latency != 0 {
			v := dec(fmt.Sprint(e.latency))
			s.values[v] += e.signed()
			if s.latest[e.time] == nil {
				s.latest[e.time] = map[schemas.Decimal]int64{}
			}
			s.latest[e.time][v] += e.signed()
		}
		if q.Distinct != "" && e.name(q.Distinct) != "" {
			s.texts[e.name(q.Distinct)] += e.signed()
		}
	}
	var all []string
	for key, s := range sums {
		if s.m.Count == 0 {
			continue
		}
		line := fmt.Sprintf("%s: %d %v %d %d %v %v", key, s.m.Count, s.m.Quantity, s.m.Bytes, s.m.ValueCount, s.m.ValueSum, s.m.Amount)
		var left []schemas.Decimal
		for v, n := range s.values {
			for range n {
				left = append(left, v)
			}
		}
		slices.SortFunc(left, schemas.Decimal.Cmp)
		if len(left) > 0 && q.Need&Extremes != 0 {
			line += fmt.Sprintf(" extremes %v %v", left[0], left[len(left)-1])
		}
		if len(left) > 0 && q.Need&Quantiles != 0 {
			line += fmt.Sprintf(" median about %d", schemas.BucketOfDecimal(left[(len(left)+1)/2-1]))
		}
		if q.Distinct != "" {
			n := 0
			for _, k := range s.texts {
				if k > 0 {
					n++
				}
			}
			line += fmt.Sprintf(" distinct %d", n)
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

var slowWindows = map[string]time.Time{}

// slowWindow finds the window's start by going back minute by minute.
func slowWindow(t int64, size Size, zone *time.Location) time.Time {
	local := timeOf(t).In(zone)
	key := func(x time.Time) string {
		switch size {
		case Minute:
			return x.Format("2006-01-02 15:04 -0700")
		case Hour:
			return x.Format("2006-01-02 15 -0700")
		case Day:
			return x.Format("2006-01-02")
		case Week:
			y, w := x.ISOWeek()
			return fmt.Sprint(y, "-", w)
		case Month:
			return x.Format("2006-01")
		case Year:
			return x.Format("2006")
		}
		return ""
	}
	if size == "" {
		return local
	}
	memo := fmt.Sprint(size, zone, key(local))
	if start, ok := slowWindows[memo]; ok {
		return start
	}
	start := local.Truncate(time.Minute)
	for key(start.Add(-time.Minute)) == key(local) {
		start = start.Add(-time.Minute)
	}
	slowWindows[memo] = start
	return start
}

func got(q *Question, groups []*Group) []string {
	var all []string
	for _, g := range groups {
		key := ""
		if q.Window.Size != "" && len(q.Window.Labels) == 0 {
			key = timeOf(g.Start).Format(time.RFC3339Nano)
		}
		for _, name := range g.Names {
			key += "|" + name
		}
		line := fmt.Sprintf("%s: %d %v %d %d %v %v", key, g.Count, g.Quantity, g.Bytes, g.ValueCount, g.ValueSum, g.Amount)
		if g.ValueCount > 0 && q.Need&Extremes != 0 {
			line += fmt.Sprintf(" extremes %v %v", g.ValueMin, g.ValueMax)
		}
		if v, ok := g.Quantile(0.5); ok {
			line += fmt.Sprintf(" median about %d", schemas.BucketOfDecimal(v))
			if q.Need&Extremes != 0 && (v.Cmp(g.ValueMin) < 0 || v.Cmp(g.ValueMax) > 0) {
				line += " which is beyond the extremes"
			}
		}
		if q.Distinct != "" {
			line += fmt.Sprintf(" distinct %d", g.Distinct)
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

func randomQuestion(rng *rand.Rand) *Question {
	begin, end := at("2026-03-19T00:00:00Z"), at("2026-04-13T00:00:00Z")
	edge := func() int64 {
		return floor(begin+rng.Int64N(end-begin), pick(rng, 1, second, minute, hour, hour, 24*hour, 24*hour))
	}
	zone, err := time.LoadLocation(pick(rng, zones...))
	if err != nil {
		panic(err)
	}
	q := &Question{Family: schemas.FamilyRequest, Need: Quantity | Values | Bytes | Amount, From: edge(), To: edge(),
		Window: Window{Size: pick(rng, "", "", Minute, Hour, Day, Day, Week, Month, Year), Zone: zone}, Filters: map[string][]string{}}
	if q.From > q.To {
		q.From, q.To = q.To, q.From
	}
	if rng.IntN(3) == 0 {
		q.Accounts = pick(rng, []string{"acme"}, []string{"acme", "core"}, []string{"nobody"}, []string{})
	}
	names := []string{"endpoint", "status", "region", Account, "method"}
	if rng.IntN(3) == 0 {
		names = append(names, "client_ip", "customer", "dimensions.tier")
	}
	for _, name := range names {
		if rng.IntN(4) == 0 {
			q.GroupBy = append(q.GroupBy, name)
		}
		if rng.IntN(6) == 0 {
			q.Filters[name] = pick(rng, []string{"/a", "200", "eu", "x"}, []string{"", "1.1.1.1", "c2", "bolt", "GET"}, []string{"acme", "core", "/b", "404", "200", "c1"})
		}
	}
	if rng.IntN(3) == 0 {
		q.Need |= Extremes
	}
	if rng.IntN(8) == 0 {
		q.Need |= Quantiles
	}
	if rng.IntN(8) == 0 {
		q.Distinct = pick(rng, "client_ip", "endpoint")
	}
	if q.Window.Size == Day && rng.IntN(2) == 0 {
		q.Window.Labels = []func(time.Time) string{func(t time.Time) string { return t.Weekday().String() }}
	}
	return q
}

// The answer, from whatever parts of rollups and archive, is that of looking
// at every event.
func TestAnswersEqualEvents(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	r := newRig(t)
	for n := range 12 {
		var events []event
		for range 80 {
			events = append(events, randomEvent(rng))
		}
		r.write(schemas.Partition{Topic: schemas.Usage, ID: int32(n % 2)}, events...)
		if n == 6 {
			r.build(rng)
		}
	}
	r.write(usage0, r.corrections(rng)...)
	for range 400 {
		q := randomQuestion(rng)
		want, got := expected(q, r.events), got(q, r.ask(q))
		if !slices.Equal(got, want) {
			t.Fatalf("%s from %s to %s, accounts %q, groups %q, filters %q, need %b, distinct %q, size %s in %v\n got %s\nwant %s", q.Family.Name, timeOf(q.From), timeOf(q.To),
				q.Accounts, q.GroupBy, q.Filters, q.Need, q.Distinct, q.Window.Size, q.Window.Zone, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
		}
	}
}

// corrections take some events away, each once, and put others in their place.
func (r *rig) corrections(rng *rand.Rand) (all []event) {
	for i := range r.events {
		e := r.events[i]
		if rng.IntN(15) > 0 || e.sign < 0 || e.taken {
			continue
		}
		r.events[i].taken = true
		e.sign = -1
		all = append(all, e)
		if rng.IntN(2) == 0 {
			e.sign, e.latency, e.quantity = 1, 1000, "7"
			all = append(all, e)
		}
	}
	return all
}

// build builds most of the days and March.
func (r *rig) build(rng *rand.Rand) {
	for day := schemas.DayOf(at("2026-03-20T00:00:00Z")); day < schemas.DayOf(at("2026-04-12T00:00:00Z")); day++ {
		if rng.IntN(4) > 0 {
			if err := r.store.BuildRollups(r.t.Context(), store.Daily, day); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if err := r.store.BuildRollups(r.t.Context(), store.Monthly, schemas.DayOf(at("2026-03-20T00:00:00Z"))); err != nil {
		r.t.Fatal(err)
	}
}
