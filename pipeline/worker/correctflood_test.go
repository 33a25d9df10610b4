package worker

import (
	"fmt"
	"testing"
	"time"
)

// floodSize is how many corrections a flood has; 100,000 were measured too.
const floodSize = 10_000

// A flood of corrections of old events, of many dates and files, goes on, in
// batches of bounded size, and leaves nothing behind but what it says.
func TestFloodOfCorrections(t *testing.T) {
	r, b := newRig(t), newBook(t)
	for i := range floodSize {
		at := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i*7919%(60*24)) * time.Hour).Format(time.RFC3339)
		b.event(eventKey(fmt.Sprint("acct-", i%50), fmt.Sprint("e", i)), at, modelData{fmt.Sprint("/", i%5), int64(i % 100), 1})
	}
	r.produce(b.messages...)
	began := time.Now()
	r.start(func(c *Config) { c.BatchEvents, c.Interval = floodSize/8, time.Second }).drain()
	t.Logf("%d events in %v", floodSize, time.Since(began))
	b.messages = nil
	for i := range floodSize {
		key := eventKey(fmt.Sprint("acct-", i%50), fmt.Sprint("e", i))
		switch i % 4 {
		case 0:
			b.correct(fmt.Sprint("f", i), key, 1, nil)
		case 1:
			b.correct(fmt.Sprint("f", i), eventKey(key.Account, "none of "+key.ID), 1, nil)
		default:
			b.correct(fmt.Sprint("f", i), key, 1, &modelData{"/new", int64(i % 10), 2})
		}
	}
	r.produce(b.messages...)
	began = time.Now()
	r.start(func(c *Config) { c.BatchEvents, c.Interval, c.BatchDays = 1<<16, time.Second, 1000 }).drain()
	t.Logf("%d corrections in %v", floodSize, time.Since(began))
	b.holds(r)
}
