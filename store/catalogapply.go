package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// Catalog is what the catalog is to have. What it does not name stays as it is.
type Catalog struct {
	Routes    []Route // by API, Version and Endpoint; of Prices the first zero EffectiveFrom: in force from now on
	Customers []CatalogCustomer
}

// CatalogCustomer is a customer by ID, or by Account and Name. Nil fields stay,
// and have the defaults of CreateCustomer in a new one.
type CatalogCustomer struct {
	ID, Account, Name string
	Key               string // of the customer, one more where it has others; "": one is made for a new customer
	Currency          string // "": as it is
	CustomerUpdate
	Subscriptions *[]CatalogSubscription // nil: as they are; of a new customer, to all that has a price
}

// CatalogSubscription is one to an API version: that which begins at StartsAt,
// or else the one that has not ended.
type CatalogSubscription struct {
	API, Version, PricingModel string
	StartsAt                   time.Time
	Unsubscribed               bool // it is to have ended
	SubscriptionUpdate
}

// ApplyOptions of ApplyCatalog.
type ApplyOptions struct {
	Actor  string
	DryRun bool // nothing is kept
	Prune  bool // subscriptions that the list of a customer in the file does not have end now
}

// CatalogResult is what ApplyCatalog did, or would do.
type CatalogResult struct {
	Changes []CatalogChange
	Keys    []MadeKey // whose text is known this once
	Others  struct{ Routes, Customers, Subscriptions int }
}

// MadeKey is an apiKey that was made for a new customer.
type MadeKey struct{ Customer, Text string }

// errDryRun takes a transaction back that was made to see what it would do.
var errDryRun = errors.New("dry run")

// ApplyCatalog brings the catalog to what is asked for, in one transaction: all
// of it or nothing. Applied again it changes nothing. A *FieldError's field is a
// path in the catalog, such as customers[2].currency.
func (s *Store) ApplyCatalog(ctx context.Context, c *Catalog, o ApplyOptions) (*CatalogResult, error) {
	a := &applier{Store: s, o: o}
	err := s.transact(ctx, func(w *writeTx) error {
		a.w, a.done, a.seen = w, &CatalogResult{}, map[string]bool{}
		w.audited = a.audited
		// One at a time, so that none makes what another is making: the row is
		// locked until the end.
		if err := w.exec(ctx, `UPDATE meta SET value = value WHERE key = 'secret'`); err != nil {
			return err
		}
		for i := range c.Routes {
			if err := a.route(ctx, fmt.Sprintf("routes[%d].", i), &c.Routes[i]); err != nil {
				return err
			}
		}
		for i := range c.Customers {
			if err := a.customer(ctx, fmt.Sprintf("customers[%d].", i), &c.Customers[i]); err != nil {
				return err
			}
		}
		err := a.countOthers(ctx)
		if err == nil && o.DryRun {
			err = errDryRun
		}
		return err
	})
	if err != nil && !errors.Is(err, errDryRun) {
		return nil, fmt.Errorf("apply the catalog: %w", err)
	}
	if o.DryRun {
		a.done.Keys = nil
	}
	return a.done, nil
}

// applier works within one transaction.
type applier struct {
	*Store
	o    ApplyOptions
	w    *writeTx
	done *CatalogResult
	seen map[string]bool // ids that were named
	name string          // of the customer at hand
}

func (a *applier) audited(change Audit) {
	a.done.Changes = append(a.done.Changes, changesOf(a.name, &change)...)
}

// once refuses what the catalog names twice.
func (a *applier) once(field, id, format string, args ...any) error {
	if a.seen[id] {
		return fieldError(field, "%s: %s stands here twice", field, fmt.Sprintf(format, args...))
	}
	a.seen[id] = true
	return nil
}

func (a *applier) route(ctx context.Context, at string, r *Route) error {
	var id string
	err := a.w.conn.QueryRowContext(ctx, `SELECT id FROM routes WHERE api = ? AND version = ? AND endpoint = ?`, r.API, r.Version, r.Endpoint).Scan(&id)
	is := Route{API: r.API, Version: r.Version, Endpoint: r.Endpoint}
	if err == nil {
		is, err = readRoute(ctx, a.w.conn, id)
	} else if errors.Is(err, sql.ErrNoRows) {
		err = nil
	}
	if err != nil {
		return engineError(err)
	}
	var fresh []Price
	for i, p := range r.Prices {
		p.at = fmt.Sprintf("%sprices[%d].", at, i)
		has, err := hasPrice(is.Prices, &p, a.now())
		if err != nil {
			return err
		}
		if !has {
			fresh = append(fresh, p)
		}
	}
	switch {
	case id == "":
		is.Prices = fresh
		err = a.createRoute(ctx, a.w, a.o.Actor, &is)
	case len(fresh) > 0:
		err = a.addPrices(ctx, a.w, a.o.Actor, &is, fresh)
	}
	if err != nil {
		return err
	}
	return a.once(at+"endpointName", is.ID, "the route %s %s %s", r.API, r.Version, r.Endpoint)
}

// hasPrice reports whether a price is there: from its moment on, or, where it
// names none, in force now. One that is there is never changed.
func hasPrice(is []Price, p *Price, now time.Time) (bool, error) {
	inForce := -1
	for i := range is {
		switch {
		case is[i].PricingModel != p.PricingModel:
		case p.EffectiveFrom.Equal(is[i].EffectiveFrom):
			if !samePrice(&is[i], p) {
				return false, fieldError(p.at+"params", "%sparams: the price of %s from %s on is %s %s, and is never changed; give a later effectiveFrom",
					p.at, p.PricingModel, p.EffectiveFrom.Format(time.RFC3339Nano), is[i].Model, is[i].Params)
			}
			return true, nil
		case !is[i].EffectiveFrom.After(now) && (inForce < 0 || is[i].EffectiveFrom.After(is[inForce].EffectiveFrom)):
			inForce = i
		}
	}
	return p.EffectiveFrom.IsZero() && inForce >= 0 && samePrice(&is[inForce], p), nil
}

