package query

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"tallybook/schemas"
)

const orderMeter = `{"slug":"orders","description":"money ordered","eventType":"order.placed","aggregation":"SUM",` +
	`"valueProperty":"$.total.amount","groupBy":{"plan":"$['the plan']"}}`

// call sends a body and checks the status and a part of the answer.
func (f *fixture) call(t *testing.T, method, target, body string, status int, want string) {
	t.Helper()
	w := f.send(method, target, body)
	if w.Code != status || !strings.Contains(w.Body.String(), want) {
		t.Errorf("%s %s %s:\ngot  %d %s\nwant %d with %s", method, target, body, w.Code, w.Body, status, want)
	}
	if kind := w.Header().Get("Content-Type"); status >= 400 && kind != "application/problem+json" {
		t.Errorf("%s %s: an error of type %q", method, target, kind)
	}
}

func TestMeterCRUD(t *testing.T) {
	f := newFixture(t)
	const meters, orders = "/api/v1/meters", "/api/v1/meters/orders"
	f.call(t, "POST", meters, orderMeter, 201, `"version":1,"origin":"api"`)
	f.call(t, "POST", meters, orderMeter, 409, `"field":"slug"`)
	f.call(t, "GET", orders, "", 200, `"groupBy":{"plan":"$['the plan']"}`)
	f.call(t, "PUT", orders, strings.Replace(orderMeter, "money ordered", "revenue", 1), 200, `"description":"revenue"`)
	f.call(t, "GET", orders, "", 200, `"version":1`) // it counts as before
	f.call(t, "PATCH", orders, `{"aggregation":"MAX"}`, 200, `"version":2`)
	f.call(t, "GET", orders, "", 200, `"description":"revenue","eventType":"order.placed","aggregation":"MAX"`)
	f.call(t, "PATCH", orders, `{"groupBy":{"shop":"$.shop"}}`, 200, `"groupBy":{"shop":"$.shop"}`)
	f.call(t, "DELETE", orders, "", 204, "")
	f.call(t, "DELETE", orders, "", 404, `no meter \"orders\"`)
	f.call(t, "GET", orders, "", 404, `no meter \"orders\"`)
	f.call(t, "PUT", orders, orderMeter, 404, `no meter \"orders\"`)
	f.call(t, "PATCH", orders, `{}`, 404, `no meter \"orders\"`)
	f.call(t, "POST", meters, orderMeter, 201, `"version":4`) // deleted versions do not come back

	var list []meterView
	if err := json.Unmarshal(f.get(meters).Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if n := len(schemas.Meters); len(list) != n+1 || list[n].Slug != "orders" || *list[n].Complete {
		t.Errorf("list is %+v", list)
	}
	log, err := f.store.AuditLog(t.Context(), "", 0, 10)
	if err != nil || len(log) != 6 || log[0].Action != "create" || log[1].Action != "delete" || log[1].Noun != "meter" {
		t.Errorf("audit log %+v, %v", log, err)
	}
}

func TestMeterRefusals(t *testing.T) {
	f := newFixture(t)
	const meters, orders = "/api/v1/meters", "/api/v1/meters/orders"
	f.call(t, "POST", meters, orderMeter, 201, "")
	with := func(name, value string) string {
		return strings.Replace(orderMeter, `"slug":"orders"`, fmt.Sprintf(`"slug":"other",%q:%s`, name, value), 1)
	}
	for _, test := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"POST", meters, ``, 400, `whole JSON object`},
		{"POST", meters, `[]`, 400, `JSON object`},
		{"POST", meters, `{}`, 400, `"field":"slug"`},
		{"POST", meters, strings.Replace(orderMeter, "orders", "Orders", 1), 400, `"field":"slug"`},
		{"POST", meters, strings.Replace(orderMeter, "SUM", "MEDIAN", 1), 400, `"field":"aggregation"`},
		{"POST", meters, strings.Replace(orderMeter, "SUM", "COUNT", 1), 400, `"field":"valueProperty"`},
		{"POST", meters, strings.Replace(orderMeter, "$.total", "total", 1), 400, `"field":"valueProperty"`},
		{"POST", meters, strings.Replace(orderMeter, `"plan"`, `"the plan"`, 1), 400, `"field":"groupBy"`},
		{"POST", meters, strings.Replace(orderMeter, `$['the plan']`, `plan`, 1), 400, `"field":"groupBy.plan"`},
		{"POST", meters, strings.Replace(orderMeter, `"order.placed"`, `7`, 1), 400, `"field":"eventType"`},
		{"POST", meters, with("percentiles", "[50]"), 400, `"field":"percentiles"`},
		{"POST", meters, with("colour", `"red"`), 400, `"field":"colour"`},
		{"POST", meters, strings.Replace(orderMeter, `"orders"`, `"requests"`, 1), 409, `built in`},
		{"PUT", "/api/v1/meters/requests", orderMeter, 400, `"field":"slug"`},
		{"PATCH", "/api/v1/meters/requests", `{"description":"x"}`, 409, `built in`},
		{"DELETE", "/api/v1/meters/requests", ``, 409, `built in`},
		{"PUT", orders, strings.Replace(orderMeter, "orders", "others", 1), 400, `"field":"slug"`},
		{"PATCH", orders, `{"valueProperty":""}`, 400, `"field":"valueProperty"`},
		{"POST", meters, `{"slug":"` + strings.Repeat("a", 1<<20) + `"}`, 413, `bytes`},
	} {
		f.call(t, test.method, test.target, test.body, test.status, test.want)
	}
	configured := schemas.MeterDefinition{Slug: "configured", EventType: "x", Aggregation: schemas.Count}
	if err := f.store.SyncMeters(t.Context(), []schemas.MeterDefinition{configured}); err != nil {
		t.Fatal(err)
	}
	f.call(t, "DELETE", "/api/v1/meters/configured", "", 409, `declared in the configuration`)
	f.call(t, "PATCH", "/api/v1/meters/configured", `{"description":"x"}`, 409, `declared in the configuration`)
	if err := f.store.SyncMeters(t.Context(), nil); err != nil { // no longer there: it is the API's
		t.Fatal(err)
	}
	f.call(t, "DELETE", "/api/v1/meters/configured", "", 204, "")
	for i := range schemas.MaxMeters - 1 {
		d := configured
		d.Slug = fmt.Sprintf("m%d", i)
		if _, err := f.store.CreateMeter(t.Context(), "test", d); err != nil {
			t.Fatal(err)
		}
	}
	f.call(t, "POST", meters, strings.Replace(orderMeter, `"orders"`, `"more"`, 1), 409, `at most 200 meters`)
}
