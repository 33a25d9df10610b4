package mail

import (
	"testing"
	"time"
)

// drive is a breaker with a clock.
type drive struct {
	*testing.T
	breaker
	now time.Time
}

func newDrive(t *testing.T) *drive {
	return &drive{t, newBreaker(Defaults().Breaker), time.Unix(1_700_000_000, 0)}
}

// ask gets a ticket and reports r; it must be allowed or not.
func (d *drive) ask(r result, allowed bool) {
	d.Helper()
	ticket, ok := d.allow(d.now)
	if ok != allowed {
		d.Fatalf("allowed %v, want %v", ok, allowed)
	}
	if ok {
		d.record(d.now, ticket, r)
	}
}

func (d *drive) times(n int, r result) {
	d.Helper()
	for range n {
		d.ask(r, true)
	}
}

func (d *drive) want(state BreakerState) {
	d.Helper()
	if got := d.state(d.now); got != state {
		d.Fatalf("%s, want %s", got, state)
	}
}

func TestBreakerOpensAfterFiveInARow(t *testing.T) {
	d := newDrive(t)
	d.times(4, failure)
	d.times(3, nothing) // says nothing: the row goes on
	d.want(Closed)
	d.times(1, failure)
	d.want(Open)
	d.ask(success, false)
	d.now = d.now.Add(30*time.Second - 1)
	d.ask(success, false)
	d.now = d.now.Add(1)
	d.want(HalfOpen)
	d.ask(success, true)
	d.want(Closed)
	d.times(4, failure)
	d.want(Closed)
}

// The open time doubles from 30 s to 5 min, and begins anew once it was closed.
func TestBreakerDoubles(t *testing.T) {
	d := newDrive(t)
	d.times(5, failure)
	for _, seconds := range []int{30, 60, 120, 240, 300, 300} {
		open := time.Duration(seconds) * time.Second
		d.now = d.now.Add(open - 1)
		d.want(Open)
		d.now = d.now.Add(1)
		d.ask(failure, true) // the probe
	}
	d.now = d.now.Add(5 * time.Minute)
	d.ask(success, true)
	d.times(5, failure)
	d.now = d.now.Add(30 * time.Second)
	d.want(HalfOpen)
}

func TestBreakerHalfOfTwenty(t *testing.T) {
	d := newDrive(t)
	for range 9 {
		d.times(1, failure)
		d.times(1, success)
	}
	d.times(1, success)
	d.want(Closed)
	d.times(1, failure) // the 20th: half of them
	d.want(Open)

	d = newDrive(t)
	for range 8 { // the same, slower than 20 in a minute
		d.times(1, failure)
		d.times(1, success)
		d.now = d.now.Add(10 * time.Second)
	}
	for range 3 {
		d.times(1, failure)
		d.times(1, success)
	}
	d.want(Closed)
}

func TestBreakerProbes(t *testing.T) {
	d := newDrive(t)
	late, _ := d.allow(d.now)
	d.times(5, failure)
	d.record(d.now.Add(20*time.Second), late, failure) // of before it opened
	d.want(Open)
	d.now = d.now.Add(30 * time.Second)
	d.want(HalfOpen)
	probe, ok := d.allow(d.now)
	if !ok {
		t.Fatal("no probe")
	}
	d.ask(success, false) // one at a time
	d.record(d.now, probe, nothing)
	d.want(HalfOpen)
	d.ask(success, true)
	d.want(Closed)
}
