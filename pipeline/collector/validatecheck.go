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

// Reasons of a refusal beside those of the store.
const (
	quotaExceeded = "quota_exceeded"
	unknownKey    = "unknown_key" // in a batch; a single check is answered 401
)

// verdict says whether a request may be made.
type verdict struct {
	Allowed      bool             `json:"allowed"`
	Reason       string           `json:"reason,omitempty"`
	Customer     *string          `json:"customer"`
	Subscription *string          `json:"subscription"`
	Limit        *schemas.Decimal `json:"limit"` // null: no quota
	Used         schemas.Decimal  `json:"used"`
	Remaining    *schemas.Decimal `json:"remaining"` // null: no quota
	ResetsAt     *time.Time       `json:"resets_at"` // null: no quota, or one that never resets
}

// checker decides from memory: the catalog as catalogCache has it, at most
// catalogFresh behind, and quota use as useCache has it.
type checker struct {
	collector *Collector
	use       useCache

	mu      sync.Mutex
	version int64 // of the catalog that keys and routes are of
	keys    map[store.KeyHash]*store.Key
	routes  map[check]bool // whether they are registered, for those that have no subscription
}

const (
	maxCheckedKeys   = 100_000 // past it they are forgotten and looked up again
	maxCheckedRoutes = 100_000
)

// decideKey decides about a check of a batch; only is the one account that the
// answer may tell of, "" for all.
func (k *checker) decideKey(ctx context.Context, only string, c *check, now time.Time) (verdict, error) {
	if err := k.collector.catalog.refresh(ctx, now); err != nil {
		return verdict{}, err
	}
	hash := k.collector.cfg.Store.HashKey(*c.APIKey)
	key, err := k.key(ctx, hash)
	if err != nil {
		return verdict{}, err
	}
	if key == nil || only != "" && key.Account != only {
		k.collector.unknown.note(nil, hash)
		return verdict{Reason: unknownKey}, nil
	}
	caller := api.Caller{Role: key.Role, Account: key.Account, KeyID: key.ID, Customer: key.Customer}
	if key.Account == "" || key.Account == store.AnyAccount {
		return verdict{Reason: store.NoSubscription}, nil // an administrator's or a gateway's own
	}
	return k.decide(ctx, caller, c, now)
}

// key is a good key; nil: nobody has it. Keys that nobody has are not remembered.
func (k *checker) key(ctx context.Context, hash store.KeyHash) (*store.Key, error) {
	version := k.collector.catalog.known()
	k.mu.Lock()
	k.forget(version)
	key := k.keys[hash]
	k.mu.Unlock()
	if key != nil {
		return key, nil
	}
	found, err := k.collector.cfg.Store.KeyByHash(ctx, hash)
	if isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if version == k.version {
		k.keys[hash] = &found
	}
	return &found, nil
}

// forget makes room, and drops what was read of another version.
func (k *checker) forget(version int64) {
	if k.version != version || k.keys == nil {
		k.version, k.keys, k.routes = version, map[store.KeyHash]*store.Key{}, map[check]bool{}
	}
	if len(k.keys) >= maxCheckedKeys {
		k.keys = map[store.KeyHash]*store.Key{}
	}
	if len(k.routes) >= maxCheckedRoutes {
		k.routes = map[check]bool{}
	}
}

// decide is the decision about a caller.
func (k *checker) decide(ctx context.Context, caller api.Caller, c *check, now time.Time) (verdict, error) {
	entry, err := k.collector.catalog.entry(ctx, caller, now)
	if err != nil {
		return verdict{}, err
	}
	var v verdict
	if entry.use == nil || entry.use.Customer.Account != caller.Account {
		v.Reason, err = k.withoutRoute(ctx, c)
		return v, err
	}
	v.Customer = &entry.use.Customer.ID
	index, err := entry.indexed()
	if err != nil {
		return verdict{}, err
	}
	sub, inactive := index.find(c, now)
	switch {
	case sub == nil && inactive != nil:
		v.Reason, v.Subscription = store.InactiveSubscription, &inactive.ID
		return v, nil
	case sub == nil:
		v.Reason, err = k.withoutRoute(ctx, c)
		return v, err
	}
	v.Allowed, v.Subscription = true, &sub.ID
	if q := sub.meter; q != nil && (q.Route == "" || q.Route == c.Endpoint) {
		return v, k.quota(ctx, &v, sub, now)
	}
	return v, nil
}

