package api

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tallybook/store"
)

// maxKeys bounds what is remembered of keys; past it all is forgotten, and
// found again in the store.
const maxKeys = 100_000

// KeysFresh is how long a revoked key may still work.
const KeysFresh = time.Second

// Keys remembers keys that were found, until the audit log names them. Unknown
// ones are not remembered: nobody can fill it without keys.
type Keys struct {
	store *store.Store
	now   func() time.Time
	young Young

	mu      sync.RWMutex
	version int64 // of the catalog: what is remembered is of it
	byHash  map[store.KeyHash]*knownKey
	hashes  map[string]store.KeyHash // by id
}

type knownKey struct {
	store.Key
	limiter limiter
}

// NewKeys starts nothing. now nil: time.Now.
func NewKeys(st *store.Store, now func() time.Time) *Keys {
	if now == nil {
		now = time.Now
	}
	k := &Keys{store: st, now: now}
	k.young = Young{Read: k.refresh, Now: now, Every: KeysFresh / 2, Stale: KeysFresh, Away: KeysFresh}
	return k
}

// Run keeps those who ask from waiting for the store; it ends with ctx.
func (k *Keys) Run(ctx context.Context) { k.young.Run(ctx) }

// Find is the key with the text's hash; store.ErrNotFound where nobody has it.
func (k *Keys) Find(ctx context.Context, hash store.KeyHash) (*store.Key, error) {
	known, err := k.find(ctx, hash)
	if err != nil {
		return nil, err
	}
	return &known.Key, nil
}

func (k *Keys) find(ctx context.Context, hash store.KeyHash) (*knownKey, error) {
	if err := k.young.Ensure(ctx); err != nil {
		return nil, err
	}
	k.mu.RLock()
	known, version := k.byHash[hash], k.version
	k.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	found, err := k.store.KeyByHash(ctx, hash)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if known := k.byHash[hash]; known != nil { // its limiter is shared
		return known, nil
	}
	known = &knownKey{Key: found}
	if k.version != version { // it may have been revoked behind our reading
		return known, nil
	}
	if k.byHash == nil || len(k.byHash) >= maxKeys {
		k.byHash, k.hashes = map[store.KeyHash]*knownKey{}, map[string]store.KeyHash{}
	}
	k.byHash[hash], k.hashes[found.ID] = known, hash
	return known, nil
}

// refresh forgets the keys that changed. It runs one at a time.
func (k *Keys) refresh(ctx context.Context) error {
	changes, err := k.store.Changes(ctx, k.version)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.version = changes.Version
	if changes.All {
		k.byHash, k.hashes = nil, nil
	}
	for _, c := range changes.List {
		if c.Noun == "key" {
			delete(k.byHash, k.hashes[c.Subject])
			delete(k.hashes, c.Subject)
		}
	}
	return nil
}

// limiter is a token bucket, a second's worth deep.
type limiter struct {
	mu     sync.Mutex
	bucket *rate.Limiter
}

// wait is how long the next request is too early; 0: it may pass. normal is the
// rate of keys without one of their own; 0: no limit.
func (k *knownKey) wait(normal float64, now time.Time) time.Duration {
	limit := normal
	if k.Rate > 0 {
		limit = k.Rate
	}
	if limit <= 0 {
		return 0
	}
	k.limiter.mu.Lock()
	defer k.limiter.mu.Unlock()
	if k.limiter.bucket == nil {
		k.limiter.bucket = rate.NewLimiter(rate.Limit(limit), max(1, int(limit)))
	}
	reservation := k.limiter.bucket.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay > 0 {
		reservation.CancelAt(now)
	}
	return delay
}
