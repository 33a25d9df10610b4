package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
)

// From the catalog to the answers: what a customer's middleware posts is what
// GET /v1/usage and GET /v1/errors say.
func TestUsageStory(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	admin := s.client(t)
	const price = `{"pricingModelName":"standard","model":"per_unit","params":{"unit_price":"0.01"}}`
	admin.want(201, admin.do("POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/orders","prices":[`+price+`]}`))
	made := admin.want(201, admin.do("POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"standard"}`))
	acme := s.client(t)
	acme.key = made.text("apiKey")

	now := time.Now().UTC().Truncate(time.Hour)
	post := func(id, more string, status int, at time.Time) {
		t.Helper()
		body := fmt.Sprintf(`{"id":%q,"apiversion":"v1","endPointName":"/orders","clientIPAdress":"203.0.113.7","httpStatusCode":%d,"timeTakenInMilliSeconds":20,"timestamp":%q%s}`,
			id, status, at.Format(time.RFC3339Nano), more)
		acme.want(202, acme.do("POST", "/v1/usage", body))
	}
	at := now.Add(-30 * time.Minute)
	for range 2 { // the second is a repeat
		post("1", "", 200, at)
		post("2", `,"quantity":2.5`, 200, at.Add(time.Microsecond))
		post("3", `,"errorCode":"E1","errorDescription":"no such order"`, 404, at.Add(-2*time.Hour))
	}
	const form = "2006-01-02T15:04:05.999999Z07:00"
	usage := func(from, to time.Time) map[string]any {
		t.Helper()
		path := "/v1/usage?intervalType=h&endPointName=/orders&fromDate=" + from.Format(form) + "&toDate=" + to.Format(form)
		return acme.want(200, acme.do("GET", path, "")).body["totals"].(map[string]any)
	}
	s.until(t, "all is counted", func() bool {
		got := usage(now.Add(-6*time.Hour), now)
		return got["requests"] == 3.0 && got["errors"] == 1.0
	})
	if got := usage(now.Add(-6*time.Hour), now); got["quantity"] != 4.5 || got["averageTimeInMilliSeconds"] != 20.0 || got["currency"] != "USD" {
		t.Errorf("got %v", got)
	}
	if got := usage(at, at.Add(time.Microsecond)); got["requests"] != 1.0 || got["errors"] != 0.0 {
		t.Errorf("a microsecond: got %v", got)
	}
	list := acme.want(200, acme.do("GET", "/v1/errors?intervalType=d&fromDate="+now.AddDate(0, 0, -1).Format(form), ""))
	event := list.body["events"].([]any)[0].(map[string]any)
	if event["errorCode"] != "E1" || event["clientIPAdress"] != "203.0.113.7" || event["customer"] != made.text("id") || event["apiName"] != "shop" {
		t.Errorf("got %v", event)
	}
	if got := acme.want(400, acme.do("GET", "/v1/usage?intervalType=d&fromDate=2026-01-01:00:00:00&toDate=2026-04-01:00:00:00", "")); got.text("error") != "Please provide a range less than 60 days" {
		t.Errorf("got %v", got.body)
	}
	acme.want(403, acme.do("GET", "/v1/customers", ""))
	acme.want(403, acme.do("GET", "/v1/usage?intervalType=d&fromDate=2026-01-01:00:00:00", "", "X-Account-ID", "other"))
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}

// An unknown key is answered 401 and becomes an internal error that
// administrators see, in the archive and the books as any other.
func TestUnknownKeyIsAnInternalError(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	admin, nobody := s.client(t), s.client(t, "--role", "account", "--account", "acme")
	list := func(c *client) []any {
		t.Helper()
		return c.want(200, c.do("GET", "/v1/errors?internal=true&reason=unknown_key", "")).body["errors"].([]any)
	}
	known := nobody.key
	nobody.key = "a-key-that-nobody-has"
	for range 3 {
		nobody.want(401, nobody.do("POST", "/v1/usage", `{}`))
	}
	s.until(t, "it is told", func() bool { return len(list(admin)) == 1 })
	e := list(admin)[0].(map[string]any)
	if fmt.Sprint(e["origin"]) != "map[endpoint:/v1/usage]" || e["account"] != schemas.UnknownAccount || e["can_retry"] != false {
		t.Errorf("got %v", e)
	}
	nobody.key = known
	if got := list(nobody); len(got) != 0 {
		t.Errorf("an account sees %v", got)
	}
	admin.want(409, admin.do("POST", "/v1/errors/"+e["id"].(string)+"/retry", ""))
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}

// A record that was refused is sent again when its cause is gone: here a
// correction that came before what it corrects.
func TestErrorsAreSentAgain(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	admin := s.client(t)
	s.produce(t, schemas.Usage, "acme", `{"specversion":"1.0","id":"fix","source":"s","type":"event.retracted","subject":"acme",`+
		`"data":{"event":{"source":"s","id":"1"},"revision":1,"reason":"by mistake"}}`)
	s.produce(t, schemas.Usage, "acme", `{`)
	s.until(t, "both are refused", func() bool {
		return len(admin.want(200, admin.do("GET", "/v1/errors?internal=true", "")).body["errors"].([]any)) == 2
	})
	s.command(t, "errors", "list").want(t, 0, "unknown_original", "invalid_json", "open")
	s.produce(t, schemas.Usage, "acme", `{"specversion":"1.0","id":"1","source":"s","type":"api.request","subject":"acme","time":"2026-01-01T00:00:00Z",`+
		`"data":{"endpoint":"/","status":200}}`)
	s.until(t, "the original is counted", func() bool { return s.total(t, "requests", "acme") == 1 })

	s.command(t, "errors", "retry").want(t, 2, "needs the ids of errors, or --reason or --account")
	s.command(t, "errors", "retry", "--reason", "unknown_original").want(t, 0, "sent again: 1 of 1")
	s.until(t, "it is taken back", func() bool { return s.total(t, "requests", "acme") == 0 })
	s.command(t, "errors", "retry", "--reason", "unknown_original").want(t, 0, "sent again: 0 of 0")
	s.command(t, "errors", "list", "--status", "resent").want(t, 0, "unknown_original")

	// One that is no better than before is refused again, and can be settled.
	one := admin.want(200, admin.do("GET", "/v1/errors?internal=true&reason=invalid_json", "")).body["errors"].([]any)[0].(map[string]any)
	id := one["id"].(string)
	if got := admin.want(200, admin.do("POST", "/v1/errors/"+id+"/retry", "")); got.body["status"] != 2.0 {
		t.Errorf("got %v", got.body)
	}
	admin.want(409, admin.do("POST", "/v1/errors/"+id+"/retry", ""))
	s.command(t, "errors", "retry", id).want(t, 1, "the record was sent again")
	admin.want(404, admin.do("POST", "/v1/errors/none/retry", ""))
	s.until(t, "it is refused again", func() bool {
		return len(admin.want(200, admin.do("GET", "/v1/errors?internal=true&reason=invalid_json", "")).body["errors"].([]any)) == 2
	})
	s.command(t, "errors", "resolve", "--reason", "invalid_json").want(t, 0, "resolved: 1 of 1")
	shown := s.command(t, "errors", "show", id)
	if shown.want(t, 0, `"can_retry": false`); !strings.Contains(shown.out, `"resent_at"`) {
		t.Errorf("got %s", shown.out)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}
