package producer

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"

	"github.com/segmentio/kafka-go"

	"tallybook/schemas"
)

// synth makes record i of a configuration: integers only, so that every
// machine makes the same.
type synth struct {
	cfg        *GenerateConfig
	seed       uint64
	malformed  uint64 // of 2^32: below it a record is malformed …
	duplicate  uint64 // … below this a duplicate
	errors     uint64 // of 2^32 good events
	emails     uint64
	late       uint64
	start      int64 // µs
	perDay     int64 // Wide
	perRecord  float64
	routes     [][]byte // data from "api" to "status":
	statuses   []int32  // drawn from alike
	statusSlot []uint8  // index of each in statusList
}

var (
	statusList = []int32{200, 201, 204, 304, 400, 404, 429, 500, 503}
	denseShare = []int{704, 96, 64, 48, 32, 48, 8, 16, 8} // of 1024
	mailEvents = []string{"accepted", "delivered", "opened", "clicked", "failed"}
)

func newSynth(cfg *GenerateConfig) *synth {
	g := &synth{cfg: cfg, seed: mix(cfg.Seed ^ 0x7461_6c6c_7962_6f6f), start: cfg.Start.UnixMicro(), perDay: wideOpenDay,
		malformed: fraction(cfg.MalformedShare), errors: fraction(cfg.ErrorShare), late: fraction(cfg.LateShare)}
	g.duplicate = fraction(cfg.MalformedShare + cfg.DuplicateShare)
	g.emails = fraction(cfg.ErrorShare + cfg.EmailShare)
	if cfg.Events > 0 {
		g.perDay = (cfg.Events + wideDays - 1) / wideDays
	}
	if cfg.Rate > 0 {
		g.perRecord = 1e6 / cfg.Rate
	}
	for r := range cfg.Routes {
		g.routes = append(g.routes, route(r))
	}
	for slot, status := range statusList {
		n := 1
		if cfg.Shape != Wide {
			n = denseShare[slot]
		}
		for range n {
			g.statuses, g.statusSlot = append(g.statuses, status), append(g.statusSlot, uint8(slot))
		}
	}
	return g
}

func fraction(share float64) uint64 { return uint64(math.Round(share * (1 << 32))) }

// route is one of an API's endpoints.
func route(r int) []byte {
	apis := []string{"orders", "users", "search", "billing", "files", "reports", "devices", "messages"}
	methods := []string{"GET", "GET", "POST", "PUT", "GET", "DELETE"}
	api, n := apis[r%len(apis)], r/len(apis)
	endpoint := "/" + api + []string{"", "/{id}", "/{id}/items", "/{id}/items/{id}", "/{id}/history"}[n%5]
	if n >= 5 {
		endpoint += "/part-" + strconv.Itoa(n/5)
	}
	return fmt.Appendf(nil, `{"api":"%s","version":"v%d","endpoint":"%s","method":"%s","status":`, api, 1+n%2, endpoint, methods[n%len(methods)])
}

// mix is splitmix64's finisher, a bijection.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// random is a sequence of numbers that belongs to one record and one purpose.
type random uint64

func (g *synth) random(i int64, purpose uint64) random {
	return random(mix(g.seed+purpose) + uint64(i)*0x9e3779b97f4a7c15)
}

func (r *random) next() uint64 {
	x := mix(uint64(*r))
	*r += 0xd1342543de82ef95
	return x
}

// below is a number in [0, n).
func (r *random) below(n int64) int64 {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int64(hi)
}

// skewed is a number in [0, n), the share of k about 1/(k+1).
func (r *random) skewed(n int64) int64 {
	x := r.next()
	width := bits.Len64(uint64(n))
	k, _ := bits.Mul64(x, uint64(width))
	v := int64(1)<<k - 1 + int64(x&(1<<k-1))
	if v >= n {
		v -= n
	}
	return v
}

// kind of a record by its number alone.
type kind uint8

const (
	original kind = iota
	duplicate
	malformed
)

func (g *synth) kind(i int64) kind {
	r := g.random(i, 1)
	switch x := r.next() >> 32; {
	case x < g.malformed:
		return malformed
	case x < g.duplicate:
		return duplicate
	}
	return original
}

// resolve says what record i is, and of which event: for a duplicate that is an
// original before it. The first records have none before them.
func (g *synth) resolve(i int64) (k kind, of int64) {
	k = g.kind(i)
	if k != duplicate {
		return k, i
	}
	r := g.random(i, 2)
	lag := min(i, duplicateLag)
	if lag == 0 {
		return original, i
	}
	j := i - 1 - r.below(lag)
	for ; j >= i-lag; j-- {
		if g.kind(j) == original {
			return duplicate, j
		}
	}
	return original, i
}

// sample is an event before it is text. Latency and quantity are in
// thousandths.
type sample struct {
	topic                    int // index into schemas.Topics
	account, route           int64
	slot                     uint8 // into statusList
	status                   int32
	time                     int64
	latency, bytes, quantity int64
	late                     bool
	mail                     int
	rest                     uint64
}

// event is the event that record i would be as an original, or what it is
// spoiled from.
func (g *synth) event(i int64, k kind) sample {
	r := g.random(i, 3)
	var e sample
	switch x := r.next() >> 32; {
	case k == malformed: // all of them are spoiled requests
	case x < g.errors:
		e.topic = 1
	case x < g.emails:
		e.topic = 2
	}
	if g.cfg.Shape == Wide {
		e.account, e.route = r.below(int64(g.cfg.Accounts)), r.below(int64(len(g.routes)))
	} else {
		e.account, e.route = r.skewed(int64(g.cfg.Accounts)), r.skewed(int64(len(g.routes)))
	}
	pick := r.below(int64(len(g.statuses)))
	e.slot, e.status = g.statusSlot[pick], g.statuses[pick]
	e.time = g.time(i, &r)
	x := r.next()
	if e.late = x>>32 < g.late; e.late {
		e.time -= 3_600_000_000 + r.below(71*3_600_000_000)
	}
	e.quantity = 1000
	switch e.rest = r.next(); e.topic {
	case 0:
		e.latency = 500 + int64(x&0x3fff)*(1+int64(x>>14&7)*int64(x>>17&3))
		e.bytes = int64(x >> 20 & 0xfff)
		if e.rest>>60 == 0 {
			e.quantity = int64(e.rest>>40&0x3fff) + 1
		}
	case 1:
		if e.status < 400 {
			e.slot, e.status = 7, 500
		}
	case 2:
		e.mail, e.slot, e.status = int(e.rest>>40)%len(mailEvents), 0, 0
	}
	return e
}

func (g *synth) time(i int64, r *random) int64 {
	const hour, day = 3_600_000_000, 24 * 3_600_000_000
	switch g.cfg.Shape {
	case Wide:
		return g.start + i/g.perDay%wideDays*day + r.below(day)
	case Live:
		return g.start + int64(float64(i)*g.perRecord)
	}
	return g.start + r.below(hour)
}

// record appends record i to b and returns it; the message's key and value are
// views of b.
func (g *synth) record(b []byte, i int64) ([]byte, kafka.Message) {
	k, of := g.resolve(i)
	e := g.event(of, k)
	start := len(b)
	b = append(b, g.cfg.Account...)
	b = strconv.AppendInt(b, e.account, 10)
	value := len(b)
	b = g.render(b, of, &e, b[start:value])
	if k == malformed {
		b = spoil(b, value, g.spoilOf(i))
	}
	m := kafka.Message{Topic: string(schemas.Topics[e.topic]), Key: b[start:value:value]}
	if len(b) > value {
		m.Value = b[value:len(b):len(b)]
	}
	return b, m
}
