package collector

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	useEvery = 200 * time.Millisecond // quota use is read again so often
	useFresh = 600 * time.Millisecond // how old it may be
	useAway  = 30 * time.Second       // and while the store does not answer
	useIdle  = 10 * time.Second       // after it, what nobody asks about is forgotten
	maxUses  = 200_000                // that are remembered; past it all are forgotten
)

// useCache remembers what was used of the quotas that are asked about. What was
// asked about since the last time is read again together; what was not, half as
// often, so that customers who ask every few seconds do not wait for the store.
type useCache struct {
	store *store.Store
	young api.Young

	mu      sync.RWMutex
	entries map[store.QuotaPeriod]*useEntry
}

type useEntry struct {
	used  atomic.Pointer[schemas.Decimal]
	asked atomic.Bool

	askedAt, readAt int64 // µs; of whoever reads again
}

func newUseCache(st *store.Store, now func() time.Time) *useCache {
	c := &useCache{store: st}
	c.young = api.Young{Read: c.refresh, Now: now, Every: useEvery, Stale: useFresh, Away: useAway}
	return c
}

func (c *useCache) of(ctx context.Context, key store.QuotaPeriod) (schemas.Decimal, error) {
	if err := c.young.Ensure(ctx); err != nil {
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
		now := c.young.Now().UnixMicro()
		e = &useEntry{askedAt: now, readAt: now}
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

func (c *useCache) refresh(ctx context.Context) error {
	now := c.young.Now().UnixMicro()
	keys := c.due(now)
	uses, err := c.store.QuotaUses(ctx, keys)
	if err != nil {
		return err // they are due still
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, key := range keys {
		if e := c.entries[key]; e != nil {
			used := uses[key]
			e.used.Store(&used)
			e.readAt = now
		}
	}
	return nil
}

// due are the periods to read again: those that were asked about since the last
// time, and of the others those that were not read then.
func (c *useCache) due(now int64) []store.QuotaPeriod {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]store.QuotaPeriod, 0, len(c.entries))
	for key, e := range c.entries {
		asked := e.asked.Swap(false)
		if asked {
			e.askedAt = now
		}
		switch {
		case now-e.askedAt > useIdle.Microseconds():
			delete(c.entries, key)
		case asked || now-e.readAt > useEvery.Microseconds()*3/2:
			keys = append(keys, key)
		}
	}
	return keys
}
