package collector

import (
	"context"
	"errors"
	"sync"
	"time"

	"tallybook/api"
	"tallybook/store"
)

const (
	catalogFresh  = time.Second     // how long a change of the catalog may go unseen
	catalogStale  = 5 * time.Minute // how long it is used while the store does not answer
	maxCatalog    = 10_000          // customers that are remembered; past it, or past
	maxRemembered = 500_000         // routes of them, all are forgotten and read again
)

// catalogCache remembers what was read of customers until anything changes:
// once in catalogFresh it asks the store for the version of its catalog, however
// many customers there are.
type catalogCache struct {
	store    *store.Store
	checking sync.Mutex // held by who asks for the version

	mu      sync.Mutex
	entries map[catalogKey]*catalogEntry
	routes  int       // of all entries
	version int64     // of what entries were read from, or earlier
	checked time.Time // when that was the version; zero: never
}

// catalogKey is a customer, or an account that may have one.
type catalogKey struct{ customer, account string }

// catalogEntry is read by one request; others wait for it.
type catalogEntry struct {
	mu    sync.Mutex
	read  bool
	use   *store.UseCatalog
	index *useIndex // of use, for checks; nil: nobody checked yet
}

// of is the caller's part of the catalog: its customer's, else that of the one
// customer of its account; nil where there is none.
func (c *catalogCache) of(ctx context.Context, caller api.Caller, now time.Time) (*store.UseCatalog, error) {
	e, err := c.entry(ctx, caller, now)
	if err != nil {
		return nil, err
	}
	return e.use, nil
}

// entry is what is remembered of the caller, read.
func (c *catalogCache) entry(ctx context.Context, caller api.Caller, now time.Time) (*catalogEntry, error) {
	if err := c.refresh(ctx, now); err != nil {
		return nil, err
	}
	key := catalogKey{customer: caller.Customer}
	if key.customer == "" {
		key.account = caller.Account
	}
	c.mu.Lock()
	e := c.entries[key]
	if e == nil {
		if c.entries == nil || len(c.entries) >= maxCatalog || c.routes > maxRemembered {
			c.entries, c.routes = map[catalogKey]*catalogEntry{}, 0
		}
		e = &catalogEntry{}
		c.entries[key] = e
	}
	c.mu.Unlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.read {
		return e, nil
	}
	use, err := c.read(ctx, key)
	if err != nil {
		return nil, err
	}
	e.read, e.use = true, use
	if use != nil {
		c.mu.Lock()
		c.routes += len(use.Routes)
		c.mu.Unlock()
	}
	return e, nil
}

// known is the version of what is remembered.
func (c *catalogCache) known() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.version
}

// refresh forgets everything where the catalog has changed. While one request
// asks, others use what is known, if that is not too old.
func (c *catalogCache) refresh(ctx context.Context, now time.Time) error {
	age, known := c.age(now)
	if known && age < catalogFresh {
		return nil
	}
	usable := known && age < catalogStale
	if usable && !c.checking.TryLock() {
		return nil
	} else if !usable {
		c.checking.Lock()
	}
	defer c.checking.Unlock()
	if age, known := c.age(now); known && age < catalogFresh { // somebody asked meanwhile
		return nil
	}
	version, err := c.store.CatalogVersion(ctx)
	if err != nil {
		if usable {
			return nil
		}
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if version != c.version {
		c.entries, c.routes = nil, 0
	}
	c.version, c.checked = version, now
	return nil
}

// age is how long ago the version was asked for.
func (c *catalogCache) age(now time.Time) (age time.Duration, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return now.Sub(c.checked).Abs(), !c.checked.IsZero()
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
