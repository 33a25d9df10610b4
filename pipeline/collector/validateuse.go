package collector

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

const (
	useFresh = 200 * time.Millisecond // how old quota use may be before it is read again
	useStale = time.Second            // how old it may be while somebody does so
	useAway  = 30 * time.Second       // and while the store does not answer
	maxUses  = 200_000                // that are remembered; past it all are forgotten
)

// useCache remembers what was used of the quotas that are asked about. What was
// asked about since the last time is read again together, by the one request
// that finds it too old; the others go on with what is there.
type useCache struct {
	store   *store.Store
	reading sync.Mutex
	readAt  atomic.Int64 // µs

	mu      sync.RWMutex
	entries map[store.QuotaPeriod]*useEntry
}

type useEntry struct {
	used  atomic.Pointer[schemas.Decimal]
	asked atomic.Bool
}

func (c *useCache) of(ctx context.Context, key store.QuotaPeriod, now time.Time) (schemas.Decimal, error) {
	if err := c.refresh(ctx, now); err != nil {
		return schemas.Decimal{}, err
	}
	c.mu.RLock()
	e := c.entries[key]
	c.mu.RUnlock()
	if e == nil {
		uses, err := c.store.QuotaUses(ctx, []store.QuotaPeriod{key})
		if err != nil {
			return schemas.Decimal{}, err
		}
		used := uses[key]
		e = &useEntry{}
		e.used.Store(&used)
		c.mu.Lock()
		if c.entries == nil || len(c.entries) >= maxUses {
			c.entries = map[store.QuotaPeriod]*useEntry{}
		}
		c.entries[key] = e
		c.mu.Unlock()
	}
	if !e.asked.Load() { // the line is shared by all who ask
		e.asked.Store(true)
	}
	return *e.used.Load(), nil
}

func (c *useCache) refresh(ctx context.Context, now time.Time) error {
	age := c.age(now)
	if age < useFresh {
		return nil
	}
	if usable := age < useStale; usable && !c.reading.TryLock() {
		return nil
	} else if !usable {
		c.reading.Lock()
	}
	defer c.reading.Unlock()
	if age = c.age(now); age < useFresh { // somebody read meanwhile
		return nil
	}
	keys := c.askedSince()
	uses, err := c.store.QuotaUses(ctx, keys)
	if err != nil {
		c.ask(keys)
		if age < useAway {
			return nil
		}
		return err
	}
	c.mu.RLock()
	for _, key := range keys {
		if e := c.entries[key]; e != nil {
			used := uses[key]
			e.used.Store(&used)
		}
	}
	c.mu.RUnlock()
	c.readAt.Store(now.UnixMicro())
	return nil
}

// age also takes a clock that went back for too old.
func (c *useCache) age(now time.Time) time.Duration {
	return time.Duration(now.UnixMicro()-c.readAt.Load()).Abs() * time.Microsecond
}

// askedSince are the periods that were asked about; the others are forgotten.
func (c *useCache) askedSince() []store.QuotaPeriod {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]store.QuotaPeriod, 0, len(c.entries))
	for key, e := range c.entries {
		if e.asked.Swap(false) {
			keys = append(keys, key)
		} else {
			delete(c.entries, key)
		}
	}
	return keys
}

func (c *useCache) ask(keys []store.QuotaPeriod) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, key := range keys {
		if e := c.entries[key]; e != nil {
			e.asked.Store(true)
		}
	}
}
