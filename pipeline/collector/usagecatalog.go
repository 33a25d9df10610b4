package collector

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tallybook/api"
	"tallybook/store"
)

const (
	catalogFresh  = time.Second     // how long a change of the catalog may go unseen
	catalogStale  = 5 * time.Minute // how long it is used while the store does not answer
	maxCatalog    = 10_000          // customers that are remembered; past it, or past
	maxRemembered = 500_000         // routes of them, all are forgotten and read again
	maxKnownRoute = 100_000         // of routes without a subscription, as many
)

// catalogCache remembers what was read of customers and routes until the audit
// log, which is asked once in catalogFresh, names them.
type catalogCache struct {
	store *store.Store
	young api.Young

	mu         sync.RWMutex
	version    int64 // of what is remembered, or earlier
	entries    map[catalogKey]*catalogEntry
	size       int            // routes of all entries
	registered map[check]bool // routes that were asked about by customers without a subscription
}

func newCatalogCache(st *store.Store, now func() time.Time) *catalogCache {
	c := &catalogCache{store: st}
	c.young = api.Young{Read: c.refresh, Now: now, Every: catalogFresh / 2, Stale: catalogFresh, Away: catalogStale}
	return c
}

// catalogKey is a customer, or an account that may have one.
type catalogKey struct{ customer, account string }

// catalogEntry is read by one request; others wait for it.
type catalogEntry struct {
	mu   sync.Mutex
	read atomic.Pointer[useIndex] // nil: not yet
}

// of is the caller's part of the catalog: its customer's, else that of the one
// customer of its account; nil where there is none.
func (c *catalogCache) of(ctx context.Context, caller api.Caller) (*store.UseCatalog, error) {
	x, err := c.indexed(ctx, caller)
	if err != nil {
		return nil, err
	}
	return x.use, nil
}

// indexed is the same, to look up routes in.
func (c *catalogCache) indexed(ctx context.Context, caller api.Caller) (*useIndex, error) {
	if err := c.young.Ensure(ctx); err != nil {
		return nil, err
	}
	key := catalogKey{customer: caller.Customer}
	if key.customer == "" {
		key.account = caller.Account
	}
	c.mu.RLock()
	e := c.entries[key]
	c.mu.RUnlock()
	if e == nil {
		e = c.enter(key)
	}
	if x := e.read.Load(); x != nil {
		return x, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.read.Load(); x != nil {
		return x, nil
	}
	use, err := c.read(ctx, key)
	if err != nil {
		return nil, err
	}
	x := newUseIndex(use)
	e.read.Store(x)
	if use != nil {
		c.mu.Lock()
		c.size += len(use.Routes)
		c.mu.Unlock()
	}
	return x, nil
}

func (c *catalogCache) enter(key catalogKey) *catalogEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		if c.entries == nil || len(c.entries) >= maxCatalog || c.size > maxRemembered {
			c.entries, c.size = map[catalogKey]*catalogEntry{}, 0
		}
		e = &catalogEntry{}
		c.entries[key] = e
	}
	return e
}

// isRegistered reports whether there is a route that a check names.
func (c *catalogCache) isRegistered(ctx context.Context, k *check) (bool, error) {
	if err := c.young.Ensure(ctx); err != nil {
		return false, err
	}
	route := check{APIName: k.APIName, Version: k.Version, Endpoint: k.Endpoint}
	c.mu.RLock()
	is, known := c.registered[route]
	version := c.version
	c.mu.RUnlock()
	if known {
		return is, nil
	}
	is, err := c.store.HasAPIRoute(ctx, k.APIName, k.Version, k.Endpoint)
	if err != nil {
		return false, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.version == version {
		if c.registered == nil || len(c.registered) >= maxKnownRoute {
			c.registered = map[check]bool{}
		}
		c.registered[route.clone()] = is // its texts are parts of a body
	}
	return is, nil
}

// refresh forgets what has changed. It runs one at a time.
func (c *catalogCache) refresh(ctx context.Context) error {
	changes, err := c.store.Changes(ctx, c.version)
	if err != nil {
		return err
	}
	routes := changes.All
	customers, accounts := map[string]bool{}, map[string]bool{}
	for _, change := range changes.List {
		switch change.Noun {
		case "route":
			routes = true
		case "customer", "subscription":
			customers[change.Subject], accounts[change.Account] = true, true
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version = changes.Version
	if routes {
		c.entries, c.registered, c.size = nil, nil, 0
	}
	if len(accounts) == 0 {
		return nil
	}
	for key, e := range c.entries {
		x := e.read.Load()
		if x == nil || customers[key.customer] || accounts[key.account] || x.use != nil && accounts[x.use.Customer.Account] {
			delete(c.entries, key) // also one that somebody is reading: it may be of before
			if x != nil && x.use != nil {
				c.size -= len(x.use.Routes)
			}
		}
	}
	return nil
}

func (c *catalogCache) read(ctx context.Context, key catalogKey) (*store.UseCatalog, error) {
	if key.customer == "" {
		one, err := c.store.CustomerOfAccount(ctx, key.account)
		if isNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		key.customer = one.ID
	}
	use, err := c.store.UseOfCustomer(ctx, key.customer)
	if isNotFound(err) {
		return nil, nil
	}
	return &use, err
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
