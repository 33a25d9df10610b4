package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

// testApplyCatalog: a file's catalog is made once, whatever is applied again; a
// dry run and a refusal leave nothing.
func testApplyCatalog(t *testing.T, s *Store) {
	model, mail := "standard", "billing@acme.example"
	file := func(quota string) *Catalog {
		return &Catalog{
			Routes: []Route{{API: "shop", Version: "v1", Endpoint: "/orders", Prices: []Price{
				{PricingModel: model, Model: "flat", Params: json.RawMessage(`{"amount":"1"}`)}}},
				{API: "shop", Version: "v2", Prices: []Price{{PricingModel: model, Model: "flat", Params: json.RawMessage(`{"amount":"2"}`)}}}},
			Customers: []CatalogCustomer{{Account: "acme", Name: "Acme", CustomerUpdate: CustomerUpdate{PricingModel: &model, Email: &mail},
				Subscriptions: &[]CatalogSubscription{{API: "shop", Version: "v1",
					SubscriptionUpdate: SubscriptionUpdate{SetQuota: true, Quota: &schemas.Quota{Limit: json.Number(quota), Period: "month"}}}}}},
		}
	}
	apply := func(c *Catalog, o ApplyOptions, want string) *CatalogResult {
		t.Helper()
		o.Actor = "test"
		done, err := s.ApplyCatalog(ctx, c, o)
		if err != nil {
			t.Fatal(err)
		}
		var ops strings.Builder
		for _, change := range done.Changes {
			if change.Field == "" || change.Op != '+' {
				ops.WriteString(string(change.Op) + change.Noun + " ")
			}
		}
		if got := strings.TrimSpace(ops.String()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		return done
	}
	const made = "+route +route +key +customer +subscription"
	dry := apply(file("10"), ApplyOptions{DryRun: true}, made)
	if routes, err := s.Routes(ctx, RouteFilter{Limit: 10}); err != nil || len(routes) != 0 || len(dry.Keys) != 0 {
		t.Errorf("after a dry run got %v, %v, %v", routes, dry.Keys, err)
	}
	if first := apply(file("10"), ApplyOptions{}, made); len(first.Keys) != 1 {
		t.Errorf("got keys %v, want one", first.Keys)
	}
	apply(file("10"), ApplyOptions{}, "")
	apply(file("20"), ApplyOptions{}, "~subscription")
	other := file("20")
	other.Customers[0].Subscriptions = &[]CatalogSubscription{{API: "shop", Version: "v2"}}
	apply(other, ApplyOptions{Prune: true}, "+subscription -subscription")
	twice := file("20")
	twice.Routes = append(twice.Routes, twice.Routes[0])
	var field *FieldError
	if _, err := s.ApplyCatalog(ctx, twice, ApplyOptions{Actor: "test"}); !errors.As(err, &field) || field.Field != "routes[2].endpointName" {
		t.Errorf("a route twice: got %v", err)
	}
	left := apply(&Catalog{}, ApplyOptions{}, "")
	if o := left.Others; o.Routes != 2 || o.Customers != 1 || o.Subscriptions != 1 {
		t.Errorf("got others %+v", o)
	}
}

// testFirstAdminKey: there is one, however many processes start, and it is good.
func testFirstAdminKey(t *testing.T, s *Store) {
	text, err := s.FirstAdminKey(ctx)
	if err != nil || text == "" {
		t.Fatalf("got %q, %v", text, err)
	}
	if again, err := s.FirstAdminKey(ctx); err != nil || again != "" {
		t.Errorf("again: got %q, %v, want none", again, err)
	}
	k, err := s.KeyByHash(ctx, s.HashKey(text))
	if err != nil || k.Role != RoleAdmin {
		t.Errorf("got %+v, %v", k, err)
	}
	if err := s.RevokeKey(ctx, "test", "", k.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.KeyByHash(ctx, s.HashKey(text)); !errors.Is(err, ErrNotFound) {
		t.Errorf("revoked: got %v, want ErrNotFound", err)
	}
}

// testKeys: the newest comes first, page by page.
func testKeys(t *testing.T, s *Store) {
	var want []string
	for i := range 5 {
		account := []string{"acme", "bolt"}[i%2]
		k, err := s.CreateKey(ctx, "test", NewKeyText(), Key{Role: RoleAccount, Account: account, Name: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		if account == "acme" {
			want = append([]string{k.Name}, want...)
		}
	}
	var got []string
	for after := ""; ; {
		page, err := s.Keys(ctx, "acme", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range page {
			got, after = append(got, k.Name), k.ID
		}
		if len(page) < 2 {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if page, err := s.Keys(ctx, "acme", "none", 2); err != nil || len(page) != 0 {
		t.Errorf("after a key that is not there: got %v, %v", page, err)
	}
}
