package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// catalogStore has a clock of its own.
func catalogStore(t *testing.T) (s *Store, clock *atomic.Int64) {
	clock = &atomic.Int64{}
	clock.Store(closedAt.UnixMicro())
	s = openFile(t, storetest.URL(t), Options{Now: func() time.Time { return time.UnixMicro(clock.Load()) }})
	for _, r := range []Route{{API: "shop", Version: "v1", Endpoint: "/orders"}, {API: "shop", Version: "v1"}, {API: "mail", Version: "v1", Endpoint: "/orders"}} {
		r.Prices = []Price{{PricingModel: "standard", Model: "flat", Params: json.RawMessage(`{"amount":"1"}`)}}
		if _, err := s.CreateRoute(t.Context(), "test", r); err != nil {
			t.Fatal(err)
		}
	}
	return s, clock
}

func newCustomer(t *testing.T, s *Store, key string, subs []Subscription) Customer {
	t.Helper()
	c, _, err := s.CreateCustomer(t.Context(), "test", key, Customer{Name: "Acme", PricingModel: "standard", Timezone: "UTC", Currency: "USD"}, subs)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Of two customers with one key at the same time, one is made, whole; of the
// other nothing stays.
func TestCustomersWithOneKey(t *testing.T) {
	s, _ := catalogStore(t)
	var made atomic.Int64
	var wait sync.WaitGroup
	for i := range 6 {
		wait.Go(func() {
			_, _, err := s.CreateCustomer(context.Background(), "test", "the key of both", Customer{Name: fmt.Sprint(i), PricingModel: "standard", Currency: "USD"}, nil)
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, ErrExists):
				t.Error(err)
			}
		})
	}
	wait.Wait()
	list, err := s.Customers(t.Context(), CustomerFilter{Limit: 10})
	if err != nil || made.Load() != 1 || len(list) != 1 {
		t.Fatalf("%d made, %d there, %v", made.Load(), len(list), err)
	}
	key, err := s.KeyByHash(t.Context(), s.HashKey("the key of both"))
	if err != nil || key.Customer != list[0].ID || key.Account != list[0].Account || key.Role != RoleAccount {
		t.Errorf("got %+v, %v", key, err)
	}
	subs, err := s.Subscriptions(t.Context(), list[0].ID, "", 0)
	if err != nil || len(subs) != 2 {
		t.Errorf("got %d subscriptions, %v; want mail and shop", len(subs), err)
	}
}

// A customer whose subscriptions do not fit is not made.
func TestCustomerIsMadeWhole(t *testing.T) {
	s, _ := catalogStore(t)
	_, _, err := s.CreateCustomer(t.Context(), "test", "some key", Customer{Name: "Acme", PricingModel: "standard", Currency: "USD"},
		[]Subscription{{API: "shop", Version: "v1"}, {API: "none", Version: "v1"}})
	var fault *FieldError
	if !errors.As(err, &fault) || fault.Field != "subscriptions[1].apiName" {
		t.Errorf("got %v", err)
	}
	if _, err := s.KeyByHash(t.Context(), s.HashKey("some key")); !errors.Is(err, ErrNotFound) {
		t.Errorf("its key: got %v", err)
	}
	log, err := s.AuditLog(t.Context(), "", 0, 10)
	if err != nil || len(log) != 3 { // the routes
		t.Errorf("%d changes in the audit log, %v", len(log), err)
	}
}

