package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tallybook/store"
)

// maxKeys bounds what is remembered of keys; past it all is forgotten, and
// found again in the store.
const maxKeys = 10_000

// keyCache remembers keys that were found. Unknown ones are not remembered:
// nobody can fill it without keys.
type keyCache struct {
	mu   sync.RWMutex
	keys map[store.KeyHash]cachedKey
}

type cachedKey struct {
	key   store.Key
	until time.Time
}

func (c *keyCache) get(hash store.KeyHash, now time.Time) (store.Key, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok := c.keys[hash]
	return k.key, ok && now.Before(k.until)
}

func (c *keyCache) put(hash store.KeyHash, k store.Key, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys == nil || len(c.keys) >= maxKeys {
		c.keys = map[store.KeyHash]cachedKey{}
	}
	c.keys[hash] = cachedKey{k, until}
}

// limiters are token buckets by key, a second's worth deep.
type limiters struct {
	mu   sync.Mutex
	keys map[string]*rate.Limiter
}

// wait is how long the key's next request is too early; 0: it may pass.
func (l *limiters) wait(k store.Key, normal float64, now time.Time) time.Duration {
	limit := normal
	if k.Rate > 0 {
		limit = k.Rate
	}
	if limit <= 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.keys[k.ID]
	if lim == nil || lim.Limit() != rate.Limit(limit) {
		if l.keys == nil || len(l.keys) >= maxKeys {
			l.keys = map[string]*rate.Limiter{}
		}
		lim = rate.NewLimiter(rate.Limit(limit), max(1, int(limit)))
		l.keys[k.ID] = lim
	}
	res := lim.ReserveN(now, 1)
	delay := res.DelayFrom(now)
	if delay > 0 {
		res.CancelAt(now)
	}
	return delay
}
