package query

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

func (q *Server) customerEndpoints() []api.Endpoint {
	const customers, subscriptions = "/v1/customers", "/v1/customers/{id}/subscriptions"
	return []api.Endpoint{
		{Method: "GET", Path: customers, Access: api.Admin, Form: api.PlainForm, Handle: q.listCustomers},
		{Method: "POST", Path: customers, Access: api.Admin, Form: api.PlainForm, Handle: q.createCustomer},
		{Method: "GET", Path: customers + "/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.getCustomer},
		{Method: "PATCH", Path: customers + "/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.patchCustomer},
		{Method: "DELETE", Path: customers + "/{id}", Access: api.Admin, Form: api.PlainForm, Handle: q.closeCustomer},
		{Method: "GET", Path: customers + "/{id}/quotas", Access: api.Admin, Form: api.PlainForm, Handle: q.listQuotas},
		{Method: "GET", Path: subscriptions, Access: api.Admin, Form: api.PlainForm, Handle: q.listSubscriptions},
		{Method: "POST", Path: subscriptions, Access: api.Admin, Form: api.PlainForm, Handle: q.createSubscription},
		{Method: "GET", Path: subscriptions + "/{sid}", Access: api.Admin, Form: api.PlainForm, Handle: q.getSubscription},
		{Method: "PATCH", Path: subscriptions + "/{sid}", Access: api.Admin, Form: api.PlainForm, Handle: q.patchSubscription},
		{Method: "DELETE", Path: subscriptions + "/{sid}", Access: api.Admin, Form: api.PlainForm, Handle: q.endSubscription},
	}
}

// customerView is a customer as the API shows it; APIKey only in the answer that
// made one up.
type customerView struct {
	ID            string             `json:"id"`
	APIKey        string             `json:"apiKey,omitempty"`
	Account       string             `json:"account"`
	Name          string             `json:"customerName"`
	Address       string             `json:"address"`
	Email         string             `json:"email"`
	PricingModel  string             `json:"pricingModelName"`
	Timezone      string             `json:"timezone"`
	Currency      string             `json:"currency"`
	CreatedAt     time.Time          `json:"createdAt"`
	Taxes         []schemas.Tax      `json:"taxes"`
	Minimum       *string            `json:"minimum"` // null: none
	Subscriptions []subscriptionView `json:"subscriptions,omitempty"`
}

func customerViewOf(c *store.Customer) customerView {
	return customerView{ID: c.ID, Account: c.Account, Name: c.Name, Address: c.Address, Email: c.Email,
		PricingModel: c.PricingModel, Timezone: c.Timezone, Currency: c.Currency, CreatedAt: c.CreatedAt,
		Taxes: append([]schemas.Tax{}, c.Taxes...), Minimum: orNull(string(c.Minimum))}
}

func noCustomer(id string) string {
	return fmt.Sprintf("there is no customer %q; GET /v1/customers lists them", id)
}

// customerOf reads the path's customer; that of another account than
// X-Account-ID names is not there.
func (q *Server) customerOf(r *http.Request) (store.Customer, error) {
	id := mux.Vars(r)["id"]
	c, err := q.cfg.Store.Customer(r.Context(), id)
	if err != nil {
		return c, catalogError(err, nil, noCustomer(id))
	}
	if account := api.CallerOf(r.Context()).Account; account != "" && account != c.Account {
		return c, api.NotFound("%s", noCustomer(id))
	}
	return c, nil
}

func (q *Server) listCustomers(w http.ResponseWriter, r *http.Request) error {
	limit, cursor, get, err := paging(r, "search")
	if err != nil {
		return err
	}
	search := get("search")
	if len(search) > maxName || strings.ContainsFunc(search, isControl) {
		return api.Invalid("search", "search must have up to %d bytes, without control characters", maxName)
	}
	list, err := q.cfg.Store.Customers(r.Context(), store.CustomerFilter{Account: api.CallerOf(r.Context()).Account, Text: search, After: cursor, Limit: limit + 1})
	if err != nil {
		return err
	}
	writePage(w, "customers", limit, list, func(c *store.Customer) string { return c.ID }, customerViewOf)
	return nil
}

func (q *Server) getCustomer(w http.ResponseWriter, r *http.Request) error {
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	api.WriteJSON(w, http.StatusOK, customerViewOf(&c))
	return nil
}

type customerBody struct {
	APIKey        *string             `json:"apiKey"`
	Name          string              `json:"customerName"`
	Address       string              `json:"address"`
	Email         string              `json:"email"`
	PricingModel  string              `json:"pricingModelName"`
	Account       string              `json:"account"`
	Timezone      string              `json:"timezone"`
	Currency      string              `json:"currency"`
	Taxes         []schemas.Tax       `json:"taxes"`
	Minimum       schemas.DecimalText `json:"minimum"`
	Subscriptions *[]subscriptionBody `json:"subscriptions"`
}

const (
	maxAddress     = 4 << 10
	maxSubsAtOnce  = 1000
	defaultZone    = "UTC"
	createConflict = "another customer or key has this apiKey"
)

// check fills in the defaults and names what is wrong.
func (b *customerBody) check(caller api.Caller) (key string, c store.Customer, subs []store.Subscription, err error) {
	var bad faults
	if b.APIKey == nil {
		key = store.NewKeyText()
	} else {
		key = *b.APIKey
		bad.apiKey("apiKey", key)
	}
	if b.Account == "" {
		b.Account = caller.Account
	}
	if b.Timezone == "" {
		b.Timezone = defaultZone
	}
	if b.Currency == "" {
		b.Currency = defaultCurrency
	}
	bad.name("customerName", b.Name, true)
	bad.name("pricingModelName", b.PricingModel, true)
	if err := CheckAccount("account", b.Account); err != nil || b.Account == store.AnyAccount || b.Account == schemas.UnknownAccount {
		bad.add("account", "must be an account's name: up to %d bytes, no control characters", schemas.MaxAccount)
	} else if caller.Account != "" && caller.Account != b.Account {
		bad.add("account", "must be that of X-Account-ID, or left out")
	}
	bad.address("address", b.Address)
	bad.email("email", b.Email)
	bad.timezone("timezone", b.Timezone)
	bad.currency("currency", b.Currency)
	bad.addAll(schemas.CheckTaxes("taxes", b.Taxes))
	bad.addAll(schemas.CheckMinimum("minimum", b.Minimum))
	if b.Subscriptions != nil {
		subs = bad.subscriptions(*b.Subscriptions)
	}
	return key, store.Customer{Account: b.Account, Name: b.Name, Address: b.Address, Email: b.Email, PricingModel: b.PricingModel,
		Timezone: b.Timezone, Currency: b.Currency, Taxes: b.Taxes, Minimum: b.Minimum}, subs, api.InvalidFields(bad)
}

func (f *faults) address(field, text string) {
	if len(text) > maxAddress {
		f.add(field, "may have up to %d bytes", maxAddress)
	}
}

func printable(key string) bool {
	for _, c := range []byte(key) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// createCustomer is RegisterAPICustomer.
func (q *Server) createCustomer(w http.ResponseWriter, r *http.Request) error {
	var body customerBody
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	caller := api.CallerOf(r.Context())
	key, c, subs, err := body.check(caller)
	if err != nil {
		return err
	}
	c, subs, err = q.cfg.Store.CreateCustomer(r.Context(), caller.Actor(), key, c, subs)
	if err != nil {
		return catalogError(err, func() error { return conflictOf(err) }, "")
	}
	view := customerViewOf(&c)
	for i := range subs {
		view.Subscriptions = append(view.Subscriptions, subscriptionViewOf(&subs[i]))
	}
	if body.APIKey == nil {
		view.APIKey = key
		w.Header().Set("Cache-Control", "no-store")
	}
	w.Header().Set("Location", "/v1/customers/"+c.ID)
	api.WriteJSON(w, http.StatusCreated, view)
	return nil
}

// patchCustomer changes what the body names.
func (q *Server) patchCustomer(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Name         *string `json:"customerName"`
		Address      *string `json:"address"`
		Email        *string `json:"email"`
		PricingModel *string `json:"pricingModelName"`
		Timezone     *string `json:"timezone"`

		Taxes   *[]schemas.Tax       `json:"taxes"`
		Minimum *schemas.DecimalText `json:"minimum"` // "": none
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	var bad faults
	for _, f := range []struct {
		field string
		text  *string
		check func(field, text string)
	}{
		{"customerName", body.Name, func(field, text string) { bad.name(field, text, true) }},
		{"pricingModelName", body.PricingModel, func(field, text string) { bad.name(field, text, true) }},
		{"address", body.Address, bad.address},
		{"email", body.Email, bad.email},
		{"timezone", body.Timezone, bad.timezone},
	} {
		if f.text != nil {
			f.check(f.field, *f.text)
		}
	}
	if body.Taxes != nil {
		bad.addAll(schemas.CheckTaxes("taxes", *body.Taxes))
	}
	if body.Minimum != nil {
		bad.addAll(schemas.CheckMinimum("minimum", *body.Minimum))
	}
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	c, err = q.cfg.Store.UpdateCustomer(r.Context(), api.CallerOf(r.Context()).Actor(), c.ID, store.CustomerUpdate{
		Name: body.Name, Address: body.Address, Email: body.Email, PricingModel: body.PricingModel, Timezone: body.Timezone,
		Taxes: body.Taxes, Minimum: body.Minimum})
	if err != nil {
		return catalogError(err, nil, noCustomer(c.ID))
	}
	api.WriteJSON(w, http.StatusOK, customerViewOf(&c))
	return nil
}

// closeCustomer ends its subscriptions and keys; what was stays.
func (q *Server) closeCustomer(w http.ResponseWriter, r *http.Request) error {
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	if err := q.cfg.Store.CloseCustomer(r.Context(), api.CallerOf(r.Context()).Actor(), c.ID); err != nil {
		return catalogError(err, nil, noCustomer(c.ID))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
