package producer

import (
	"strconv"

	"tallybook/schemas"
)

// Totals of good, distinct events. Quantity, LatencyMS and Bytes are of topic
// usage.
type Totals struct {
	Events    int64
	Quantity  schemas.Decimal
	LatencyMS schemas.Decimal // sum
	Bytes     int64
}

// AccountKey, HourKey and StatusKey name a part of a topic's events.
type (
	AccountKey struct {
		Topic   schemas.Topic
		Account string
	}
	HourKey struct {
		Topic schemas.Topic
		Hour  schemas.Hour
	}
	StatusKey struct {
		Topic  schemas.Topic
		Status int32 // 0: e-mail events have none
	}
)

// Expected is what a service that has every record once must show. Records =
// Counted + Duplicates + the sum of Malformed. It is of records [From, Next),
// with all before From taken as sent: parts that join may be added up.
type Expected struct {
	From, Next int64
	Records    int64
	Counted    int64 // good, distinct events
	Late       int64 // of Counted
	Duplicates int64
	Malformed  map[schemas.Reason]int64

	Topics   map[schemas.Topic]Totals
	Accounts map[AccountKey]Totals
	Hours    map[HourKey]Totals // of the event's time
	Statuses map[StatusKey]Totals
}

// Rejected is the sum of Malformed.
func (e *Expected) Rejected() (n int64) {
	for _, k := range e.Malformed {
		n += k
	}
	return n
}

// AddResent adds a range that was sent a second time: its good events are
// duplicates now, its malformed records are refused again.
func (e *Expected) AddResent(r *Expected) {
	e.Records += r.Records
	e.Duplicates += r.Counted + r.Duplicates
	for reason, n := range r.Malformed {
		e.Malformed[reason] += n
	}
}

// sums is Totals while they are added up; thousandths fit 64 bits for 10^11
// events.
type sums struct {
	events, quantity, latency, bytes int64
}

func (s *sums) add(e *sample) {
	s.events++
	if e.topic == 0 {
		s.quantity += e.quantity
		s.latency += e.latency
		s.bytes += e.bytes
	}
}

func (s *sums) totals() Totals {
	return Totals{Events: s.events, Quantity: thousandths(s.quantity), LatencyMS: thousandths(s.latency), Bytes: s.bytes}
}

func thousandths(n int64) schemas.Decimal {
	return schemas.Decimal{Units: n / 1000, Nanos: int32(n%1000) * 1_000_000}
}

// tally adds up records one by one.
type tally struct {
	cfg        *GenerateConfig
	next       int64
	late       int64
	duplicates int64
	malformed  []int64 // by index in spoils
	topics     [3]sums
	accounts   [3][]sums
	hours      map[schemas.Hour]*[3]sums
	statuses   [3][]sums // by index in statusList

	lastHour schemas.Hour // the entry of hours that was used last
	lastSums *[3]sums
}

func newTally(cfg *GenerateConfig) *tally {
	t := &tally{cfg: cfg, next: cfg.From, malformed: make([]int64, len(spoils)), hours: map[schemas.Hour]*[3]sums{}}
	for topic := range t.accounts {
		t.accounts[topic] = make([]sums, cfg.Accounts)
		t.statuses[topic] = make([]sums, len(statusList))
	}
	return t
}

// add counts record i, which must be the next.
func (t *tally) add(g *synth, i int64) {
	t.next = i + 1
	switch k, _ := g.resolve(i); k {
	case malformed:
		r := g.random(i, 5)
		t.malformed[r.below(int64(len(spoils)))]++
		return
	case duplicate:
		t.duplicates++
		return
	}
	e := g.event(i, original)
	if e.late {
		t.late++
	}
	t.topics[e.topic].add(&e)
	t.accounts[e.topic][e.account].add(&e)
	t.statuses[e.topic][e.slot].add(&e)
	t.hour(schemas.HourOf(e.time))[e.topic].add(&e)
}

func (t *tally) hour(h schemas.Hour) *[3]sums {
	if t.lastSums != nil && t.lastHour == h {
		return t.lastSums
	}
	s := t.hours[h]
	if s == nil {
		s = new([3]sums)
		t.hours[h] = s
	}
	t.lastHour, t.lastSums = h, s
	return s
}

func (t *tally) expected() *Expected {
	e := &Expected{From: t.cfg.From, Next: t.next, Records: t.next - t.cfg.From, Late: t.late, Duplicates: t.duplicates,
		Malformed: map[schemas.Reason]int64{}, Topics: map[schemas.Topic]Totals{}, Accounts: map[AccountKey]Totals{},
		Hours: map[HourKey]Totals{}, Statuses: map[StatusKey]Totals{}}
	for i, n := range t.malformed {
		if n > 0 {
			e.Malformed[spoils[i].reason] += n
		}
	}
	for i, topic := range schemas.Topics {
		if t.topics[i].events == 0 {
			continue
		}
		e.Topics[topic] = t.topics[i].totals()
		e.Counted += t.topics[i].events
		for account := range t.accounts[i] {
			if s := &t.accounts[i][account]; s.events > 0 {
				e.Accounts[AccountKey{topic, t.cfg.Account + strconv.Itoa(account)}] = s.totals()
			}
		}
		for slot := range t.statuses[i] {
			if s := &t.statuses[i][slot]; s.events > 0 {
				e.Statuses[StatusKey{topic, statusOf(i, slot)}] = s.totals()
			}
		}
		for hour, s := range t.hours {
			if s[i].events > 0 {
				e.Hours[HourKey{topic, hour}] = s[i].totals()
			}
		}
	}
	return e
}

func statusOf(topic, slot int) int32 {
	if topic == 2 {
		return 0
	}
	return statusList[slot]
}
