package jobs

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/archive/archivetest"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// billRig is an installation with a catalog and a clock that the test moves.
type billRig struct {
	*rig
	clock    atomic.Int64
	customer store.Customer
	subs     map[string]string // id of the subscription, by API
}

const gradual = `{"tiers":[{"up_to":"10","unit_price":"1"},{"up_to":null,"unit_price":"0.5"}]}`

func newBillRig(t *testing.T) *billRig {
	t.Helper()
	r := &billRig{rig: &rig{t: t, path: storetest.URL(t), bucket: archivetest.Bucket(t)}, subs: map[string]string{}}
	r.archive = archive.New(r.bucket)
	r.at("2025-12-20T00:00:00Z")
	st, err := store.Open(t.Context(), r.path, store.Options{Now: func() time.Time { return time.UnixMicro(r.clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	r.store = st
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r.route("web", "/a", "graduated", gradual)
	r.route("web", "", "per_unit", `{"unit_price":"0.125"}`)
	r.route("base", "", "flat", `{"amount":"31"}`)
	r.customer = r.newCustomer("Acme", "UTC", "USD")
	return r
}

func (r *billRig) at(text string) { r.clock.Store(micros(text)) }

func (r *billRig) now() time.Time { return time.UnixMicro(r.clock.Load()).UTC() }

func (r *billRig) route(api, endpoint, model, params string) store.Route {
	r.t.Helper()
	route, err := r.store.CreateRoute(r.t.Context(), "test", store.Route{API: api, Version: "v1", Endpoint: endpoint,
		Prices: []store.Price{{PricingModel: "std", Model: model, Params: json.RawMessage(params)}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return route
}

// newCustomer has subscriptions to everything from January on.
func (r *billRig) newCustomer(name, zone, currency string) store.Customer {
	r.t.Helper()
	starts := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if loc, err := time.LoadLocation(zone); err == nil {
		starts = time.Date(2026, 1, 1, 0, 0, 0, 0, loc)
	}
	c, subs, err := r.store.CreateCustomer(r.t.Context(), "test", "key of "+name, store.Customer{Name: name, PricingModel: "std", Timezone: zone, Currency: currency},
		[]store.Subscription{{API: "web", Version: "v1", StartsAt: starts}, {API: "base", Version: "v1", StartsAt: starts}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range subs {
		r.subs[name+" "+s.API] = s.ID
	}
	return c
}

// use is a request of the customer's; at and quantity as in rows.
func (r *billRig) use(c store.Customer, at, endpoint, quantity string) event {
	return event{kind: "api.request", account: c.Account, at: at, status: 200, quantity: quantity,
		strings: map[schemas.Field]string{schemas.API: "web", schemas.Version: "v1", schemas.Endpoint: endpoint,
			schemas.Customer: c.ID, schemas.Subscription: r.subs[c.Name+" web"]},
		family: schemas.FamilyRequest, dims: []string{"web", "v1", endpoint, "", "200", ""},
		adds: schemas.Measures{Count: 1, Quantity: dec(quantity)}}
}

func taken(e event) event {
	e.taken = true
	return e
}

func (r *billRig) config() InvoicesConfig {
	return InvoicesConfig{Store: r.store, Archive: r.archive, Now: r.now(), Grace: DefaultGrace}
}

// run takes the lease, runs the job and gives it back.
func (r *billRig) run(cfg InvoicesConfig) error {
	r.t.Helper()
	l, err := r.store.TakeLease(r.t.Context(), "invoices", "test", time.Time{}, time.Hour)
	if err != nil {
		return err
	}
	cfg.Lease = l
	err = Invoices(r.t.Context(), cfg)
	if end := r.store.EndLease(r.t.Context(), l, err); end != nil {
		r.t.Fatal(end)
	}
	return err
}

func (r *billRig) bill(now string) []store.Invoice {
	r.t.Helper()
	r.at(now)
	if err := r.run(r.config()); err != nil {
		r.t.Fatal(err)
	}
	return r.invoices()
}

// invoices by month and kind, drafts too.
func (r *billRig) invoices() []store.Invoice {
	r.t.Helper()
	list, err := r.store.Invoices(r.t.Context(), store.InvoiceFilter{Drafts: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func find(t *testing.T, list []store.Invoice, month string, kind schemas.InvoiceKind) store.Invoice {
	t.Helper()
	var found []store.Invoice
	for _, i := range list {
		if i.Month == month && i.Kind == kind {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d documents of %s %s, want 1", len(found), month, kind)
	}
	return found[0]
}

// linesOf is what a document says, a line each.
func linesOf(i *store.Invoice) (lines []string) {
	for _, l := range i.Lines {
		lines = append(lines, fmt.Sprintf("%s %s %s%s q=%s rows=%d %s-%s=%s", l.Kind, i.Periods[l.Period].Month, l.Price.API, l.Price.Endpoint,
			l.Quantity, l.Rows, l.Rated, l.Billed, l.Amount))
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got\n%q, want\n%q", what, got, want)
	}
}

// checkNumbers: final documents have the numbers from 1 on, each once.
func (r *billRig) checkNumbers(list []store.Invoice) {
	r.t.Helper()
	count := map[schemas.InvoiceKind]int64{}
	seen := map[string]bool{}
	for _, i := range list {
		if i.Status == "draft" {
			continue
		}
		count[i.Kind]++
		if seen[i.Number] {
			r.t.Errorf("number %s twice", i.Number)
		}
		seen[i.Number] = true
	}
	for kind, n := range count {
		last, err := r.store.LastNumber(r.t.Context(), kind)
		if err != nil || last != n {
			r.t.Errorf("%d documents of kind %s, and the last number is %d, %v", n, kind, last, err)
		}
	}
}
