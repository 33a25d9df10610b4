package main

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// What events are stamped with is what every answer adds up, and what the
// invoice bills, whoever sent them and whatever was corrected.
func TestAmountsStory(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "30ms")
	admin := s.client(t)
	route := func(endpoint, prices string) {
		t.Helper()
		admin.want(201, admin.do("POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":`+endpoint+`,"prices":[`+prices+`]}`))
	}
	const price = `{"pricingModelName":"standard","effectiveFrom":"%s","model":"%s","params":%s}`
	route(`null`, fmt.Sprintf(price, "2025-01-01T00:00:00Z", "per_unit", `{"unit_price":"0.0015"}`))
	route(`"/orders"`, fmt.Sprintf(price, "2025-01-01T00:00:00Z", "per_unit", `{"unit_price":"0.25"}`)+","+
		fmt.Sprintf(price, "2026-01-15T00:00:00Z", "per_unit", `{"unit_price":"0.3","discount_percent":"12.5"}`))
	route(`"/pay"`, fmt.Sprintf(price, "2025-01-01T00:00:00Z", "percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3","max_per_event":"5"}`))
	route(`"/tiers"`, fmt.Sprintf(price, "2025-01-01T00:00:00Z", "graduated", `{"tiers":[{"unit_price":"1"}]}`))
	made := admin.want(201, admin.do("POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"standard","timezone":"UTC","currency":"EUR",
		"subscriptions":[{"apiName":"shop","apiVersion":"v1","startsAt":"2026-01-01T00:00:00Z"}]}`))
	account := made.text("account")
	acme := s.client(t)
	acme.key = made.text("apiKey")

	d := rand.New(rand.NewPCG(3, 4))
	endpoints := []string{"/orders", "/pay", "/tiers", "/other"}
	n := 0
	for i := range 200 {
		endpoint, at := endpoints[i%4], fmt.Sprintf("2026-01-%02dT%02d:00:00Z", 1+d.IntN(31), d.IntN(24))
		quantity := fmt.Sprintf("%d.%03d", d.IntN(50), d.IntN(1000))
		if i%3 == 0 {
			acme.want(202, acme.do("POST", "/v1/usage", fmt.Sprintf(`{"id":"e%d","apiversion":"v1","endPointName":%q,"clientIPAdress":"203.0.113.7","httpStatusCode":200,
				"timeTakenInMilliSeconds":20,"timestamp":%q,"quantity":%s}`, i, endpoint, at, quantity)))
		} else {
			s.produce(t, schemas.Usage, account, fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"kafka","type":"api.request","subject":%q,"time":%q,
				"data":{"api":"shop","version":"v1","endpoint":%q,"status":200,"quantity":%s}}`, i, account, at, endpoint, quantity))
		}
		n++
	}
	requests := func() float64 {
		return acme.want(200, acme.do("GET", usagePath(""), "")).body["totals"].(map[string]any)["requests"].(float64)
	}
	s.until(t, "all is counted", func() bool { return requests() == float64(n) })
	for i := 1; i < 60; i += 6 { // of Kafka's, since those of posts have another source
		event := fmt.Sprintf(`"account":%q,"source":"kafka","id":"e%d"`, account, i)
		admin.want(202, admin.do("POST", "/v1/events/retract", `{`+event+`}`))
		n--
		event = fmt.Sprintf(`"account":%q,"source":"kafka","id":"e%d"`, account, i+1)
		admin.want(202, admin.do("POST", "/v1/events/amend", `{`+event+fmt.Sprintf(`,"after":{"api":"shop","version":"v1","endpoint":%q,"status":200,"quantity":7.125}}`, endpoints[(i+1)%4])))
	}
	s.until(t, "corrections are counted", func() bool { return requests() == float64(n) })
	amended := admin.want(202, admin.do("POST", "/v1/events/amend", fmt.Sprintf(`{"account":%q,"source":"kafka","id":"e2","after":{"api":"shop","version":"v1","endpoint":"/tiers","status":200,"quantity":1000}}`, account)))
	if amended.body["revision"] != 2.0 {
		t.Errorf("got %v", amended.body)
	}
	s.until(t, "the last amendment is counted", func() bool {
		return acme.want(200, acme.do("GET", usagePath("/tiers"), "")).body["totals"].(map[string]any)["quantity"].(float64) > 1000
	})
	s.command(t, "verify").want(t, 0, "verify: good")

	s.command(t, "job", "invoices", "--now", "2026-02-04T00:00:00Z").want(t, 0, "is final")
	s.command(t, "prove", "INV-000001").want(t, 0, "proven")
	list := acme.want(200, acme.do("GET", "/v1/invoices", "")).body["invoices"].([]any)
	invoice := acme.want(200, acme.do("GET", "/v1/invoices/"+list[0].(map[string]any)["id"].(string), "")).body
	billed := map[string]rating.Number{}
	for _, l := range invoice["lines"].([]any) {
		line := l.(map[string]any)
		endpoint := line["price"].(map[string]any)["endpoint"].(string)
		for _, p := range line["parts"].([]any) {
			if part := p.(map[string]any); part["kind"] != "rounding" {
				billed[endpoint] = billed[endpoint].Plus(number(t, part["amount"]))
			}
		}
	}
	if len(billed) != 4 {
		t.Fatalf("got lines of %v", billed)
	}
	total := rating.NumberOf(0)
	for i, endpoint := range []string{"/orders", "/pay", "", "/tiers"} {
		asked := endpoint
		if endpoint == "" {
			asked = "/other"
		}
		totals := acme.want(200, acme.do("GET", usagePath(asked), "")).body["totals"].(map[string]any)
		want := billed[endpoint]
		if i == 3 { // rated on the month's total alone
			want = rating.NumberOf(0)
		}
		if got := number(t, totals["amount"]); got.Cmp(want) != 0 || totals["currency"] != "EUR" {
			t.Errorf("%s: usage shows %s %v, the invoice bills %s", asked, got, totals["currency"], want)
		}
		total = total.Plus(want)
	}
	if total.Sign() <= 0 || billed["/tiers"].Sign() <= 0 {
		t.Fatalf("the invoice bills %s and %s", total, billed["/tiers"])
	}
	same := func(what string, got any) {
		t.Helper()
		if number(t, got).Cmp(total) != 0 {
			t.Errorf("%s: got %v, want %s", what, got, total)
		}
	}
	same("usage", acme.want(200, acme.do("GET", usagePath(""), "")).body["totals"].(map[string]any)["amount"])
	for _, of := range []string{"apis", "customers", "months"} {
		data := admin.want(200, admin.do("GET", "/v1/analytics/revenue/"+of+"?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "")).body["data"].([]any)
		if row := data[0].(map[string]any); len(data) != 1 || row["currency"] != "EUR" || of == "customers" && row["customerName"] != "Acme" {
			t.Errorf("revenue/%s: got %v", of, data)
		}
		same("revenue/"+of, data[0].(map[string]any)["amount"])
	}
	summary := admin.want(200, admin.do("GET", "/v2/summary?begin=2026-01-01&end=2026-02-01&filters=type:requests&response_format=object", "")).body["results"].([]any)
	same("summary", summary[0].(map[string]any)["rate"])
}

func usagePath(endpoint string) string {
	path := "/v1/usage?intervalType=m&fromDate=2026-01-01:00:00:00&toDate=2026-02-01:00:00:00"
	if endpoint != "" {
		path += "&endPointName=" + endpoint
	}
	return path
}

func number(t *testing.T, v any) rating.Number {
	t.Helper()
	n, err := rating.ParseAmount(fmt.Sprint(v))
	if err != nil {
		t.Fatalf("%v: %v", v, err)
	}
	return n
}
