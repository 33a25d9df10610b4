package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"tallybook/schemas"
	"tallybook/schemas/rating"
	"tallybook/store"
)

// priceSource is the catalog as far as prices go, of the payers that this process
// met. It is true of one generation of the catalog: what a change touches is
// forgotten before anything is read again.
type priceSource struct {
	mu         sync.Mutex
	generation int64
	payers     map[store.Payer]*store.PayerCustomer // nil: it has no customer
	apis       map[apiVersion]apiPrices
	byVersion  map[int64]*price // never changed, so never forgotten
}

type apiVersion struct{ api, version string }

// apiPrices are an API version's by endpoint, "" being every one, and by
// pricing model, each in the order of time.
type apiPrices map[string]map[string][]*price

// price is what a unit costs from a moment on.
type price struct {
	version int32
	from    int64         // µs
	rule    *rating.Price // nil: the amount is of the period's total
}

const (
	maxPayers = 100_000 // past it all are forgotten and read again
	maxAPIs   = 10_000
)

// dependency is what a change of the catalog can touch.
type dependency struct {
	kind          byte // of what name is
	name, version string
}

const (
	onCustomer, onSubscription, onAccount, onAPI = 'c', 's', 'a', 'v'
)

// dependencyOf is what leads to another answer about a payer. The first
// customer of an account stays the first.
func dependencyOf(p store.Payer, c *store.PayerCustomer) dependency {
	switch {
	case c != nil:
		return dependency{onCustomer, c.ID, ""}
	case p.Customer != "":
		return dependency{onCustomer, p.Customer, ""}
	case p.Subscription != "":
		return dependency{onSubscription, p.Subscription, ""}
	}
	return dependency{onAccount, p.Account, ""}
}

// touchedBy is what a change touches.
func touchedBy(c store.PriceChange) []dependency {
	return []dependency{{onCustomer, c.Customer, ""}, {onSubscription, c.Subscription, ""}, {onAccount, c.Account, ""}, {onAPI, c.API, c.Version}}
}

// read calls use with the lock held and the catalog at its present generation;
// what use asks for is read from the same state of it.
func (s *priceSource) read(ctx context.Context, st *store.Store, use func(r *priceReader) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.View(ctx, func(v *store.View) error {
		changes, err := v.PriceChanges(s.generation)
		if err != nil {
			return fmt.Errorf("changes of prices: %w", err)
		}
		s.forget(&changes)
		return use(&priceReader{s, v})
	})
}

func (s *priceSource) forget(c *store.PriceChanges) {
	s.generation = c.Generation
	if c.All || s.payers == nil || len(s.payers) > maxPayers || len(s.apis) > maxAPIs {
		s.payers, s.apis = map[store.Payer]*store.PayerCustomer{}, map[apiVersion]apiPrices{}
		return
	}
	touched := map[dependency]bool{}
	for _, change := range c.List {
		for _, d := range touchedBy(change) {
			touched[d] = true
		}
		delete(s.apis, apiVersion{change.API, change.Version})
	}
	if len(touched) == 0 {
		return
	}
	for p, customer := range s.payers {
		if touched[dependencyOf(p, customer)] {
			delete(s.payers, p)
		}
	}
}

// priceReader reads what the source does not know.
type priceReader struct {
	*priceSource
	view *store.View
}

// customers makes payers known.
func (r *priceReader) customers(of []store.Payer) error {
	unknown := slices.DeleteFunc(of, func(p store.Payer) bool {
		_, known := r.payers[p]
		return known
	})
	if len(unknown) == 0 {
		return nil
	}
	found, err := r.view.PayerCustomers(unknown)
	if err != nil {
		return fmt.Errorf("customers of requests: %w", err)
	}
	for _, p := range unknown {
		r.payers[p] = found[p]
	}
	return nil
}

// api is what an API version's endpoints cost.
func (r *priceReader) api(a apiVersion) (apiPrices, error) {
	if known, ok := r.apis[a]; ok {
		return known, nil
	}
	routes, err := r.view.RoutesOf(a.api, a.version)
	if err != nil {
		return nil, fmt.Errorf("prices of %s %s: %w", a.api, a.version, err)
	}
	prices := apiPrices{}
	for i := range routes {
		models := map[string][]*price{}
		for j := range routes[i].Prices {
			p := &routes[i].Prices[j]
			models[p.PricingModel] = append(models[p.PricingModel], r.price(p))
		}
		prices[routes[i].Endpoint] = models
	}
	r.apis[a] = prices
	return prices, nil
}

// price is one of the catalog, read once.
func (s *priceSource) price(p *store.Price) *price {
	known := s.byVersion[p.Version]
	if known == nil {
		known = &price{version: int32(p.Version), from: p.EffectiveFrom.UnixMicro()}
		// Prices were checked when they were made; one that does not read by now is
		// told of by the invoice.
		if rule, bad := rating.Parse("", p.Model, p.Params); len(bad) == 0 && rule.PerEvent() {
			known.rule = rule
		}
		if s.byVersion == nil {
			s.byVersion = map[int64]*price{}
		}
		s.byVersion[p.Version] = known
	}
	return known
}

// priceOf is the price of a version that a row names.
func (s *priceSource) priceOf(ctx context.Context, st *store.Store, version int32) (*price, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.byVersion[int64(version)]; known != nil {
		return known, nil
	}
	p, err := st.PriceOf(ctx, int64(version))
	if err != nil {
		return nil, err
	}
	return s.price(&p), nil
}

// amount is what an event of a quantity costs; ok is false where that is only
// known of a period's total, or the quantity is none, or the amount has no room.
func (p *price) amount(quantity schemas.Decimal) (amount schemas.Decimal, ok bool) {
	if p.rule == nil {
		return amount, false
	}
	amount, err := p.rule.OfEvent(quantity)
	return amount, err == nil
}
