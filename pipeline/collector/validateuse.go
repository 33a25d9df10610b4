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
	maxUses  = 200_000                // that are remembered; past it all are forgotten
)

// useCache remembers what was used of the quotas that are asked about. What was
// asked about since the last time is read again together.
type useCache struct {
	store *store.Store
	young api.Young

	mu      sync.RWMutex
	entries map[store.QuotaPeriod]*useEntry
}

type useEntry struct {
	used  atomic.Pointer[schemas.Decimal]
	asked atomic.Bool
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

func (c *useCache) refresh(ctx context.Context) error {
	keys := c.askedSince()
	uses, err := c.store.QuotaUses(ctx, keys)
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, key := range keys {
		e := c.entries[key]
		switch {
		case e == nil: // forgotten meanwhile
		case err != nil:
			e.asked.Store(true)
		default:
			used := uses[key]
			e.used.Store(&used)
		}
	}
	return err
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
