package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// sold is a request with an amount.
func sold(at, account, endpoint, amount string) fact {
	x := request(at, account, endpoint, "200", "2")
	x.Amount = dec(amount)
	return x
}

// table is the answer's rows, the named columns of each.
func (c *client) table(target string, columns ...string) string {
	c.t.Helper()
	var rows []string
	for _, row := range c.call(200, "GET", target, "")["data"].([]any) {
		var cells []string
		for _, name := range columns {
			cells = append(cells, fmt.Sprint(row.(map[string]any)[name]))
		}
		rows = append(rows, strings.Join(cells, " "))
	}
	return strings.Join(rows, "; ")
}

func TestAnalyticsTimes(t *testing.T) {
	f := newFixture(t)
	f.checkpoint(usage0, "2026-03-10T12:00:00Z",
		timed("2026-03-01T00", "acme", "/slow", "200", "100"), timed("2026-03-01T05", "acme", "/quick", "200", "10"),
		timed("2026-03-02T05", "acme", "/quick", "200", "20"), request("2026-03-02T05", "acme", "/never", "200", "1"),
		timed("2025-03-02T05", "acme", "/long-ago", "200", "1"))
	c := newClient(f)
	for target, want := range map[string]string{
		"/v1/analytics/time/best":                                   "/quick 2 15 10 20; /slow 1 100 100 100",
		"/v1/analytics/time/best?limit=1":                           "/quick 2 15 10 20",
		"/v1/analytics/time/routes":                                 "/never 1 <nil> <nil> <nil>; /quick 2 15 10 20; /slow 1 100 100 100",
		"/v1/analytics/time/best?from=2026-03-02:00:00:00":          "/quick 1 20 20 20",
		"/v1/analytics/time/best?to=2025-03-03T00:00:00Z":           "/long-ago 1 1 1 1",
		"/v1/analytics/time/best?from=2026-03-02:05:00:00.000001":   "",
		"/v1/analytics/time/best?to=2026-03-02:05:00:00&limit=1000": "/quick 1 10 10 10; /slow 1 100 100 100",
	} {
		if got := c.table(target, "endpointName", "requests", "averageTimeInMilliSeconds", "minTimeInMilliSeconds", "maxTimeInMilliSeconds"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", target, got, want)
		}
	}
	for _, query := range []string{"?limit=0", "?limit=1001", "?from=x", "?from=2026-03-02:00:00:00&to=2026-03-01:00:00:00", "?color=red"} {
		c.call(400, "GET", "/v1/analytics/time/best"+query, "")
	}
}

func TestAnalyticsRevenue(t *testing.T) {
	f := newFixture(t)
	c := newClient(f)
	customer := func(name, account, currency string) string {
		return c.call(201, "POST", "/v1/customers", fmt.Sprintf(`{"customerName":%q,"pricingModelName":"p","account":%q,"currency":%q}`, name, account, currency))["id"].(string)
	}
	acme := customer("Acme", "acme", "USD")
	customer("One", "shared", "EUR")
	two := customer("Two", "shared", "EUR")
	ofTwo := sold("2026-03-02T00", "shared", "/a", "7")
	f.customers = map[string]string{"/b": two} // the archive's column, by endpoint
	f.checkpoint(usage0, "2026-03-10T12:00:00Z", sold("2026-02-28T23", "acme", "/a", "1.25"), sold("2026-03-01T00", "acme", "/b", "0.000000001"),
		ofTwo, sold("2026-03-03T00", "shared", "/b", "3.5"), sold("2026-03-03T00", "nobody", "/b", "0.5"))
	for target, want := range map[string]string{
		"apis":              "web 10.5 EUR 2 4; web 1.750000001 USD 3 6",
		"routes":            "web 7 EUR 1 2; web 3.5 EUR 1 2; web 1.25 USD 1 2; web 0.500000001 USD 2 4",
		"routes?limit=2":    "web 7 EUR 1 2; web 3.5 EUR 1 2",
		"months":            "<nil> 1.25 USD 1 2; <nil> 10.5 EUR 2 4; <nil> 0.500000001 USD 2 4",
		"months?limit=1":    "<nil> 0.500000001 USD 2 4",
		"customers":         "<nil> 7 EUR 1 2; <nil> 3.5 EUR 1 2; <nil> 1.250000001 USD 2 4; <nil> 0.5 USD 1 2",
		"customers?limit=1": "<nil> 7 EUR 1 2",
	} {
		if got := c.table("/v1/analytics/revenue/"+target, "apiName", "amount", "currency", "requests", "quantity"); got != want {
			t.Errorf("%s:\n got %s\nwant %s", target, got, want)
		}
	}
	if got, want := c.table("/v1/analytics/revenue/customers", "customer", "customerName", "account"),
		"<nil> <nil> shared; "+two+" Two shared; "+acme+" Acme acme; <nil> <nil> nobody"; got != want {
		t.Errorf("customers:\n got %s\nwant %s", got, want)
	}
	if got, want := c.table("/v1/analytics/revenue/months", "month"), "2026-02-01T00:00:00Z; 2026-03-01T00:00:00Z; 2026-03-01T00:00:00Z"; got != want {
		t.Errorf("months: got %s, want %s", got, want)
	}
	own := c.call(200, "GET", "/v1/analytics/revenue/apis", "", "X-Account-ID", "acme")["data"].([]any)
	if len(own) != 1 || own[0].(map[string]any)["amount"] != 1.250000001 {
		t.Errorf("of one account: got %v", own)
	}
	const months = "/v1/usage?intervalType=m&fromDate=2026-02-01:00:00:00&toDate=2026-04-01:00:00:00"
	usage := c.call(200, "GET", months, "")
	february, total := usage["intervals"].([]any)[0].(map[string]any), usage["totals"].(map[string]any)
	if got, want := fmt.Sprint(february["amount"], february["amounts"], total["amount"], total["amounts"]),
		"<nil> map[USD:1.25] <nil> map[EUR:10.50 USD:1.750000001]"; got != want {
		t.Errorf("usage of two currencies: got %s, want %s", got, want)
	}
	if got := f.get(months, "Accept", "text/csv").Body.String(); !strings.Contains(got, ",8,,XXX\n") {
		t.Errorf("usage of two currencies as CSV: got %q", got)
	}
	const summary = "/v2/summary?begin=2026-02-01&end=2026-04-01&response_format=object"
	for query, want := range map[string]string{
		"":                         "10 <nil>",
		"&groupby=project_id":      "4 1.250000001; 2 0.5; 4 10.5",
		"&groupby=time-m":          "2 1.25; 8 <nil>",
		"&groupby=endpoint":        "4 <nil>; 6 <nil>",
		"&filters=project_id:acme": "4 1.250000001",
		"&filters=project_id:acme,project_id:nobody": "6 1.750000001",
	} {
		var rows []string
		var answer struct{ Results []map[string]any }
		if err := json.Unmarshal(f.get(summary+query).Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		for _, row := range answer.Results {
			rows = append(rows, fmt.Sprint(row["qty"], " ", row["rate"]))
		}
		if got := strings.Join(rows, "; "); got != want {
			t.Errorf("summary of two currencies %s: got %s, want %s", query, got, want)
		}
	}
	w := f.get("/v1/analytics/revenue/apis", "Accept", "text/csv")
	if got := w.Body.String(); got != "apiName,amount,currency,requests,quantity\nweb,10.5,EUR,2,4\nweb,1.750000001,USD,3,6\n" {
		t.Errorf("CSV: got %q", got)
	}
}
