package store

import (
	"context"
	"fmt"
)

// UseCatalog is what deciding about one request of a customer needs.
type UseCatalog struct {
	Customer      Customer
	Subscriptions []Subscription // ended ones too: an event counts at its own time
	Routes        []Route        // of the API versions of Subscriptions, without prices
}

// maxUseRoutes bounds the routes that are read for one customer.
const maxUseRoutes = 100_000

// UseOfCustomer reads a customer's part of the catalog; ErrNotFound.
func (s *Store) UseOfCustomer(ctx context.Context, id string) (UseCatalog, error) {
	var u UseCatalog
	err := s.View(ctx, func(v *View) (err error) {
		if u.Customer, err = readCustomer(ctx, v.tx, id); err != nil {
			return err
		}
		u.Subscriptions, err = collect(v, scanSubscription, `SELECT `+subscriptionColumns+` FROM subscriptions
			WHERE customer = ? ORDER BY api, version, starts_at`, id)
		if err != nil {
			return err
		}
		u.Routes, err = collect(v, scanRoute, `SELECT DISTINCT r.id, r.api, r.version, r.endpoint, r.created_at
			FROM subscriptions s JOIN routes r ON r.api = s.api AND r.version = s.version
			WHERE s.customer = ? ORDER BY r.api, r.version, r.endpoint LIMIT ?`, id, maxUseRoutes)
		return err
	})
	if err != nil {
		return UseCatalog{}, fmt.Errorf("catalog of customer %s: %w", id, err)
	}
	return u, nil
}

// CustomerOfAccount is the customer of an account that has exactly one;
// ErrNotFound else.
func (s *Store) CustomerOfAccount(ctx context.Context, account string) (Customer, error) {
	list, err := s.Customers(ctx, CustomerFilter{Account: account, Limit: 2})
	if err == nil && len(list) != 1 {
		err = ErrNotFound
	}
	if err != nil {
		return Customer{}, fmt.Errorf("customer of account %s: %w", account, err)
	}
	return list[0], nil
}

// HasRoute reports whether an endpoint is registered (also by a route of every
// endpoint of its API version): of a version, or of any (""); of the API
// versions that customers of an account ever subscribed to, or of all ("").
func (s *Store) HasRoute(ctx context.Context, account, version, endpoint string) (bool, error) {
	where := filter{}
	where.add(`endpoint IN (?, '')`, endpoint)
	if version != "" {
		where.add(`version = ?`, version)
	}
	if account != "" {
		where.add(`EXISTS (SELECT 1 FROM customers c JOIN subscriptions s ON s.customer = c.id
			WHERE c.account = ? AND s.api = routes.api AND s.version = routes.version)`, account)
	}
	var has bool
	err := s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM routes`+where.sql()+`)`, where.args...).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for a route: %w", engineError(err))
	}
	return has, nil
}

// Find is the route that a request is of: the endpoint's own before one of every
// endpoint; an API version with a subscription that holds, by active, before
// others. api "" stands for any. ok is false where no route fits.
func (u *UseCatalog) Find(api, version, endpoint string, active func(*Subscription) bool) (r *Route, sub *Subscription, ok bool) {
	best := -1
	for i := range u.Routes {
		at := &u.Routes[i]
		if at.Version != version || api != "" && at.API != api || at.Endpoint != "" && at.Endpoint != endpoint {
			continue
		}
		holds := u.subscription(at.API, at.Version, active)
		score := 0
		if at.Endpoint != "" {
			score++
		}
		if holds != nil {
			score += 2
		}
		if score > best {
			r, sub, best = at, holds, score
		}
	}
	return r, sub, best >= 0
}

func (u *UseCatalog) subscription(api, version string, active func(*Subscription) bool) *Subscription {
	for i := range u.Subscriptions {
		if s := &u.Subscriptions[i]; s.API == api && s.Version == version && active(s) {
			return s
		}
	}
	return nil
}
