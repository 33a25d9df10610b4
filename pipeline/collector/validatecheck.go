package collector

import (
	"context"
	"strings"
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

// checker decides from memory: keys and catalog, at most a second behind, and
// quota use as useCache has it.
type checker struct {
	collector *Collector
	catalog   *catalogCache
	keys      *api.Keys
	use       *useCache
}

func newChecker(c *Collector) *checker {
	k := &checker{collector: c, catalog: c.catalog, keys: c.cfg.Keys, use: newUseCache(c.cfg.Store, c.cfg.Now)}
	if k.keys == nil {
		k.keys = api.NewKeys(c.cfg.Store, c.cfg.Now)
	}
	return k
}

// decideKey decides about a check of a batch; only is the one account that the
// answer may tell of, "" for all.
func (k *checker) decideKey(ctx context.Context, only string, c *check, now time.Time) (verdict, error) {
	hash := k.collector.cfg.Store.HashKey(*c.APIKey)
	key, err := k.keys.Find(ctx, hash)
	if err != nil && !isNotFound(err) {
		return verdict{}, err
	}
	if key == nil || only != "" && key.Account != only {
		k.collector.unknown.note(nil, hash)
		return verdict{Reason: unknownKey}, nil
	}
	if key.Account == "" || key.Account == store.AnyAccount {
		return verdict{Reason: store.NoSubscription}, nil // an administrator's or a gateway's own
	}
	caller := api.Caller{Role: key.Role, Account: key.Account, KeyID: key.ID, Customer: key.Customer}
	return k.decide(ctx, caller, c, now)
}

// decide is the decision about a caller.
func (k *checker) decide(ctx context.Context, caller api.Caller, c *check, now time.Time) (v verdict, err error) {
	index, err := k.catalog.indexed(ctx, caller)
	if err != nil {
		return v, err
	}
	if index.use == nil || index.use.Customer.Account != caller.Account {
		v.Reason, err = k.withoutRoute(ctx, c)
		return v, err
	}
	v.Customer = index.use.Customer.ID
	sub, inactive := index.find(c, now)
	switch {
	case sub == nil && inactive != nil:
		v.Reason, v.Subscription = store.InactiveSubscription, inactive.ID
		return v, nil
	case sub == nil:
		v.Reason, err = k.withoutRoute(ctx, c)
		return v, err
	case sub.err != nil:
		return v, sub.err
	}
	v.Allowed, v.Subscription = true, sub.ID
	if q := sub.meter; q != nil && (q.Route == "" || q.Route == c.Endpoint) {
		return v, k.quota(ctx, &v, sub, now)
	}
	return v, nil
}

// quota fills in what the quota says.
func (k *checker) quota(ctx context.Context, v *verdict, sub *indexedSubscription, now time.Time) error {
	period := sub.periodAt(now)
	used, err := k.use.of(ctx, store.QuotaPeriod{Quota: sub.meter.ID, Start: period.Start.UnixMicro()})
	if err != nil {
		return err
	}
	if used.Cmp(schemas.Decimal{}) < 0 { // what was taken back had not been counted
		used = schemas.Decimal{}
	}
	v.HasQuota, v.Limit, v.Used, v.Remaining, v.ResetsAt = true, sub.meter.Limit, used, sub.meter.Remaining(used), period.End
	if sub.meter.Hard && used.Cmp(sub.meter.Limit) >= 0 {
		v.Allowed, v.Reason = false, quotaExceeded
	}
	return nil
}

// withoutRoute is why there is no route among those of the caller's subscriptions.
func (k *checker) withoutRoute(ctx context.Context, c *check) (string, error) {
	registered, err := k.catalog.isRegistered(ctx, c)
	if registered {
		return store.NoSubscription, err
	}
	return store.UnknownRoute, err
}

// useIndex finds a request's subscription in a customer's part of the catalog,
// by the rule of store.UseCatalog.Find, however many routes it has.
type useIndex struct {
	use           *store.UseCatalog            // nil: there is no such customer
	routes        map[[2]string][]*store.Route // by version and endpoint, in the catalog's order
	subscriptions map[[2]string][]*indexedSubscription
}

type indexedSubscription struct {
	*store.Subscription
	meter  *schemas.QuotaMeter            // nil: no quota
	err    error                          // what is wrong with the quota
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

func newUseIndex(use *store.UseCatalog) *useIndex {
	x := &useIndex{use: use, routes: map[[2]string][]*store.Route{}, subscriptions: map[[2]string][]*indexedSubscription{}}
	if use == nil {
		return x
	}
	for i := range use.Routes {
		r := &use.Routes[i]
		x.routes[[2]string{r.Version, r.Endpoint}] = append(x.routes[[2]string{r.Version, r.Endpoint}], r)
	}
	for i := range use.Subscriptions {
		sub := &indexedSubscription{Subscription: &use.Subscriptions[i]}
		sub.meter, sub.err = sub.Meter(&use.Customer)
		key := [2]string{sub.API, sub.Version}
		x.subscriptions[key] = append(x.subscriptions[key], sub)
	}
	return x
}

// find is the subscription that holds at now, or else one that does not.
func (x *useIndex) find(c *check, now time.Time) (holds, inactive *indexedSubscription) {
	for _, endpoint := range [...]string{c.Endpoint, ""} {
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

func (k *check) clone() check {
	return check{APIName: strings.Clone(k.APIName), Version: strings.Clone(k.Version), Endpoint: strings.Clone(k.Endpoint)}
}
