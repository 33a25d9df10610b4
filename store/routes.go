package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// FieldError: what was asked for does not fit what is there, by the field that
// names it.
type FieldError struct {
	Field   string
	Problem string
}

func (e *FieldError) Error() string { return e.Problem }

func fieldError(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// Route is an endpoint of an API version whose use is counted and priced.
type Route struct {
	ID        string    `json:"id"`
	API       string    `json:"apiName"`
	Version   string    `json:"apiVersion"`
	Endpoint  string    `json:"endpointName"` // "": every endpoint of the API version
	CreatedAt time.Time `json:"createdAt"`
	Prices    []Price   `json:"prices"` // by pricing model and EffectiveFrom
}

// Price is what a route costs under a pricing model, from a moment on until
// the next price of both.
type Price struct {
	Version       int64           `json:"version"` // unique in the installation
	PricingModel  string          `json:"pricingModelName"`
	Model         string          `json:"model"`         // one of rating.Models
	Params        json.RawMessage `json:"params"`        // an object
	EffectiveFrom time.Time       `json:"effectiveFrom"` // zero when it is made: now
	CreatedAt     time.Time       `json:"createdAt"`

	at string // what stands before its fields' names in errors; "": prices[i].
}

// CreateRoute registers a route with its prices; ID, CreatedAt and the prices'
// versions are given here. ErrExists: the API version has that endpoint. The
// first price of a pricing model may hold from the past on: nothing was rated yet.
func (s *Store) CreateRoute(ctx context.Context, actor string, r Route) (Route, error) {
	var made Route
	err := s.transact(ctx, func(w *writeTx) error {
		made = r
		return s.createRoute(ctx, w, actor, &made)
	})
	if err != nil {
		return Route{}, fmt.Errorf("create route: %w", err)
	}
	return made, nil
}

func (s *Store) createRoute(ctx context.Context, w *writeTx, actor string, r *Route) error {
	r.ID, r.CreatedAt = newID(), s.now()
	n, err := w.execCount(ctx, `INSERT INTO routes (id, api, version, endpoint, created_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (api, version, endpoint) DO NOTHING`, r.ID, r.API, r.Version, r.Endpoint, r.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrExists
	}
	prices := r.Prices
	r.Prices = nil
	if err := s.insertPrices(ctx, w, r, prices); err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "route", Subject: r.ID, After: *r})
}

// AddPrices adds prices to a route. One that replaces another takes effect now
// or later, so that what was rated stays what it is.
func (s *Store) AddPrices(ctx context.Context, actor, id string, prices []Price) (Route, error) {
	var r Route
	err := s.transact(ctx, func(w *writeTx) (err error) {
		if r, err = readRoute(ctx, w.conn, id); err != nil {
			return err
		}
		return s.addPrices(ctx, w, actor, &r, prices)
	})
	if err != nil {
		return Route{}, fmt.Errorf("add prices to route %s: %w", id, err)
	}
	return r, nil
}

// maxPrices bounds the prices of a route, so that a route can be shown whole.
const maxPrices = 1000

func (s *Store) addPrices(ctx context.Context, w *writeTx, actor string, r *Route, prices []Price) error {
	before := *r
	if err := s.insertPrices(ctx, w, r, prices); err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "change", Noun: "route", Subject: r.ID, Before: before, After: *r})
}

func (s *Store) insertPrices(ctx context.Context, w *writeTx, r *Route, prices []Price) error {
	if len(r.Prices)+len(prices) > maxPrices {
		return fieldError("prices", "a route may have up to %d prices", maxPrices)
	}
	now := s.now()
	had := map[string]bool{}
	for i := range r.Prices {
		had[r.Prices[i].PricingModel] = true
	}
	for i, p := range prices {
		at := p.at + "effectiveFrom"
		if p.at == "" {
			at = fmt.Sprintf("prices[%d].effectiveFrom", i)
		}
		if p.CreatedAt = now; p.EffectiveFrom.IsZero() {
			p.EffectiveFrom = now
		}
		if had[p.PricingModel] && p.EffectiveFrom.Before(now) {
			return fieldError(at, "%s must not lie in the past: %s has a price of %s already", at, r.API, p.PricingModel)
		}
		err := w.conn.QueryRowContext(ctx, `INSERT INTO prices (version, route, pricing_model, model, params, effective_from, created_at)
			VALUES ((SELECT COALESCE(MAX(version), 0) + 1 FROM prices), ?, ?, ?, ?, ?, ?)
			ON CONFLICT (route, pricing_model, effective_from) DO NOTHING RETURNING version`,
			r.ID, p.PricingModel, p.Model, string(p.Params), p.EffectiveFrom.UnixMicro(), now.UnixMicro()).Scan(&p.Version)
		if errors.Is(err, sql.ErrNoRows) {
			return fieldError(at, "%s: there is a price of %s from that moment on", at, p.PricingModel)
		}
		if err != nil {
			return engineError(err)
		}
		r.Prices = append(r.Prices, p)
	}
	return nil
}

