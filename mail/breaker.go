package mail

import "time"

// A library's breaker was looked at and does not fit: none doubles its open time,
// leaves a half-open state as it was after an answer that proves nothing, and
// takes the time from outside.

// BreakerState is what a breaker lets through.
type BreakerState string

const (
	Closed   BreakerState = "closed"    // everything
	Open     BreakerState = "open"      // nothing
	HalfOpen BreakerState = "half-open" // a probe
)

type result int

const (
	nothing result = iota // proves nothing about the provider
	success
	failure
)

const (
	rateSpan    = 60 * time.Second
	rateSlots   = 12
	rateAtLeast = 20
)

// breaker opens after failures in a row, or when half of at least 20 results
// within 60 s are failures. Its owner locks.
type breaker struct {
	cfg         BreakerConfig
	open        bool
	openUntil   time.Time
	openFor     time.Duration // the next time that it opens
	probes      int           // under way
	consecutive int
	generation  int // a ticket of another one says nothing any more
	slots       [rateSlots]rateSlot
}

type rateSlot struct {
	number        int64 // of its slice of time since 1970
	total, failed int
}

// ticket is the right to ask the provider once.
type ticket struct {
	generation int
	probe      bool
}

func newBreaker(cfg BreakerConfig) breaker {
	return breaker{cfg: cfg, openFor: cfg.OpenFor}
}

func (b *breaker) state(now time.Time) BreakerState {
	switch {
	case !b.open:
		return Closed
	case now.Before(b.openUntil):
		return Open
	}
	return HalfOpen
}

func (b *breaker) allow(now time.Time) (ticket, bool) {
	switch b.state(now) {
	case Closed:
		return ticket{generation: b.generation}, true
	case HalfOpen:
		if b.probes < b.cfg.Probes {
			b.probes++
			return ticket{b.generation, true}, true
		}
	}
	return ticket{}, false
}

// record takes a ticket back. Results of before the breaker last opened or
// closed are late, and change nothing.
func (b *breaker) record(now time.Time, t ticket, r result) {
	if t.generation != b.generation {
		return
	}
	if t.probe {
		b.probes--
	}
	switch r {
	case success:
		b.consecutive = 0
		if t.probe {
			*b = breaker{cfg: b.cfg, openFor: b.cfg.OpenFor, generation: b.generation + 1}
		}
		b.count(now, false)
	case failure:
		b.consecutive++
		b.count(now, true)
		if t.probe || b.consecutive >= b.cfg.Failures || b.halfFailed(now) {
			b.trip(now)
		}
	}
}

func (b *breaker) trip(now time.Time) {
	b.open, b.openUntil = true, now.Add(b.openFor)
	b.openFor = min(2*b.openFor, max(b.cfg.OpenForAtMost, b.cfg.OpenFor))
	b.probes = 0
	b.generation++
	b.slots = [rateSlots]rateSlot{}
}

func slotNumber(now time.Time) int64 { return now.UnixNano() / int64(rateSpan/rateSlots) }

func (b *breaker) count(now time.Time, failed bool) {
	n := slotNumber(now)
	slot := &b.slots[n%rateSlots]
	if slot.number != n {
		*slot = rateSlot{number: n}
	}
	slot.total++
	if failed {
		slot.failed++
	}
}

func (b *breaker) halfFailed(now time.Time) bool {
	oldest := slotNumber(now) - rateSlots
	total, failed := 0, 0
	for _, slot := range b.slots {
		if slot.number > oldest {
			total, failed = total+slot.total, failed+slot.failed
		}
	}
	return total >= rateAtLeast && 2*failed >= total
}