// quota fills in what the quota says.
func (k *checker) quota(ctx context.Context, v *verdict, sub *indexedSubscription, now time.Time) error {
	period := sub.periodAt(now)
	used, err := k.use.of(ctx, store.QuotaPeriod{Quota: sub.meter.ID, Start: period.Start.UnixMicro()}, now)
	if err != nil {
		return err
	}
	if used.Cmp(schemas.Decimal{}) < 0 { // what was taken back had not been counted
		used = schemas.Decimal{}
	}
	remaining := sub.meter.Remaining(used)
	v.Limit, v.Used, v.Remaining = &sub.meter.Limit, used, &remaining
	if !period.End.IsZero() {
		v.ResetsAt = &period.End
	}
	if sub.meter.Hard && used.Cmp(sub.meter.Limit) >= 0 {
		v.Allowed, v.Reason = false, quotaExceeded
	}
	return nil
}

// withoutRoute is why there is no route among those of the caller's subscriptions.
func (k *checker) withoutRoute(ctx context.Context, c *check) (string, error) {
	key := check{APIName: c.APIName, Version: c.Version, Endpoint: c.Endpoint}
	version := k.collector.catalog.known()
	k.mu.Lock()
	k.forget(version)
	registered, known := k.routes[key]
	k.mu.Unlock()
	if !known {
		var err error
		if registered, err = k.collector.cfg.Store.HasAPIRoute(ctx, c.APIName, c.Version, c.Endpoint); err != nil {
			return "", err
		}
		k.mu.Lock()
		if k.version == version {
			k.routes[key] = registered
		}
		k.mu.Unlock()
	}
	if registered {
		return store.NoSubscription, nil
	}
	return store.UnknownRoute, nil
}

// useIndex finds a request's subscription in a customer's part of the catalog,
// by the rule of store.UseCatalog.Find, however many routes it has.
type useIndex struct {
	routes        map[[2]string][]*store.Route // by version and endpoint, in the catalog's order
	subscriptions map[[2]string][]*indexedSubscription
}

type indexedSubscription struct {
	*store.Subscription
	meter  *schemas.QuotaMeter            // nil: no quota
	period atomic.Pointer[schemas.Period] // that a check was in last
}

func (s *indexedSubscription) periodAt(now time.Time) schemas.Period {
	if p := s.period.Load(); p != nil && p.Has(now) {
		return *p
	}
	p := s.meter.Periods.At(now)
	s.period.Store(&p)
	return p
}

func (e *catalogEntry) indexed() (*useIndex, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.index != nil {
		return e.index, nil
	}
	x := &useIndex{routes: map[[2]string][]*store.Route{}, subscriptions: map[[2]string][]*indexedSubscription{}}
	for i := range e.use.Routes {
		r := &e.use.Routes[i]
		x.routes[[2]string{r.Version, r.Endpoint}] = append(x.routes[[2]string{r.Version, r.Endpoint}], r)
	}
	for i := range e.use.Subscriptions {
		sub := &e.use.Subscriptions[i]
		meter, err := sub.Meter(&e.use.Customer)
		if err != nil {
			return nil, err
		}
		key := [2]string{sub.API, sub.Version}
		x.subscriptions[key] = append(x.subscriptions[key], &indexedSubscription{Subscription: sub, meter: meter})
	}
	e.index = x
	return x, nil
}

// find is the subscription that holds at now, or else one that does not.
func (x *useIndex) find(c *check, now time.Time) (holds, inactive *indexedSubscription) {
	for _, endpoint := range []string{c.Endpoint, ""} {
		for _, r := range x.routes[[2]string{c.Version, endpoint}] {
			if c.APIName != "" && r.API != c.APIName {
				continue
			}
			for _, sub := range x.subscriptions[[2]string{r.API, r.Version}] {
				if sub.Active(now) {
					return sub, nil
				}
				inactive = sub // the latest
			}
		}
	}
	return nil, inactive
}