// samePrice: a number is the text of its digits.
func samePrice(a, b *Price) bool {
	return a.Model == b.Model && reflect.DeepEqual(plainJSON(a.Params), plainJSON(b.Params))
}

func (a *applier) customer(ctx context.Context, at string, f *CatalogCustomer) error {
	c, err := a.findCustomer(ctx, at, f)
	if err != nil {
		return err
	}
	isNew := c.ID == ""
	if isNew {
		c, err = a.newCustomer(ctx, at, f)
	} else {
		err = a.oldCustomer(ctx, at, f, &c)
	}
	if err != nil {
		return err
	}
	if err := a.once(at+"customerName", c.ID, "the customer %s", a.name); err != nil {
		return err
	}
	list := f.Subscriptions
	if list == nil && isNew {
		all, err := everyAPI(ctx, a.w, c.PricingModel)
		if err != nil {
			return err
		}
		list = new([]CatalogSubscription)
		for _, sub := range all {
			*list = append(*list, CatalogSubscription{API: sub.API, Version: sub.Version})
		}
	}
	if list == nil {
		return nil
	}
	return a.subscriptions(ctx, at, &c, *list)
}

// findCustomer: ID is "" where there is none.
func (a *applier) findCustomer(ctx context.Context, at string, f *CatalogCustomer) (c Customer, err error) {
	a.name = f.Account + "/" + f.Name
	if f.ID != "" {
		if c, err = readCustomer(ctx, a.w.conn, f.ID); errors.Is(err, ErrNotFound) {
			return Customer{}, nil
		}
		a.name = c.Account + "/" + f.Name
		return c, err
	}
	rows, err := a.w.conn.QueryContext(ctx, `SELECT `+customerColumns+` FROM customers WHERE account = ? AND name = ? LIMIT 2`, f.Account, f.Name)
	list, err := scanAll(rows, err, scanCustomer)
	switch {
	case err != nil || len(list) == 0:
		return Customer{}, err
	case len(list) == 2:
		return c, fieldError(at+"customerName", "%scustomerName: account %s has more than one customer of this name; say which by its id", at, f.Account)
	}
	return list[0], nil
}

const (
	catalogZone     = "UTC"
	catalogCurrency = "USD"
)

func (a *applier) newCustomer(ctx context.Context, at string, f *CatalogCustomer) (Customer, error) {
	c := Customer{ID: f.ID, Account: f.Account, Name: f.Name, Timezone: catalogZone, Currency: f.Currency}
	if c.ID == "" {
		c.ID = newID()
	}
	if c.Currency == "" {
		c.Currency = catalogCurrency
	}
	if f.PricingModel == nil {
		return c, fieldError(at+"pricingModelName", "%spricingModelName is required for a new customer", at)
	}
	for _, x := range []struct{ to, from *string }{{&c.Address, f.Address}, {&c.Email, f.Email}, {&c.PricingModel, f.PricingModel},
		{&c.Timezone, f.Timezone}, {(*string)(&c.Minimum), (*string)(f.Minimum)}} {
		if x.from != nil {
			*x.to = *x.from
		}
	}
	if f.Taxes != nil {
		c.Taxes = *f.Taxes
	}
	key := f.Key
	if key == "" {
		key = NewKeyText()
		a.done.Keys = append(a.done.Keys, MadeKey{a.name, key})
	}
	return c, within(at, a.createCustomer(ctx, a.w, a.o.Actor, key, &c))
}

func (a *applier) oldCustomer(ctx context.Context, at string, f *CatalogCustomer, c *Customer) error {
	if f.Account != "" && f.Account != c.Account {
		return fieldError(at+"account", "%saccount: customer %s is of account %s, which never changes", at, c.ID, c.Account)
	}
	if f.Currency != "" && f.Currency != c.Currency {
		return fieldError(at+"currency", "%scurrency: it is %s, and never changes", at, c.Currency)
	}
	f.CustomerUpdate.Name = &f.Name
	if err := a.updateCustomer(ctx, a.w, a.o.Actor, c, &f.CustomerUpdate); err != nil || f.Key == "" {
		return err
	}
	hash := a.HashKey(f.Key)
	k, err := scanKey(a.w.conn.QueryRowContext(ctx, `SELECT `+keyColumns+` FROM keys WHERE hash = ?`, hash[:]))
	switch {
	case errors.Is(err, ErrNotFound):
		return a.insertCustomerKey(ctx, a.w, a.o.Actor, f.Key, c)
	case err == nil && !k.RevokedAt.IsZero():
		return fieldError(at+"apiKey", "%sapiKey was revoked at %s; a key is never taken back into use", at, k.RevokedAt.Format(time.RFC3339))
	case err == nil && k.Customer != c.ID:
		return fieldError(at+"apiKey", "%sapiKey is another customer's or key's", at)
	}
	return err
}

// within puts a path in front of the field that an error names.
func within(at string, err error) error {
	var field *FieldError
	switch {
	case errors.As(err, &field):
		return fieldError(at+field.Field, "%s%s", at, field.Problem)
	case errors.Is(err, ErrExists):
		return fieldError(at+"apiKey", "%sapiKey is another customer's or key's", at)
	}
	return err
}
