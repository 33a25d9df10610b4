package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

type subscriptionView struct {
	ID           string         `json:"id"`
	Customer     string         `json:"customer"`
	API          string         `json:"apiName"`
	Version      string         `json:"apiVersion"`
	PricingModel string         `json:"pricingModelName"`
	Quota        *schemas.Quota `json:"quota"`
	StartsAt     time.Time      `json:"startsAt"`
	EndsAt       *time.Time     `json:"endsAt"` // null: it goes on
	CreatedAt    time.Time      `json:"createdAt"`
}

func subscriptionViewOf(s *store.Subscription) subscriptionView {
	v := subscriptionView{ID: s.ID, Customer: s.Customer, API: s.API, Version: s.Version, PricingModel: s.PricingModel,
		Quota: s.Quota, StartsAt: s.StartsAt, CreatedAt: s.CreatedAt}
	if !s.EndsAt.IsZero() {
		v.EndsAt = &s.EndsAt
	}
	return v
}

type subscriptionBody struct {
	API          string         `json:"apiName"`
	Version      string         `json:"apiVersion"`
	PricingModel string         `json:"pricingModelName"`
	StartsAt     *string        `json:"startsAt"`
	Quota        *schemas.Quota `json:"quota"`
}

func (f *faults) subscription(at string, b *subscriptionBody) store.Subscription {
	f.name(at+"apiName", b.API, true)
	f.name(at+"apiVersion", b.Version, true)
	f.name(at+"pricingModelName", b.PricingModel, false)
	return store.Subscription{API: b.API, Version: b.Version, PricingModel: b.PricingModel,
		StartsAt: f.time(at+"startsAt", b.StartsAt), Quota: f.quota(at+"quota", b.Quota)}
}

// subscriptions is never nil: an empty list means none.
func (f *faults) subscriptions(bodies []subscriptionBody) []store.Subscription {
	if len(bodies) > maxSubsAtOnce {
		f.add("subscriptions", "may have up to %d entries at once", maxSubsAtOnce)
		return nil
	}
	subs := make([]store.Subscription, len(bodies))
	for i := range bodies {
		subs[i] = f.subscription(fmt.Sprintf("subscriptions[%d].", i), &bodies[i])
	}
	return subs
}

// conflictOf says what exists already: the key, or a subscription.
func conflictOf(err error) error {
	var twice *store.SubscribedError
	if errors.As(err, &twice) {
		return api.Conflict("apiName", "the customer has a subscription to %s %s at that time", twice.API, twice.Version)
	}
	return api.Conflict("apiKey", createConflict)
}

// subscriptionsAsked are those of the request's customer, one more than its limit
// where there are more.
func (q *Server) subscriptionsAsked(r *http.Request) (c store.Customer, list []store.Subscription, limit int, err error) {
	limit, cursor, _, err := paging(r)
	if err != nil {
		return c, nil, 0, err
	}
	if c, err = q.customerOf(r); err == nil {
		list, err = q.cfg.Store.Subscriptions(r.Context(), c.ID, cursor, limit+1)
	}
	return c, list, limit, err
}

func (q *Server) listSubscriptions(w http.ResponseWriter, r *http.Request) error {
	_, list, limit, err := q.subscriptionsAsked(r)
	if err != nil {
		return err
	}
	writePage(w, "subscriptions", limit, list, func(s *store.Subscription) string { return s.ID }, subscriptionViewOf)
	return nil
}

func (q *Server) createSubscription(w http.ResponseWriter, r *http.Request) error {
	var body subscriptionBody
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	var bad faults
	sub := bad.subscription("", &body)
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	sub.Customer = c.ID
	sub, err = q.cfg.Store.Subscribe(r.Context(), api.CallerOf(r.Context()).Actor(), sub)
	if err != nil {
		return catalogError(err, func() error { return conflictOf(err) }, noCustomer(c.ID))
	}
	w.Header().Set("Location", "/v1/customers/"+c.ID+"/subscriptions/"+sub.ID)
	api.WriteJSON(w, http.StatusCreated, subscriptionViewOf(&sub))
	return nil
}

func (q *Server) getSubscription(w http.ResponseWriter, r *http.Request) error {
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	sid := mux.Vars(r)["sid"]
	sub, err := q.cfg.Store.Subscription(r.Context(), c.ID, sid)
	if err != nil {
		return catalogError(err, nil, noSubscription(sid))
	}
	api.WriteJSON(w, http.StatusOK, subscriptionViewOf(&sub))
	return nil
}

func noSubscription(id string) string {
	return fmt.Sprintf("the customer has no subscription %q", id)
}

// patchSubscription changes the quota (null: no limit) and the end.
func (q *Server) patchSubscription(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Quota  json.RawMessage `json:"quota"`
		EndsAt *string         `json:"endsAt"`
	}
	if err := api.DecodeJSON(w, r, &body); err != nil {
		return err
	}
	var bad faults
	change := store.SubscriptionUpdate{EndsAt: bad.time("endsAt", body.EndsAt)}
	change.SetQuota, change.Quota = bad.quotaOf("quota", body.Quota)
	if err := api.InvalidFields(bad); err != nil {
		return err
	}
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	sid := mux.Vars(r)["sid"]
	sub, err := q.cfg.Store.UpdateSubscription(r.Context(), api.CallerOf(r.Context()).Actor(), c.ID, sid, change)
	if err != nil {
		return catalogError(err, nil, noSubscription(sid))
	}
	api.WriteJSON(w, http.StatusOK, subscriptionViewOf(&sub))
	return nil
}

// endSubscription ends it now; what was stays.
func (q *Server) endSubscription(w http.ResponseWriter, r *http.Request) error {
	c, err := q.customerOf(r)
	if err != nil {
		return err
	}
	sid := mux.Vars(r)["sid"]
	_, err = q.cfg.Store.EndSubscription(r.Context(), api.CallerOf(r.Context()).Actor(), c.ID, sid)
	if err != nil {
		return catalogError(err, nil, noSubscription(sid))
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
