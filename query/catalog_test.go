package query

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"tallybook/api"
	"tallybook/api/apitest"
	"tallybook/store"
)

// client calls the fixture's endpoints with a body, and holds each answer
// against the OpenAPI document.
type client struct {
	t       testing.TB
	handler http.Handler
}

func newClient(f *fixture) *client {
	f.t.Helper()
	mine := fstest.MapFS{}
	for _, name := range []string{"openapi/usage.yaml", "openapi/catalog.yaml", "openapi/analytics.yaml"} {
		text, err := OpenAPI.ReadFile(name)
		if err != nil {
			f.t.Fatal(err)
		}
		mine[name] = &fstest.MapFile{Data: text}
	}
	q := f.server
	doc, undescribed, err := api.Document(slices.Concat(q.errorEndpoints(), q.usageEndpoints(), q.routeEndpoints(), q.customerEndpoints(),
		q.auditEndpoints(), q.analyticsEndpoints()), mine)
	if err != nil || len(undescribed) > 0 {
		f.t.Fatal(err, undescribed)
	}
	return &client{f.t, apitest.New(f.t, doc).Handler(f.t, f.router)}
}

// call wants the status, and reads the answer into a map.
func (c *client) call(status int, method, target, body string, headers ...string) map[string]any {
	c.t.Helper()
	r := httptest.NewRequest(method, "http://localhost"+target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	if w.Code != status {
		c.t.Fatalf("%s %s %s: got %d %s, want %d", method, target, body, w.Code, w.Body, status)
	}
	answer := map[string]any{}
	if w.Body.Len() > 0 {
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			c.t.Fatal(err)
		}
	}
	return answer
}

func fieldsOf(answer map[string]any) (fields []string) {
	list, _ := answer["fields"].([]any)
	for _, f := range list {
		fields = append(fields, fmt.Sprint(f.(map[string]any)["field"]))
	}
	return fields
}

const perUnit = `{"pricingModelName":"standard","model":"per_unit","params":{"unit_price":"0.01"}}`

