package collector

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	maxUsageBatch = 1000
	usageSource   = "/v1/usage" // of the events
	errorSuffix   = "-error"    // of the id of a request's error event
)

// usageEndpoints are there where the catalog is.
func (c *Collector) usageEndpoints() []api.Endpoint {
	if c.cfg.Store == nil {
		return nil
	}
	return []api.Endpoint{
		{Method: "POST", Path: usagePath, Access: api.Ingest, Form: api.PlainForm, Timeout: -1,
			Unknown: c.unknown.note, Handle: c.postUsage},
		{Method: "POST", Path: "/v1/errors/{id}/retry", Access: api.Account, Form: api.PlainForm, Handle: c.retryError},
	}
}

// usageResult is what became of one usage. Its error event, if it has one, is
// durable before the usage event is.
type usageResult struct {
	ID     string      `json:"id"`
	Status string      `json:"status"` // accepted or rejected
	Error  string      `json:"error,omitempty"`
	Fields []api.Field `json:"fields,omitempty"`

	usage, failed event // failed: the error event, where there is one
	hasFailed     bool
}

// postUsage takes one usage, or an array of up to maxUsageBatch, each with its
// own fate.
func (c *Collector) postUsage(w http.ResponseWriter, r *http.Request) error {
	caller := api.CallerOf(r.Context())
	if _, err := caller.RequireAccount(); err != nil {
		return err
	}
	if c.cfg.Behind() {
		return unavailable(5*time.Second, "the log is full or the workers are behind; try again later")
	}
	body, isBatch, err := c.usageBody(w, r)
	if err != nil {
		return err
	}
	now := c.cfg.Now()
	use, err := c.catalog.of(r.Context(), caller)
	if err != nil {
		c.cfg.Log.Warn("read the catalog", "error", err)
		return unavailable(time.Second, "the catalog does not answer; send again")
	}
	if use != nil && use.Customer.Account != caller.Account { // an administrator names another account
		use = nil
	}
	t := usageTaker{collector: c, caller: caller, use: use, received: now.Truncate(time.Millisecond)}
	results := make([]usageResult, len(body))
	for i, one := range body {
		results[i] = t.take(one)
	}
	if !isBatch && results[0].Status == rejected {
		return api.InvalidFields(results[0].Fields)
	}
	lost := c.storeUsage(r.Context(), results)
	if lost == len(results) && lost > 0 {
		return unavailable(2*time.Second, again)
	}
	if !isBatch {
		api.WriteJSON(w, http.StatusAccepted, &results[0])
		return nil
	}
	api.WriteJSON(w, http.StatusAccepted, map[string]any{"results": results})
	return nil
}

func (c *Collector) usageBody(w http.ResponseWriter, r *http.Request) (body [][]byte, isBatch bool, err error) {
	form, p := formOf(r.Header)
	if p == nil && form != oneEvent|batch {
		p = refuse(http.StatusUnsupportedMediaType, "content type %q is not taken here; application/json is", r.Header.Get("Content-Type"))
	}
	if p != nil {
		return nil, false, p
	}
	l := c.newLoad()
	defer l.drop()
	text, p := c.read(w, r, l)
	if p != nil {
		return nil, false, p
	}
	text = bytes.Trim(text, " \t\r\n")
	body, p = c.split(text, form)
	switch {
	case p != nil:
		return nil, false, p
	case len(body) > maxUsageBatch:
		return nil, false, tooLargeBatch()
	}
	isBatch = text[0] == '['
	if !isBatch && len(text) > c.cfg.MaxEventBytes {
		return nil, false, tooLarge("a usage", c.cfg.MaxEventBytes)
	}
	return body, isBatch, nil
}

func tooLargeBatch() *api.Failure {
	return refuse(http.StatusRequestEntityTooLarge, "a request may have up to %d usages", maxUsageBatch)
}

// storeUsage makes the error events durable, then the usage events of those
// that have none or whose error event is; it returns how many were accepted
// before and are not durable now.
func (c *Collector) storeUsage(ctx context.Context, results []usageResult) (lost int) {
	var events []event
	var of []*usageResult
	produce := func() {
		if len(events) == 0 || c.produce(ctx, events) == nil {
			return
		}
		for i := range events {
			if events[i].lost {
				of[i].Status, of[i].Error = rejected, again
				lost++
			}
		}
	}
	for i := range results {
		if r := &results[i]; r.Status == accepted && r.hasFailed {
			events, of = append(events, r.failed), append(of, r)
		}
	}
	produce()
	events, of = events[:0], of[:0]
	for i := range results {
		if r := &results[i]; r.Status == accepted {
			events, of = append(events, r.usage), append(of, r)
		}
	}
	produce()
	return lost
}

// usageTaker makes events of one caller's usages.
type usageTaker struct {
	collector *Collector
	caller    api.Caller
	use       *store.UseCatalog // nil: the caller is no customer
	received  time.Time
}

func (t *usageTaker) take(text []byte) usageResult {
	u, faults := parseUsage(text, t.received)
	if len(faults) == 0 {
		r := usageResult{ID: u.id, Status: accepted, hasFailed: u.isError()}
		if faults = t.events(&u, &r); len(faults) == 0 {
			return r
		}
	}
	r := usageResult{ID: u.id, Status: rejected, Fields: faults}
	for i, f := range faults {
		if i > 0 {
			r.Error += "; "
		}
		r.Error += f.Error
	}
	t.collector.metrics.rejected(schemas.InvalidValue)
	return r
}

// events makes the usage event, and the error event where one is due.
func (t *usageTaker) events(u *usage, r *usageResult) []api.Field {
	stamp := t.stampOf(u)
	var fault *api.Field
	if r.usage, fault = t.event(u.id, schemas.TypeRequest, u.at, u.requestData(stamp)); fault != nil {
		return []api.Field{*fault}
	}
	if r.hasFailed {
		if r.failed, fault = t.event(u.id+errorSuffix, schemas.TypeAPIError, u.at, u.errorData(stamp)); fault != nil {
			return []api.Field{*fault}
		}
	}
	return nil
}

// usageStamp is what the catalog adds to an event, so that the archive has it.
type usageStamp struct{ api, customer, subscription, keyID string }

func (t *usageTaker) stampOf(u *usage) usageStamp {
	s := usageStamp{api: u.apiName, keyID: t.caller.KeyID}
	if t.use == nil {
		return s
	}
	s.customer = t.use.Customer.ID
	at := time.UnixMicro(u.at.UnixMicro()).UTC()
	route, sub, ok := t.use.Find(u.apiName, u.version, u.endpoint, func(sub *store.Subscription) bool { return sub.Active(at) })
	if ok {
		s.api = route.API
	}
	if sub != nil {
		s.subscription = sub.ID
	}
	return s
}

// event is checked as the worker will do it, so that what is accepted here is
// not refused there.
func (t *usageTaker) event(id, kind string, at time.Time, data any) (event, *api.Field) {
	value := marshal(schemas.NewCloudEvent(schemas.Identity{ID: id, Source: usageSource, Account: t.caller.Account, Time: at}, kind, data))
	c := t.collector
	d := c.decoders.Get().(*decoder)
	defer c.decoders.Put(d)
	e := c.check(d, value, t.caller, t.received)
	if e.rejected != nil {
		field := usageFieldOf(e.rejected.Field)
		return event{}, &api.Field{Field: field, Error: fmt.Sprintf("%s: %s", field, e.rejected.Message)}
	}
	return e, nil
}