// Subscriptions to one API version follow each other, and the past stays.
func TestSubscriptionsInTime(t *testing.T) {
	s, clock := catalogStore(t)
	c := newCustomer(t, s, "the key", []Subscription{})
	first, err := s.Subscribe(t.Context(), "test", Subscription{Customer: c.ID, API: "shop", Version: "v1", StartsAt: closedAt.Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for _, starts := range []time.Time{closedAt.Add(-2 * time.Hour), closedAt, closedAt.Add(time.Hour)} {
		if _, err := s.Subscribe(t.Context(), "test", Subscription{Customer: c.ID, API: "shop", Version: "v1", StartsAt: starts}); !errors.Is(err, ErrExists) {
			t.Errorf("at %v: got %v", starts, err)
		}
	}
	if _, err := s.EndSubscription(t.Context(), "test", c.ID, first.ID); err != nil {
		t.Fatal(err)
	}
	clock.Add(time.Minute.Microseconds())
	ended, err := s.EndSubscription(t.Context(), "test", c.ID, first.ID)
	if err != nil || !ended.EndsAt.Equal(closedAt) || !ended.Active(closedAt.Add(-time.Second)) || ended.Active(closedAt) {
		t.Errorf("got %+v, %v", ended, err)
	}
	future, err := s.Subscribe(t.Context(), "test", Subscription{Customer: c.ID, API: "shop", Version: "v1", StartsAt: closedAt.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	never, err := s.EndSubscription(t.Context(), "test", c.ID, future.ID)
	if err != nil || never.Active(future.StartsAt) {
		t.Errorf("ended before it began: got %+v, %v", never, err)
	}
	if _, err := s.Subscribe(t.Context(), "test", Subscription{Customer: c.ID, API: "shop", Version: "v1"}); err != nil {
		t.Errorf("anew: got %v", err)
	}
	if _, err := s.EndSubscription(t.Context(), "test", "other", first.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("another customer's: got %v", err)
	}
}

func TestUseCatalogFinds(t *testing.T) {
	s, _ := catalogStore(t)
	c := newCustomer(t, s, "the key", []Subscription{{API: "shop", Version: "v1"}})
	u, err := s.UseOfCustomer(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	now := func(sub *Subscription) bool { return sub.Active(closedAt) }
	for _, test := range []struct {
		api, version, endpoint string
		ok                     bool
		want                   string
	}{
		{"", "v1", "/orders", true, "/orders"},
		{"shop", "v1", "/orders", true, "/orders"},
		{"", "v1", "/else", true, ""},
		{"", "v2", "/orders", false, ""},
		{"mail", "v1", "/orders", false, ""}, // no subscription was ever there
	} {
		r, sub, ok := u.Find(test.api, test.version, test.endpoint, now)
		if ok != test.ok || ok && (r.Endpoint != test.want || r.API != "shop" || sub == nil) {
			t.Errorf("%+v: got %+v, %+v, %v", test, r, sub, ok)
		}
	}
	if _, sub, ok := u.Find("", "v1", "/orders", func(*Subscription) bool { return false }); !ok || sub != nil {
		t.Errorf("without a valid subscription: got %+v, %v", sub, ok)
	}
	one, err := s.CustomerOfAccount(t.Context(), c.Account)
	if err != nil || one.ID != c.ID {
		t.Errorf("got %+v, %v", one, err)
	}
	if _, err := s.CustomerOfAccount(t.Context(), "nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// 100 keys an hour are told apart, across processes and calls; all are counted.
func TestCountUnknownKeys(t *testing.T) {
	s, _ := catalogStore(t)
	const hour = schemas.Hour(500_000)
	count := func(at schemas.Hour, requests map[string]int64) []string {
		t.Helper()
		untold, err := s.CountUnknownKeys(t.Context(), at, requests)
		if err != nil {
			t.Fatal(err)
		}
		return untold
	}
	for i := range 60 {
		count(hour, map[string]int64{fmt.Sprintf("a%02d", i): 1, fmt.Sprintf("b%02d", i): 2})
	}
	untold := count(hour, map[string]int64{"a00": 5, "": 7})
	if len(untold) != MaxUnknownKeys {
		t.Errorf("%d to tell of, want %d", len(untold), MaxUnknownKeys)
	}
	if err := s.UnknownKeysTold(t.Context(), hour, untold[1:]); err != nil {
		t.Fatal(err)
	}
	if again := count(hour, nil); len(again) != 1 || again[0] != untold[0] {
		t.Errorf("got %v, want %s", again, untold[0])
	}
	if next := count(hour+1, map[string]int64{"zzz": 1}); len(next) != 1 || next[0] != "zzz" {
		t.Errorf("the next hour: got %v", next)
	}
	counts, err := s.UnknownKeys(t.Context(), hour)
	var all int64
	for _, n := range counts {
		all += n
	}
	if err != nil || len(counts) != MaxUnknownKeys+1 || all != 60*3+5+7 {
		t.Errorf("got %d prefixes, %d requests, %v", len(counts), all, err)
	}
}