func TestCatalog(t *testing.T) {
	c := newClient(newFixture(t))
	c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/orders","prices":[`+perUnit+`]}`)
	all := c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":null,"prices":[`+perUnit+`]}`)
	c.call(201, "POST", "/v1/routes", `{"apiName":"mail","apiVersion":"v1","prices":[`+strings.Replace(perUnit, "standard", "gold", 1)+`]}`)
	if all["endpointName"] != nil || len(all["prices"].([]any)) != 1 {
		t.Errorf("got %v", all)
	}
	c.call(409, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/orders"}`)
	c.call(409, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1"}`)

	made := c.call(201, "POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"standard","email":"a@example.com","timezone":"Europe/Berlin","currency":"EUR"}`)
	id, key := made["id"].(string), made["apiKey"].(string)
	if made["account"] != id || len(key) < 40 {
		t.Errorf("got %v", made)
	}
	subs := made["subscriptions"].([]any)
	if len(subs) != 1 || subs[0].(map[string]any)["apiName"] != "shop" || subs[0].(map[string]any)["pricingModelName"] != "standard" {
		t.Errorf("got subscriptions %v, want one to shop", subs)
	}
	if c.call(200, "GET", "/v1/customers/"+id, "")["apiKey"] != nil {
		t.Error("the key is shown again")
	}
	answer := c.call(409, "POST", "/v1/customers", `{"apiKey":"`+key+`","customerName":"Other","pricingModelName":"standard"}`)
	if answer["field"] != "apiKey" {
		t.Errorf("got %v", answer)
	}
	if n := len(c.call(200, "GET", "/v1/customers", "")["customers"].([]any)); n != 1 {
		t.Errorf("%d customers, want 1: a refused one leaves nothing behind", n)
	}
	answer = c.call(400, "POST", "/v1/customers", `{"customerName":"Other","pricingModelName":"standard","account":"`+id+`","currency":"USD"}`)
	if answer["field"] != "currency" {
		t.Errorf("another currency in the account: got %v", answer)
	}

	path := "/v1/customers/" + id + "/subscriptions"
	c.call(409, "POST", path, `{"apiName":"shop","apiVersion":"v1"}`)
	if answer := c.call(400, "POST", path, `{"apiName":"mail","apiVersion":"v1"}`); answer["field"] != "pricingModelName" {
		t.Errorf("no price of the model: got %v", answer)
	}
	if answer := c.call(400, "POST", path, `{"apiName":"none","apiVersion":"v1"}`); answer["field"] != "apiName" {
		t.Errorf("no such API: got %v", answer)
	}
	sub := c.call(201, "POST", path, `{"apiName":"mail","apiVersion":"v1","pricingModelName":"gold","quota":{"limit":1000,"period":"day"}}`)
	if quota := sub["quota"].(map[string]any); quota["hard"] != true || fmt.Sprint(quota["thresholds"]) != "[80 100]" {
		t.Errorf("got quota %v", quota)
	}
	one := path + "/" + sub["id"].(string)
	if answer := c.call(400, "PATCH", one, `{"quota":{"limit":-1,"period":"weekly","thresholds":[100,80]}}`); fmt.Sprint(fieldsOf(answer)) != "[quota.limit quota.period quota.thresholds]" {
		t.Errorf("got %v", answer)
	}
	if got := c.call(200, "PATCH", one, `{"quota":null}`); got["quota"] != nil {
		t.Errorf("got %v", got)
	}
	c.call(204, "DELETE", one, "")
	c.call(204, "DELETE", one, "")
	ended := c.call(200, "GET", one, "")
	if ended["endsAt"] == nil {
		t.Errorf("got %v", ended)
	}
	c.call(201, "POST", path, `{"apiName":"mail","apiVersion":"v1","pricingModelName":"gold"}`)
	if n := len(c.call(200, "GET", path, "")["subscriptions"].([]any)); n != 3 {
		t.Errorf("%d subscriptions, want 3 with the ended one", n)
	}

	changed := c.call(200, "PATCH", "/v1/customers/"+id, `{"customerName":"Acme Ltd","timezone":"Asia/Kolkata"}`)
	if changed["customerName"] != "Acme Ltd" || changed["email"] != "a@example.com" || changed["timezone"] != "Asia/Kolkata" {
		t.Errorf("got %v", changed)
	}
	log := c.call(200, "GET", "/v1/audit?limit=1", "")
	entry := log["audit"].([]any)[0].(map[string]any)
	if entry["noun"] != "customer" || entry["action"] != "change" || entry["before"].(map[string]any)["customerName"] != "Acme" || log["next"] == nil {
		t.Errorf("got %v", log)
	}
	// routes 3, key, customer, subscriptions 3, quota, end (once), change
	if n := len(c.call(200, "GET", "/v1/audit", "")["audit"].([]any)); n != 11 {
		t.Errorf("%d changes in the audit log, want 11", n)
	}
}

func TestPricesAreOnlyAdded(t *testing.T) {
	c := newClient(newFixture(t))
	past := strings.Replace(perUnit, `"model"`, `"effectiveFrom":"2020-01-01T00:00:00Z","model"`, 1)
	route := c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/a","prices":[`+past+`]}`)
	one := "/v1/routes/" + route["id"].(string)
	if answer := c.call(400, "PATCH", one, `{"prices":[`+past+`]}`); answer["field"] != "prices[0].effectiveFrom" {
		t.Errorf("in the past: got %v", answer)
	}
	got := c.call(200, "PATCH", one, `{"prices":[`+strings.Replace(past, "2020", "2030", 1)+`]}`)
	prices := got["prices"].([]any)
	if len(prices) != 2 || prices[0].(map[string]any)["effectiveFrom"] != "2020-01-01T00:00:00Z" || prices[1].(map[string]any)["version"] != 2.0 {
		t.Errorf("got %v", prices)
	}
	c.call(400, "PATCH", one, `{"prices":[`+strings.Replace(past, "2020", "2030", 1)+`]}`)
	c.call(404, "PATCH", "/v1/routes/none", `{"prices":[`+perUnit+`]}`)
}

func TestCatalogNamesEachField(t *testing.T) {
	c := newClient(newFixture(t))
	for _, test := range []struct {
		path, body, want string
	}{
		{"/v1/routes", `{}`, "[apiName apiVersion]"},
		{"/v1/routes", `{"apiName":"a","apiVersion":"v","endpointName":"","prices":[{"model":"flat"},{"pricingModelName":"p","model":"free","params":{}}]}`,
			"[endpointName prices[0].pricingModelName prices[0].params prices[1].model]"},
		{"/v1/routes", `{"apiName":"a","apiVersion":"v","prices":[{"pricingModelName":"p","model":"graduated","params":{"tiers":[{"up_to":"5"},{"up_to":"5"},{"up_to":null}]}},
			{"pricingModelName":"p","model":"package","params":{"package_size":"0","package_price":"x"}}]}`,
			"[prices[0].params.tiers[1].up_to prices[1].params.package_price prices[1].params.package_size]"},
		{"/v1/customers", `{"apiKey":"a key","email":"nobody","timezone":"Mars","currency":"euro","account":"*"}`,
			"[apiKey customerName pricingModelName account email timezone currency]"},
		{"/v1/customers", `{"customerName":"a","pricingModelName":"p","subscriptions":[{"apiVersion":"1","startsAt":"now","quota":{"limit":-5,"period":"day"}}]}`,
			"[subscriptions[0].apiName subscriptions[0].startsAt subscriptions[0].quota.limit]"},
	} {
		if got := fmt.Sprint(fieldsOf(c.call(400, "POST", test.path, test.body))); got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.body, got, test.want)
		}
	}
	c.call(400, "POST", "/v1/routes", `{"apiName":"a","apiVersion":"v","color":"red"}`)
	c.call(404, "GET", "/v1/customers/none", "")
	c.call(404, "GET", "/v1/customers/none/subscriptions", "")
	c.call(400, "GET", "/v1/routes?limit=0", "")
	c.call(400, "GET", "/v1/routes?color=red", "")
	c.call(400, "GET", "/v1/audit?cursor=x", "")
}

func TestQuotaNamesItsMembers(t *testing.T) {
	for text, want := range map[string]string{
		`{"limit":5,"period":"day","hard":"yes"}`:        "quota.hard must be true or false",
		`{"limit":5,"period":"day","thresholds":["80"]}`: "quota.thresholds must be a list of rising percentages",
		`{"limit":5,"period":1}`:                         "quota.period must be hour, day, month or a cron expression of five fields",
		`{"limit":{},"period":"day"}`:                    "quota.limit must be a number of 0 or more",
		`{"limit":5,"period":"day","colour":1}`:          "quota must be an object of limit, period, route, hard and thresholds",
		`7`:                                              "quota must be an object of limit, period, route, hard and thresholds",
	} {
		var bad faults
		bad.quotaOf("quota", []byte(text))
		if len(bad) != 1 || bad[0].Error != want {
			t.Errorf("%s: got %v, want %s", text, bad, want)
		}
	}
}

func TestCatalogPages(t *testing.T) {
	c := newClient(newFixture(t))
	for i := range 7 {
		c.call(201, "POST", "/v1/routes", fmt.Sprintf(`{"apiName":"a","apiVersion":"v","endpointName":"/%d"}`, i))
	}
	seen, cursor := map[any]bool{}, ""
	for pages := 1; ; pages++ {
		page := c.call(200, "GET", "/v1/routes?limit=3&cursor="+cursor, "")
		for _, r := range page["routes"].([]any) {
			seen[r.(map[string]any)["endpointName"]] = true
		}
		next, more := page["next"].(string)
		if !more {
			if pages != 3 || len(seen) != 7 {
				t.Errorf("%d routes on %d pages, want 7 on 3", len(seen), pages)
			}
			return
		}
		cursor = next
	}
}

// Customers are found by a part of what is known of them.
func TestCustomersFound(t *testing.T) {
	c := newClient(newFixture(t))
	ids := map[string]string{}
	for _, name := range []string{"Acme GmbH", "Bolt 100%", "Cara_Co", "Dora Öl"} {
		word := strings.ToLower(name[:4])
		made := c.call(201, "POST", "/v1/customers", fmt.Sprintf(`{"customerName":%q,"account":"of-%s","email":"%s@example.com","pricingModelName":"std","subscriptions":[]}`, name, word, word))
		ids[name] = made["id"].(string)
	}
	for search, want := range map[string]string{"ACME": "Acme GmbH", "of-bolt": "Bolt 100%", "cara%40ex": "Cara_Co", "100%25": "Bolt 100%", "a_": "Cara_Co", ids["Acme GmbH"]: "Acme GmbH",
		"%25": "Bolt 100%", "%C3%96l": "Dora Öl", "nobody": "", "": "Acme GmbH Bolt 100% Cara_Co Dora Öl"} {
		var names []string
		for _, found := range c.call(200, "GET", "/v1/customers?search="+search, "")["customers"].([]any) {
			names = append(names, found.(map[string]any)["customerName"].(string))
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: got %q, want %q", search, got, want)
		}
	}
	c.call(400, "GET", "/v1/customers?search="+strings.Repeat("x", maxName+1), "")
	c.call(400, "GET", "/v1/customers?search=%00", "")
}

func TestRoutesOfAnAccount(t *testing.T) {
	f := newFixture(t)
	c := newClient(f)
	c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/orders","prices":[`+perUnit+`]}`)
	c.call(201, "POST", "/v1/routes", `{"apiName":"other","apiVersion":"v1","endpointName":"/x"}`)
	c.call(201, "POST", "/v1/customers", `{"apiKey":"the-key-of-acme-1","customerName":"Acme","pricingModelName":"standard"}`)
	// With --no-auth the apiKey still names the customer, and so the account.
	routes := c.call(200, "GET", "/v1/routes", "", "apiKey", "the-key-of-acme-1")["routes"].([]any)
	if len(routes) != 1 || routes[0].(map[string]any)["apiName"] != "shop" {
		t.Errorf("got %v", routes)
	}
}

func TestAccounts(t *testing.T) {
	c := newClient(newFixture(t))
	if got := c.call(200, "PUT", "/v1/accounts/acme", `{"name":"Acme"}`); got["id"] != "acme" || got["name"] != "Acme" {
		t.Errorf("got %v", got)
	}
	c.call(200, "PUT", "/v1/accounts/acme", `{"name":"Acme Ltd"}`)
	c.call(200, "PUT", "/v1/accounts/acme", `{"name":"Acme Ltd"}`)
	c.call(400, "PUT", "/v1/accounts/_unknown", `{}`)
	if got := c.call(200, "GET", "/v1/accounts/acme", ""); got["name"] != "Acme Ltd" {
		t.Errorf("got %v", got)
	}
	c.call(404, "GET", "/v1/accounts/nobody", "")
	c.call(404, "GET", "/v1/accounts/acme", "", "X-Account-ID", "other")
	c.call(400, "PUT", "/v1/accounts/%20", `{}`)
	if list := c.call(200, "GET", "/v1/accounts", "")["accounts"].([]any); len(list) != 1 {
		t.Errorf("got %v", list)
	}
	if n := len(c.call(200, "GET", "/v1/audit", "")["audit"].([]any)); n != 2 {
		t.Errorf("%d changes, want 2", n)
	}
	if list := c.call(200, "GET", "/v1/accounts", "", "X-Account-ID", "other")["accounts"].([]any); len(list) != 0 {
		t.Errorf("another account: got %v", list)
	}
}

// A customer that goes: nothing of it is in force, and all of it is still there.
func TestCloseCustomer(t *testing.T) {
	f := newFixture(t)
	c := newClient(f)
	c.call(201, "POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","prices":[{"pricingModelName":"std","model":"flat","params":{"amount":"1"}}]}`)
	made := c.call(201, "POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"std","taxes":[{"name":"VAT","percent":"19"}],"minimum":"50.00"}`)
	if made["minimum"] != "50.00" || len(made["taxes"].([]any)) != 1 {
		t.Errorf("terms: got %v", made)
	}
	id, key := made["id"].(string), made["apiKey"].(string)
	for range 2 {
		c.call(204, "DELETE", "/v1/customers/"+id, "")
	}
	subs := c.call(200, "GET", "/v1/customers/"+id+"/subscriptions", "")["subscriptions"].([]any)
	if len(subs) != 1 || subs[0].(map[string]any)["endsAt"] == nil {
		t.Errorf("subscriptions: got %v, want one that has ended", subs)
	}
	if _, err := f.store.KeyByHash(t.Context(), f.store.HashKey(key)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key: got %v, want ErrNotFound", err)
	}
	log, err := f.store.AuditLog(t.Context(), made["account"].(string), 0, 2)
	if err != nil || len(log) != 2 || log[0].Action != "revoke" || log[1].Action != "end" {
		t.Errorf("audit log: got %+v, %v", log, err)
	}
	c.call(200, "GET", "/v1/customers/"+id, "")
	c.call(200, "PATCH", "/v1/customers/"+id, `{"taxes":[],"minimum":""}`)
	c.call(400, "PATCH", "/v1/customers/"+id, `{"minimum":"-1"}`)
	c.call(400, "PATCH", "/v1/customers/"+id, `{"taxes":[{"name":"VAT","percent":"101"}]}`)
	c.call(404, "DELETE", "/v1/customers/none", "")
}
