package query

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas/rating"
	"tallybook/store"
)

func (q *Server) routeEndpoints() []api.Endpoint {
	return []api.Endpoint{
		{Method: "GET", Path: "/v1/routes", Access: api.Ingest, Form: api.PlainForm, Handle: q.listRoutes},
		{Method: "POST", Path: "/v1/routes", Access: api.Admin, Form: api.PlainForm, Handle: q.createRoute},
		{Method: "GET", Path: "/v1/routes/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.getRoute},
		{Method: "PATCH", Path: "/v1/routes/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.patchRoute},
	}
}

// routeView is a route as the API shows it; prices are the administrators'.
type routeView struct {
	ID        string       `json:"id"`
	API       string       `json:"apiName"`
	Version   string       `json:"apiVersion"`
	Endpoint  *string      `json:"endpointName"` // null: every endpoint
	CreatedAt time.Time    `json:"createdAt"`
	Prices    *[]priceView `json:"prices,omitempty"`
}

type priceView struct {
	Version       int64           `json:"version"`
	PricingModel  string          `json:"pricingModelName"`
	Model         string          `json:"model"`
	Params        json.RawMessage `json:"params"`
	EffectiveFrom time.Time       `json:"effectiveFrom"`
}

func routeViewOf(r *store.Route, withPrices bool) routeView {
	v := routeView{ID: r.ID, API: r.API, Version: r.Version, CreatedAt: r.CreatedAt}
	if r.Endpoint != "" {
		v.Endpoint = &r.Endpoint
	}
	if withPrices {
		prices := make([]priceView, len(r.Prices))
		for i, p := range r.Prices {
			prices[i] = priceView{p.Version, p.PricingModel, p.Model, p.Params, p.EffectiveFrom}
		}
		v.Prices = &prices
	}
	return v
}

// listRoutes lists routes: all of them for who is of no account, else those of
// API versions that the account's customers have subscriptions to.
func (q *Server) listRoutes(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, get, err := paging(r, "apiName", "apiVersion")
	if err != nil {
		return err
	}
	caller := api.CallerOf(r.Context())
	routes, err := q.cfg.Store.Routes(r.Context(), store.RouteFilter{API: get("apiName"), Version: get("apiVersion"),
		Account: caller.Account, After: cursor, Limit: limit + 1})
	if err != nil {
		return err
	}
	writePage(w, "routes", limit, routes, func(r *store.Route) string { return r.ID },
		func(r *store.Route) routeView { return routeViewOf(r, caller.IsAdmin()) })
	return nil
}

func (q *Server) getRoute(w http.ResponseWriter, r *http.Request) error {
	id := mux.Vars(r)["id"]
	route, err := q.cfg.Store.Route(r.Context(), id)
	if err != nil {
		return catalogError(err, nil, noRoute(id))
	}
	api.WriteJSON(w, http.StatusOK, routeViewOf(&route, true))
	return nil
}

func noRoute(id string) string {
	return fmt.Sprintf("there is no route %q; GET /v1/routes lists them", id)
}

// priceBody is a price as it is asked for.
type priceBody struct {
	PricingModel  string          `json:"pricingModelName"`
	Model         string          `json:"model"`
	Params        json.RawMessage `json:"params"`
	EffectiveFrom *string         `json:"effectiveFrom"`
}

const maxPricesAtOnce = 100

func (f *faults) prices(field string, bodies []priceBody) []store.Price {
	if len(bodies) > maxPricesAtOnce {
		f.add(field, "may have up to %d entries at once", maxPricesAtOnce)
		return nil
	}
	prices := make([]store.Price, len(bodies))
	for i, b := range bodies {
		at := fmt.Sprintf("%s[%d].", field, i)
		f.name(at+"pricingModelName", b.PricingModel, true)
		f.addAll(rating.Check(at, b.Model, b.Params))
		prices[i] = store.Price{PricingModel: b.PricingModel, Model: b.Model, Params: b.Params,
			EffectiveFrom: f.time(at+"effectiveFrom", b.EffectiveFrom)}
	}
	return prices
}

// createRoute is RegisterAPIRoute.
func (q *Server) createRoute(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		API      string      `json:"apiName"`
		Version  string      `json:"apiVersion"`
		Endpoint *string     `json:"endpointName"`
		Prices   []priceBody `json:"prices"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	var bad faults
	bad.name("apiName", body.API, true)
	bad.name("apiVersion", body.Version, true)
	route := store.Route{API: body.API, Version: body.Version}
	if body.Endpoint != nil {
		bad.name("endpointName", *body.Endpoint, true)
		route.Endpoint = *body.Endpoint
	}
	route.Prices = bad.prices("prices", body.Prices)
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	route, err := q.cfg.Store.CreateRoute(r.Context(), api.CallerOf(r.Context()).Actor(), route)
	if err != nil {
		return catalogError(err, func() error {
			return api.Conflict("endpointName", "%s %s has this route already; PATCH /v1/routes/{id} adds prices to it", body.API, body.Version)
		}, "")
	}
	w.Header().Set("Location", "/v1/routes/"+route.ID)
	api.WriteJSON(w, http.StatusCreated, routeViewOf(&route, true))
	return nil
}

// patchRoute adds prices; those there are stay for what they rated.
func (q *Server) patchRoute(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Prices []priceBody `json:"prices"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	var bad faults
	if len(body.Prices) == 0 {
		bad.add("prices", "is required: the prices to add")
	}
	prices := bad.prices("prices", body.Prices)
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	id := mux.Vars(r)["id"]
	route, err := q.cfg.Store.AddPrices(r.Context(), api.CallerOf(r.Context()).Actor(), id, prices)
	if err != nil {
		return catalogError(err, nil, noRoute(id))
	}
	api.WriteJSON(w, http.StatusOK, routeViewOf(&route, true))
	return nil
}
