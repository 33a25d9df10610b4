package collector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// clock is a moving one.
type clock struct{ at atomic.Int64 }

func newClock(at time.Time) *clock {
	c := &clock{}
	c.at.Store(at.UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) forward(d time.Duration) { c.at.Add(d.Microseconds()) }

// countUse adds to a quota's use as a worker's checkpoint does.
func countUse(t *testing.T, st *store.Store, q *schemas.QuotaMeter, at time.Time, n int64) {
	t.Helper()
	tp := schemas.Partition{Topic: schemas.Usage}
	pos, err := st.TakeOver(t.Context(), tp, 0)
	if err != nil {
		t.Fatal(err)
	}
	to := pos
	to.Next, to.LastOffset, to.LastHash = pos.Next+1, pos.Next, [16]byte{byte(pos.Next), 1}
	results, err := st.Checkpoint(t.Context(), []*store.Checkpoint{{From: pos, To: to, ClosedAt: at,
		Ledger: store.Ledger{First: pos.Next, Next: to.Next, Records: 1, Counted: 1},
		Subscribed: &store.SubscribedUse{Subscriptions: []string{q.Subscription}, Uses: func(map[string]*schemas.QuotaMeter) []store.QuotaUse {
			return []store.QuotaUse{{Quota: q, Period: q.Periods.At(at), Used: schemas.DecimalFromInt(n)}}
		}}}})
	if err != nil || results[0].Outcome != store.Applied {
		t.Fatal(results, err)
	}
}

const ordersCheck = `{"apiName":"shop","apiversion":"v1","endPointName":"/orders"}`

func TestValidateRequest(t *testing.T) {
	now := newClock(time.Now().Add(time.Hour).Truncate(24 * time.Hour).Add(36 * time.Hour))
	s, st, customer := newShop(t, Config{Now: now.now})
	subs, err := st.Subscriptions(t.Context(), customer.ID, "", 0)
	if err != nil || len(subs) != 1 {
		t.Fatal(subs, err)
	}
	if _, err := st.CreateRoute(t.Context(), "test", store.Route{API: "bank", Version: "v1", Endpoint: "/pay"}); err != nil {
		t.Fatal(err)
	}
	ask := func(body, key, want string) {
		t.Helper()
		got := s.post(t, "/v1/validateRequest", []byte(body), "apiKey", key)
		want = strings.NewReplacer("CUST", customer.ID, "SUB", subs[0].ID).Replace(want)
		if got.status != http.StatusOK || strings.TrimSpace(got.body) != want {
			t.Errorf("%s: got %d %s, want %s", body, got.status, got.body, want)
		}
	}
	const unlimited = `{"allowed":true,"customer":"CUST","subscription":"SUB","limit":null,"used":0,"remaining":null,"resets_at":null}`
	no := func(reason, customer, sub string) string {
		return fmt.Sprintf(`{"allowed":false,"reason":%q,"customer":%s,"subscription":%s,"limit":null,"used":0,"remaining":null,"resets_at":null}`, reason, customer, sub)
	}
	ask(ordersCheck, testKey, unlimited)
	ask(`{"apiversion":"v1","endPointName":"/any"}`, testKey, unlimited)
	ask(`{"apiName":"bank","apiversion":"v1","endPointName":"/pay"}`, testKey, no("no_subscription", `"CUST"`, "null"))
	ask(`{"apiName":"bank","apiversion":"v1","endPointName":"/else"}`, testKey, no("unknown_route", `"CUST"`, "null"))
	ask(`{"apiName":"shop","apiversion":"v2","endPointName":"/orders"}`, testKey, no("unknown_route", `"CUST"`, "null"))

	change := func(u store.SubscriptionUpdate) *schemas.QuotaMeter {
		t.Helper()
		sub, err := st.UpdateSubscription(t.Context(), "test", customer.ID, subs[0].ID, u)
		if err != nil {
			t.Fatal(err)
		}
		now.forward(catalogFresh) // the catalog is not older than that
		q, err := sub.Meter(&customer)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := change(store.SubscriptionUpdate{SetQuota: true, Quota: &schemas.Quota{Limit: "10", Period: "day", Route: "/orders"}})
	resets := q.Periods.At(now.now()).End.Format(time.RFC3339)
	limited := func(allowed string, used, remaining int) string {
		return fmt.Sprintf(`{"allowed":%s,"customer":"CUST","subscription":"SUB","limit":10,"used":%d,"remaining":%d,"resets_at":%q}`, allowed, used, remaining, resets)
	}
	ask(ordersCheck, testKey, limited("true", 0, 10))
	countUse(t, st, q, now.now(), 9)
	countUse(t, st, q, now.now().Add(-24*time.Hour), 100) // a late event counts for its own day
	now.forward(useFresh)
	ask(ordersCheck, testKey, limited("true", 9, 1))
	countUse(t, st, q, now.now(), 1)
	now.forward(useFresh)
	ask(ordersCheck, testKey, limited(`false,"reason":"quota_exceeded"`, 10, 0))
	ask(`{"apiversion":"v1","endPointName":"/any"}`, testKey, unlimited) // of another route
	soft := false
	change(store.SubscriptionUpdate{SetQuota: true, Quota: &schemas.Quota{Limit: "10", Period: "day", Route: "/orders", Hard: &soft}})
	ask(ordersCheck, testKey, limited("true", 10, 0))
	change(store.SubscriptionUpdate{SetQuota: true, Quota: &schemas.Quota{Limit: "10", Period: "day", Route: "/orders"}})
	now.forward(q.Periods.At(now.now()).End.Sub(now.now()))
	resets = q.Periods.At(now.now()).End.Format(time.RFC3339)
	ask(ordersCheck, testKey, limited("true", 0, 10)) // the next day

	if _, err := st.EndSubscription(t.Context(), "test", customer.ID, subs[0].ID); err != nil {
		t.Fatal(err)
	}
	now.forward(catalogFresh)
	ask(ordersCheck, testKey, no("inactive_subscription", `"CUST"`, `"SUB"`))

	if got := s.post(t, "/v1/validateRequest", []byte(ordersCheck), "apiKey", "a key of nobody"); got.status != http.StatusUnauthorized {
		t.Errorf("unknown key: got %d %s, want 401", got.status, got.body)
	}
	for body, field := range map[string]string{`{"apiversion":"v1"}`: "endPointName", `{"apiversion":1,"endPointName":"/"}`: "apiversion",
		`{"apiversion":"v1","endPointName":"/","apiKey":"x"}`: "apiKey", `{"apiversion":"v1","endPointName":"/","apiNmae":"x"}`: "", ``: "", `{} {}`: ""} {
		if got := s.post(t, "/v1/validateRequest", []byte(body), "apiKey", testKey); got.status != http.StatusBadRequest || got.Field != field {
			t.Errorf("%s: got %d %s, want 400 that names %q", body, got.status, got.body, field)
		}
	}
}

// Use that nobody asked about for a while is as young as all when it is asked
// about again, and read beside the others in between.
func TestQuotaUseStaysYoung(t *testing.T) {
	now := newClock(time.Now().Add(time.Hour).Truncate(24 * time.Hour).Add(36 * time.Hour)) // noon: the month stays the same
	_, st, customer := newShop(t, Config{Now: now.now})
	subs, err := st.Subscriptions(t.Context(), customer.ID, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := st.UpdateSubscription(t.Context(), "test", customer.ID, subs[0].ID,
		store.SubscriptionUpdate{SetQuota: true, Quota: &schemas.Quota{Limit: "100", Period: "month"}})
	if err != nil {
		t.Fatal(err)
	}
	q, err := sub.Meter(&customer)
	if err != nil {
		t.Fatal(err)
	}
	key := store.QuotaPeriod{Quota: q.ID, Start: q.Periods.At(now.now()).Start.UnixMicro()}
	busy := store.QuotaPeriod{Quota: "another", Start: key.Start}
	c := newUseCache(st, now.now)
	of := func(key store.QuotaPeriod, want int64) {
		t.Helper()
		if got, err := c.of(t.Context(), key); err != nil || got != schemas.DecimalFromInt(want) {
			t.Errorf("got %s, %v, want %d", got, err, want)
		}
	}
	of(key, 0)
	for n := int64(1); n <= 5; n++ {
		countUse(t, st, q, now.now(), 1)
		now.forward(useFresh)
		of(busy, 0)
		c.mu.RLock()
		e := c.entries[key]
		c.mu.RUnlock()
		if e == nil || *e.used.Load() != schemas.DecimalFromInt(n) {
			t.Fatalf("after %d: it was not read beside the other", n)
		}
	}
	of(key, 5)
	countUse(t, st, q, now.now(), 1)
	now.forward(time.Hour)
	of(key, 6)
	now.forward(useIdle + time.Second)
	of(busy, 0)
	now.forward(useIdle + time.Second)
	of(busy, 0)
	if len(c.entries) != 1 {
		t.Errorf("%d are remembered, want the one that is asked about", len(c.entries))
	}
}

func TestValidateBatch(t *testing.T) {
	now := newClock(time.Now().Add(time.Minute))
	s, st, customer := newShop(t, Config{Now: now.now})
	batch := func(n int, key string) []byte {
		one := fmt.Sprintf(`{"apiKey":%q,`, key) + ordersCheck[1:]
		return []byte("[" + strings.Repeat(one+",", n-1) + one + "]")
	}
	type decision struct {
		Allowed  bool
		Reason   string
		Customer *string
	}
	ask := func(body []byte, headers ...string) (answer, []decision) {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, s.url+"/v1/validateRequest", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var all []decision
		if res.StatusCode == http.StatusOK {
			if err := json.NewDecoder(res.Body).Decode(&all); err != nil {
				t.Fatal(err)
			}
		}
		return answer{status: res.StatusCode}, all
	}
	mixed := []byte(`[{"apiKey":"nobody has this","apiversion":"v1","endPointName":"/orders"},` + string(batch(1, testKey)[1:]))
	if got, all := ask(mixed); got.status != http.StatusOK || len(all) != 2 || all[0].Reason != unknownKey || !all[1].Allowed || *all[1].Customer != customer.ID {
		t.Errorf("got %d %+v", got.status, all)
	}
	if got, all := ask(mixed, "X-Account-ID", "another"); got.status != http.StatusOK || all[1].Reason != unknownKey || all[1].Customer != nil {
		t.Errorf("of another account: got %d %+v", got.status, all)
	}
	if got, all := ask(batch(maxChecks, testKey)); got.status != http.StatusOK || len(all) != maxChecks || !all[maxChecks-1].Allowed {
		t.Errorf("%d checks: got %d, %d answers", maxChecks, got.status, len(all))
	}
	if got, _ := ask(batch(maxChecks+1, testKey)); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d checks: got %d, want 413", maxChecks+1, got.status)
	}
	if got, _ := ask([]byte("[" + ordersCheck + "]")); got.status != http.StatusBadRequest {
		t.Errorf("without apiKey: got %d, want 400", got.status)
	}
	if got, all := ask([]byte("[]")); got.status != http.StatusOK || all == nil {
		t.Errorf("no checks: got %d %v, want an empty list", got.status, all)
	}

	// A revoked key is unknown as soon as the catalog is read again.
	key, err := st.KeyByHash(t.Context(), st.HashKey(testKey))
	if err != nil {
		t.Fatal(err)
	}
	if err := st.RevokeKey(t.Context(), "test", "", key.ID); err != nil {
		t.Fatal(err)
	}
	now.forward(catalogFresh)
	if _, all := ask(batch(1, testKey)); len(all) != 1 || all[0].Reason != unknownKey {
		t.Errorf("revoked: got %+v", all)
	}

	w := api.WithCaller(t.Context(), api.Caller{Role: store.RoleAccount, Account: customer.Account})
	r, err := http.NewRequestWithContext(w, http.MethodPost, "/v1/validateRequest", strings.NewReader(string(batch(1, testKey))))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.collector.validateRequest(nil, r); err == nil || !strings.Contains(err.Error(), "administrators") {
		t.Errorf("a customer's batch: got %v, want 403", err)
	}
}
