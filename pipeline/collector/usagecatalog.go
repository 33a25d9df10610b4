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
	catalogFresh = time.Second     // how long a change of the catalog may go unseen
	catalogStale = 5 * time.Minute // how long it is used while the store does not answer
	maxCatalog   = 10_000          // customers; past it all are forgotten, and read again
)

// catalogCache remembers what was read of customers for a moment.
type catalogCache struct {
	store   *store.Store
	mu      sync.Mutex
	entries map[catalogKey]*catalogEntry
}

// catalogKey is a customer, or an account that may have one.
type catalogKey struct{ customer, account string }

// catalogEntry is read by one request at a time; the others wait for it.
type catalogEntry struct {
	mu  sync.Mutex
	at  time.Time // zero: it was never read
	use *store.UseCatalog
}

// of is the caller's part of the catalog: its customer's, else that of the one
// customer of its account; nil where there is none.
func (c *catalogCache) of(ctx context.Context, caller api.Caller, now time.Time) (*store.UseCatalog, error) {
	key := catalogKey{customer: caller.Customer}
	if key.customer == "" {
		key.account = caller.Account
	}
	c.mu.Lock()
	e := c.entries[key]
	if e == nil {
		if c.entries == nil || len(c.entries) >= maxCatalog {
			c.entries = map[catalogKey]*catalogEntry{}
		}
		e = &catalogEntry{}
		c.entries[key] = e
	}
	c.mu.Unlock()

	e.mu.Lock()
	defer e.mu.Unlock()
	age := now.Sub(e.at)
	if !e.at.IsZero() && age >= 0 && age < catalogFresh {
		return e.use, nil
	}
	use, err := c.read(ctx, key)
	if err != nil {
		if !e.at.IsZero() && age < catalogStale {
			return e.use, nil
		}
		return nil, err
	}
	e.at, e.use = now, use
	return use, nil
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
