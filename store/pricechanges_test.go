package store

import (
	"fmt"
	"testing"
)

// Each change that prices depend on is told once, to whoever knows the
// generation before it; of too many nothing is told but that.
func TestPriceChanges(t *testing.T) {
	s := openNew(t)
	ctx := t.Context()
	since := func(generation int64) (c PriceChanges) {
		t.Helper()
		err := s.View(ctx, func(v *View) (err error) {
			c, err = v.PriceChanges(generation)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := since(0); c.Generation != 0 || c.List != nil || c.All {
		t.Fatalf("without a catalog: got %+v", c)
	}
	route, err := s.CreateRoute(ctx, "test", Route{API: "shop", Version: "v1", Prices: []Price{{PricingModel: "p", Model: "flat", Params: []byte(`{"amount":"1"}`)}}})
	if err != nil {
		t.Fatal(err)
	}
	customer, subs, err := s.CreateCustomer(ctx, "test", "key", Customer{Account: "acme", PricingModel: "p", Timezone: "UTC", Currency: "EUR"}, nil)
	if err != nil || len(subs) != 1 {
		t.Fatal(subs, err)
	}
	api := PriceChange{API: "shop", Version: "v1"}
	own := PriceChange{Account: "acme", Customer: customer.ID}
	sub := PriceChange{Account: "acme", Customer: customer.ID, Subscription: subs[0].ID}
	want := fmt.Sprint([]PriceChange{api, own, sub})
	if c := since(0); c.Generation != 3 || c.All || fmt.Sprint(c.List) != want {
		t.Errorf("got %+v, want 3: %s", c, want)
	}
	if c := since(3); c.Generation != 3 || c.All || len(c.List) != 0 {
		t.Errorf("got %+v, want none", c)
	}
	if _, err := s.AddPrices(ctx, "test", route.ID, []Price{{PricingModel: "q", Model: "flat", Params: []byte(`{"amount":"1"}`)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.EndSubscription(ctx, "test", customer.ID, subs[0].ID); err != nil {
		t.Fatal(err)
	}
	if c := since(3); fmt.Sprint(c.List) != fmt.Sprint([]PriceChange{api, sub}) {
		t.Errorf("got %+v", c)
	}
	name := "other"
	for i := range 1001 {
		name = fmt.Sprint("name ", i)
		if _, err := s.UpdateCustomer(ctx, "test", customer.ID, CustomerUpdate{Name: &name}); err != nil {
			t.Fatal(err)
		}
	}
	if c := since(5); c.Generation != 1006 || !c.All {
		t.Errorf("of 1001 changes: got generation %d, all %t", c.Generation, c.All)
	}
	if c := since(6); c.All || len(c.List) != 1000 {
		t.Errorf("of 1000 changes: got %d, all %t", len(c.List), c.All)
	}
}
