package mailtest

import (
	"sync"
	"time"
)

// Clock is a clock that tests move. It begins at a fixed time.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock stands at 2019-01-22.
func NewClock() *Clock { return &Clock{now: time.Date(2019, 1, 22, 0, 0, 0, 0, time.UTC)} }

// Now is the clock's time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}
