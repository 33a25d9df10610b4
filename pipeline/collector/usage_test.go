package collector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

const testKey = "key-of-the-customer"

// newShop is a collector with a catalog: shop v1 with two routes, a customer
// that is subscribed to it, and one that is subscribed to nothing.
func newShop(t testing.TB, cfg Config) (*setup, *store.Store, store.Customer) {
	t.Helper()
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	for _, endpoint := range []string{"/orders", ""} {
		price := store.Price{PricingModel: "standard", Model: "per_unit", Params: json.RawMessage(`{"unit_price":"0.01"}`)}
		if _, err := st.CreateRoute(t.Context(), "test", store.Route{API: "shop", Version: "v1", Endpoint: endpoint, Prices: []store.Price{price}}); err != nil {
			t.Fatal(err)
		}
	}
	c, _, err := st.CreateCustomer(t.Context(), "test", testKey, store.Customer{Name: "Acme", PricingModel: "standard", Currency: "USD", Timezone: "UTC"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = st.CreateCustomer(t.Context(), "test", testKey+"-2", store.Customer{Name: "Nobody", PricingModel: "none", Currency: "USD", Timezone: "UTC"}, []store.Subscription{}); err != nil {
		t.Fatal(err)
	}
	cfg.Store = st
	return newSetup(t, cfg), st, c
}

func usageBody(more string) []byte {
	return []byte(`{"apiversion":"v1","endPointName":"/orders","clientIPAdress":"203.0.113.9","httpStatusCode":200,"timeTakenInMilliSeconds":12.5` + more + `}`)
}

type sentEvent struct {
	ID, Source, Type, Subject string
	Time                      time.Time
	Data                      map[string]any
}

func eventsOf(t *testing.T, messages []kafka.Message) (events []sentEvent) {
	t.Helper()
	for _, m := range messages {
		var e sentEvent
		if err := json.Unmarshal(m.Value, &e); err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

func TestUsageIsStamped(t *testing.T) {
	s, st, customer := newShop(t, Config{})
	got := s.post(t, "/v1/usage", usageBody(`,"id":"r-1","quantity":2.50,"bytes":100,"dimensions":{"region":"eu"}`), "apiKey", testKey)
	if got.status != http.StatusAccepted || strings.TrimSpace(got.body) != `{"id":"r-1","status":"accepted"}` {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	subs, err := st.Subscriptions(t.Context(), customer.ID, "", 0)
	if err != nil || len(subs) != 1 {
		t.Fatalf("subscriptions: %v, %v", subs, err)
	}
	key, err := st.KeyByHash(t.Context(), st.HashKey(testKey))
	if err != nil {
		t.Fatal(err)
	}
	messages := s.messages(t, schemas.Usage)
	events := eventsOf(t, messages)
	want := map[string]any{"api": "shop", "version": "v1", "endpoint": "/orders", "status": 200.0, "latency_ms": 12.5, "bytes": 100.0, "quantity": 2.5,
		"client_ip": "203.0.113.9", "key_id": key.ID, "customer": customer.ID, "subscription": subs[0].ID, "dimensions": map[string]any{"region": "eu"}}
	if len(events) != 1 || events[0].ID != "r-1" || events[0].Type != schemas.TypeRequest || events[0].Subject != customer.Account ||
		string(messages[0].Key) != customer.Account || fmt.Sprint(events[0].Data) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant data %v", events, want)
	}
	if errors := s.messages(t, schemas.Errors); len(errors) != 0 {
		t.Errorf("got %d error events, want none", len(errors))
	}
}

func TestUsageWithoutSubscriptionIsKept(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	if got := s.post(t, "/v1/usage", usageBody(""), "apiKey", testKey+"-2"); got.status != http.StatusAccepted {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	e := eventsOf(t, s.messages(t, schemas.Usage))[0]
	if e.Data["subscription"] != nil || e.Data["customer"] == nil || e.ID == "" {
		t.Errorf("got %+v", e)
	}
}

func TestUsageOfAnError(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	body := strings.Replace(string(usageBody(`,"id":"r-1","errorCode":"E42","errorDescription":"no such order"`)), "200", "404", 1)
	if got := s.post(t, "/v1/usage", []byte(body), "apiKey", testKey); got.status != http.StatusAccepted {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	usage, failed := eventsOf(t, s.messages(t, schemas.Usage)), eventsOf(t, s.messages(t, schemas.Errors))
	if len(usage) != 1 || len(failed) != 1 {
		t.Fatalf("got %d usage and %d error events", len(usage), len(failed))
	}
	if e := failed[0]; e.ID != "r-1-error" || e.Type != schemas.TypeAPIError || e.Data["error_code"] != "E42" ||
		e.Data["error_description"] != "no such order" || e.Data["status"] != 404.0 || !e.Time.Equal(usage[0].Time) {
		t.Errorf("got %+v", e)
	}
}

// A usage may be of an earlier time, in the form that GET /v1/usage asks for too.
func TestUsageOfAnEarlierTime(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	for _, text := range []string{"2025-03-30:01:02:03", "2025-03-30T03:02:03+02:00"} {
		if got := s.post(t, "/v1/usage", usageBody(`,"timestamp":"`+text+`"`), "apiKey", testKey); got.status != http.StatusAccepted {
			t.Fatalf("%s: got %d %s", text, got.status, got.body)
		}
	}
	want := time.Date(2025, 3, 30, 1, 2, 3, 0, time.UTC)
	for _, e := range eventsOf(t, s.messages(t, schemas.Usage)) {
		if !e.Time.Equal(want) {
			t.Errorf("got %s, want %s", e.Time, want)
		}
	}
}

func TestUsageFaultsAreNamedAtOnce(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	cases := []struct {
		body string
		want []string
	}{
		{`{}`, []string{"apiversion", "clientIPAdress", "endPointName", "httpStatusCode", "timeTakenInMilliSeconds"}},
		{`{"apiversion":1,"endPointName":"","clientIPAdress":"home","httpStatusCode":"200","timeTakenInMilliSeconds":-1,"color":"red"}`,
			[]string{"apiversion", "clientIPAdress", "color", "endPointName", "httpStatusCode", "timeTakenInMilliSeconds"}},
		{string(usageBody(`,"httpStatusCode":201`)), []string{""}},
		{strings.Replace(string(usageBody("")), "200", "400", 1), []string{"errorCode", "errorDescription"}},
		{string(usageBody(`,"errorCode":"E1"`)), []string{"errorDescription"}},
		{string(usageBody(`,"quantity":1e12`)), []string{"quantity"}},
		{string(usageBody(`,"timestamp":"yesterday","dimensions":{"a":1}`)), []string{"dimensions", "timestamp"}},
		{string(usageBody(`,"timestamp":"2999-01-01T00:00:00Z"`)), []string{"timestamp"}},
		{string(usageBody(`,"clientIPAddress":"203.0.113.8"`)), []string{"clientIPAdress"}},
		{strings.Replace(string(usageBody("")), "/orders", strings.Repeat("x", 1025), 1), []string{"endPointName"}},
		{`"text"`, []string{""}},
		{`{"apiversion":`, []string{""}},
	}
	for _, c := range cases {
		got := s.post(t, "/v1/usage", []byte(c.body), "apiKey", testKey)
		var answer struct {
			Fields []struct{ Field, Error string }
		}
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, f := range answer.Fields {
			fields = append(fields, f.Field)
			if f.Error == "" {
				t.Errorf("%s: %s has no text", c.body, f.Field)
			}
		}
		slices.Sort(fields)
		if got.status != http.StatusBadRequest || !slices.Equal(fields, c.want) {
			t.Errorf("%s\n got %d %s\nwant faults of %q", c.body, got.status, got.body, c.want)
		}
	}
	if n := len(s.messages(t, schemas.Usage)); n != 0 {
		t.Errorf("%d events, want none", n)
	}
}

func TestUsageBatch(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	body := "[" + string(usageBody(`,"id":"1"`)) + "," + `{"id":"2"}` + "," +
		strings.Replace(string(usageBody(`,"id":"3","errorCode":7,"errorDescription":"x"`)), "200", "500", 1) + "]"
	got := s.post(t, "/v1/usage", []byte(body), "apiKey", testKey)
	if got.status != http.StatusAccepted || len(got.Results) != 3 {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	for i, want := range []string{"accepted", "rejected", "accepted"} {
		if got.Results[i].Status != want || got.Results[i].ID != fmt.Sprint(i+1) {
			t.Errorf("got %+v, want %s", got.Results[i], want)
		}
	}
	usage, failed := eventsOf(t, s.messages(t, schemas.Usage)), eventsOf(t, s.messages(t, schemas.Errors))
	if len(usage) != 2 || len(failed) != 1 || failed[0].Data["error_code"] != "7" {
		t.Errorf("got %d usage events and errors %+v", len(usage), failed)
	}
	if got := s.post(t, "/v1/usage", []byte("["+strings.TrimSuffix(strings.Repeat("{},", 1001), ",")+"]"), "apiKey", testKey); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("1001 usages: got %d", got.status)
	}
}

func TestUsageNeedsAnAccount(t *testing.T) {
	s, _, _ := newShop(t, Config{})
	if got := s.post(t, "/v1/usage", usageBody("")); got.status != http.StatusBadRequest {
		t.Errorf("nobody: got %d %s", got.status, got.body)
	}
	if got := s.post(t, "/v1/usage", usageBody(""), "X-Account-ID", "other"); got.status != http.StatusAccepted {
		t.Errorf("an administrator for an account: got %d %s", got.status, got.body)
	}
}

// The usage event of a request is never there without its error event.
func TestUsageIsNotDurableWithoutKafka(t *testing.T) {
	s, _, _ := newShop(t, Config{ProduceTimeout: 500 * time.Millisecond})
	s.broker.Close()
	got := s.post(t, "/v1/usage", usageBody(`,"errorCode":"E1","errorDescription":"x"`), "apiKey", testKey)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, Retry-After %q", got.status, got.body, got.header.Get("Retry-After"))
	}
}

// Unknown keys: 401, counted, and an internal error for each of the first 100.
func TestUnknownKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s, st, _ := newShop(t, Config{Now: func() time.Time { return now }})
	for i := range 130 {
		for range 2 {
			got := s.post(t, "/v1/usage", usageBody(""), "apiKey", fmt.Sprintf("nobody-has-this-%d", i))
			if got.status != http.StatusUnauthorized {
				t.Fatalf("got %d %s", got.status, got.body)
			}
		}
	}
	hour := schemas.HourOf(now.UnixMicro())
	var counts map[string]int64
	wait(t, func() bool {
		var err error
		if counts, err = st.UnknownKeys(t.Context(), hour); err != nil {
			t.Fatal(err)
		}
		var all int64
		for _, n := range counts {
			all += n
		}
		return all == 260 && len(s.messages(t, schemas.Usage)) == 100
	})
	if len(counts) != 101 || counts[""] != 60 {
		t.Errorf("got %d prefixes, %d requests beyond them; want 101, 60", len(counts), counts[""])
	}
	m := s.messages(t, schemas.Usage)[0]
	if len(m.Headers) != 1 {
		t.Fatalf("got headers %v", m.Headers)
	}
	refusal, ok := schemas.ParseRefusal(m.Headers[0].Value)
	if !ok || refusal.Reason != schemas.UnknownKey || refusal.Endpoint != "/v1/usage" || string(m.Key) != schemas.UnknownAccount {
		t.Errorf("got %+v, %v, key %s", refusal, ok, m.Key)
	}
}

// A change of the catalog counts within a second.
func TestCatalogIsRemembered(t *testing.T) {
	var clock atomic.Int64
	s, st, customer := newShop(t, Config{Now: func() time.Time { return time.UnixMicro(clock.Load()) }})
	clock.Store(time.Now().UnixMicro()) // the subscription has begun
	post := func() (subscription any) {
		t.Helper()
		if got := s.post(t, "/v1/usage", usageBody(""), "apiKey", testKey); got.status != http.StatusAccepted {
			t.Fatalf("got %d %s", got.status, got.body)
		}
		events := eventsOf(t, s.messages(t, schemas.Usage))
		return events[len(events)-1].Data["subscription"]
	}
	subs, err := st.Subscriptions(t.Context(), customer.ID, "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := post(); got != subs[0].ID {
		t.Errorf("got subscription %v", got)
	}
	if _, err := st.EndSubscription(t.Context(), "test", customer.ID, subs[0].ID); err != nil {
		t.Fatal(err)
	}
	if got := post(); got != subs[0].ID {
		t.Errorf("at once: got subscription %v, want the remembered one", got)
	}
	clock.Add(time.Hour.Microseconds())
	if got := post(); got != nil {
		t.Errorf("later: got subscription %v, want none", got)
	}
}

// What was read is forgotten where the audit log names it, and stays where not.
func TestCatalogForgetsWhatChanged(t *testing.T) {
	now := newClock(time.Now().Add(time.Minute))
	s, st, customer := newShop(t, Config{Now: now.now})
	other, err := st.KeyByHash(t.Context(), st.HashKey(testKey+"-2"))
	if err != nil {
		t.Fatal(err)
	}
	callers := map[string]api.Caller{"itself": {Account: customer.Account, Customer: customer.ID}, "its account": {Account: customer.Account},
		"another": {Account: other.Account, Customer: other.Customer}, "nobody": {Account: "nobody"}}
	read := func() map[string]*useIndex {
		t.Helper()
		now.forward(catalogFresh)
		found := map[string]*useIndex{}
		for name, caller := range callers {
			if found[name], err = s.collector.catalog.indexed(t.Context(), caller); err != nil {
				t.Fatal(err)
			}
		}
		return found
	}
	timezone := "Europe/Berlin"
	for _, c := range []struct {
		name    string
		change  func() error
		forgets string
	}{
		{"nothing", func() error { return nil }, ""},
		{"a key", func() error {
			_, err := st.CreateKey(t.Context(), "test", store.NewKeyText(), store.Key{Role: store.RoleAccount, Account: customer.Account})
			return err
		}, ""},
		{"a customer", func() error {
			_, err := st.UpdateCustomer(t.Context(), "test", customer.ID, store.CustomerUpdate{Timezone: &timezone})
			return err
		}, "itself, its account"},
		{"a subscription", func() error {
			subs, err := st.Subscriptions(t.Context(), customer.ID, "", 0)
			if err == nil {
				_, err = st.EndSubscription(t.Context(), "test", customer.ID, subs[0].ID)
			}
			return err
		}, "itself, its account"},
		{"a route", func() error {
			_, err := st.CreateRoute(t.Context(), "test", store.Route{API: "shop", Version: "v1", Endpoint: "/new"})
			return err
		}, "itself, its account, another, nobody"},
	} {
		before := read()
		if err := c.change(); err != nil {
			t.Fatal(c.name, err)
		}
		after := read()
		for name := range callers {
			forgotten := before[name] != after[name]
			if want := slices.Contains(strings.Split(c.forgets, ", "), name); forgotten != want {
				t.Errorf("after a change of %s: %s forgotten: got %v, want %v", c.name, name, forgotten, want)
			}
		}
	}
}

// wait waits for a condition, 10 s at most.
func wait(t *testing.T, until func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !until() {
		if time.Now().After(deadline) {
			t.Fatal("it did not come true")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
