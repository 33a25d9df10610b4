package store

import (
	"context"
	"fmt"
	"time"
)

// subscriptions brings a customer's to what its list says.
func (a *applier) subscriptions(ctx context.Context, at string, c *Customer, list []CatalogSubscription) error {
	rows, err := a.w.conn.QueryContext(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions WHERE customer = ? ORDER BY starts_at, id`, c.ID)
	is, err := scanAll(rows, err, scanSubscription)
	if err != nil {
		return err
	}
	for i := range list {
		if err := a.subscription(ctx, fmt.Sprintf("%ssubscriptions[%d].", at, i), c, is, &list[i]); err != nil {
			return err
		}
	}
	for i := range is {
		if a.o.Prune && !a.seen[is[i].ID] && !is[i].over(a.now()) {
			a.seen[is[i].ID] = true
			if err := a.endSubscription(ctx, a.w, a.o.Actor, c, &is[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// over reports whether the subscription has ended.
func (sub *Subscription) over(now time.Time) bool {
	return !sub.EndsAt.IsZero() && !sub.EndsAt.After(now)
}

// subscription makes one, changes it or ends it; is are those that were there. A
// new one may have ended: who begins in the past may end there.
func (a *applier) subscription(ctx context.Context, at string, c *Customer, is []Subscription, f *CatalogSubscription) error {
	old := findSubscription(is, f, a.now())
	if old == nil {
		if f.Unsubscribed {
			return nil
		}
		sub := Subscription{API: f.API, Version: f.Version, PricingModel: f.PricingModel, StartsAt: f.StartsAt, EndsAt: f.EndsAt, Quota: f.Quota}
		if err := a.subscribe(ctx, a.w, a.o.Actor, c, &sub, at); err != nil {
			return subscribedAt(at, err)
		}
		a.seen[sub.ID] = true
		return nil
	}
	if err := a.once(at+"apiName", old.ID, "the subscription to %s %s", f.API, f.Version); err != nil {
		return err
	}
	if f.PricingModel != "" && f.PricingModel != old.PricingModel {
		return fieldError(at+"pricingModelName", "%spricingModelName: the subscription to %s %s is by %s, and stays so; end it, and subscribe anew from then on",
			at, f.API, f.Version, old.PricingModel)
	}
	if f.Unsubscribed {
		return a.endSubscription(ctx, a.w, a.o.Actor, c, old)
	}
	return a.updateSubscription(ctx, a.w, a.o.Actor, c, old, &f.SubscriptionUpdate, at)
}

// findSubscription is the one that is meant: that which begins at StartsAt, or
// the first that has not ended.
func findSubscription(is []Subscription, f *CatalogSubscription, now time.Time) *Subscription {
	for i := range is {
		sub := &is[i]
		if sub.API == f.API && sub.Version == f.Version &&
			(sub.StartsAt.Equal(f.StartsAt) || f.StartsAt.IsZero() && !sub.over(now)) {
			return sub
		}
	}
	return nil
}

func subscribedAt(at string, err error) error {
	if twice, ok := err.(*SubscribedError); ok {
		return fieldError(at+"startsAt", "%sstartsAt: there is another subscription to %s %s at that time; end it first, or name its startsAt", at, twice.API, twice.Version)
	}
	return err
}

// countOthers counts what the catalog does not name.
func (a *applier) countOthers(ctx context.Context) error {
	o := &a.done.Others
	for _, c := range []struct {
		n     *int
		query string
		args  []any
	}{{&o.Routes, `SELECT id FROM routes`, nil}, {&o.Customers, `SELECT id FROM customers`, nil},
		{&o.Subscriptions, `SELECT id FROM subscriptions WHERE ends_at IS NULL OR ends_at > ?`, []any{a.now().UnixMicro()}}} {
		rows, err := a.w.conn.QueryContext(ctx, c.query, c.args...)
		ids, err := scanAll(rows, err, scanOne[string])
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !a.seen[id] {
				*c.n++
			}
		}
	}
	return nil
}