// Route reads a route with its prices; ErrNotFound.
func (s *Store) Route(ctx context.Context, id string) (Route, error) {
	r, err := readRoute(ctx, s.read, id)
	if err != nil {
		return Route{}, fmt.Errorf("route %s: %w", id, err)
	}
	return r, nil
}

// querier is the reading pool, or the connection of a write transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func readRoute(ctx context.Context, q querier, id string) (Route, error) {
	r, err := scanRoute(q.QueryRowContext(ctx, `SELECT `+routeColumns+` FROM routes WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Route{}, ErrNotFound
	}
	if err != nil {
		return Route{}, engineError(err)
	}
	one := []Route{r}
	err = readPrices(ctx, q, one)
	return one[0], err
}

// RouteFilter narrows Routes; empty fields do not.
type RouteFilter struct {
	API, Version string
	Account      string // of whose customers one has a subscription to the API version that has not ended
	After        string // the id before the first
	Limit        int
}

const routeColumns = `id, api, version, endpoint, created_at`

// Routes lists routes with their prices, by id.
func (s *Store) Routes(ctx context.Context, f RouteFilter) ([]Route, error) {
	where := filter{}
	where.add(`id > ?`, f.After)
	if f.API != "" {
		where.add(`api = ?`, f.API)
	}
	if f.Version != "" {
		where.add(`version = ?`, f.Version)
	}
	if f.Account != "" {
		where.add(`EXISTS (SELECT 1 FROM customers c JOIN subscriptions s ON s.customer = c.id
			WHERE c.account = ? AND s.api = routes.api AND s.version = routes.version AND (s.ends_at IS NULL OR s.ends_at > ?))`,
			f.Account, s.now().UnixMicro())
	}
	query := `SELECT ` + routeColumns + ` FROM routes` + where.sql() + ` ORDER BY id` + where.limit(f.Limit)
	rows, err := s.read.QueryContext(ctx, query, where.args...)
	list, err := scanAll(rows, err, scanRoute)
	if err == nil {
		err = readPrices(ctx, s.read, list)
	}
	if err != nil {
		return nil, fmt.Errorf("list routes: %w", err)
	}
	return list, nil
}

func scanRoute(row scanner) (Route, error) {
	var r Route
	var at int64
	err := row.Scan(&r.ID, &r.API, &r.Version, &r.Endpoint, &at)
	r.CreatedAt = time.UnixMicro(at).UTC()
	return r, err
}

// readPrices fills in the prices of routes.
func readPrices(ctx context.Context, q querier, routes []Route) error {
	for i := range routes {
		rows, err := q.QueryContext(ctx, `SELECT version, pricing_model, model, params, effective_from, created_at FROM prices
			WHERE route = ? ORDER BY pricing_model, effective_from`, routes[i].ID)
		routes[i].Prices, err = scanAll(rows, err, scanPrice)
		if err != nil {
			return err
		}
	}
	return nil
}

func scanPrice(row scanner) (Price, error) {
	var p Price
	var params string
	var from, created int64
	err := row.Scan(&p.Version, &p.PricingModel, &p.Model, &params, &from, &created)
	p.Params = json.RawMessage(params)
	p.EffectiveFrom, p.CreatedAt = time.UnixMicro(from).UTC(), time.UnixMicro(created).UTC()
	return p, err
}

// now is the present as the tables keep it.
func (s *Store) now() time.Time { return s.opts.Now().UTC().Truncate(time.Microsecond) }
