package main

import (
	"fmt"
	"testing"
)

// Retractions and amendments over HTTP: totals, least and greatest values, and
// the checks follow; what cannot be applied is an error entry.
func TestCorrectEvents(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "20ms")
	acme, admin := s.client(t, "--role", "account", "--account", "acme"), s.client(t)
	admin.want(201, admin.do("POST", "/api/v1/meters", `{"slug":"slowest","eventType":"api.request","aggregation":"MAX","valueProperty":"$.latency_ms"}`))
	for i, latency := range []int{10, 500, 30} {
		admin.want(202, admin.do("POST", "/v1/events", fmt.Sprintf(`{"specversion":"1.0","id":"e%d","source":"test","type":"api.request","subject":"acme",`+
			`"time":"2026-01-02T10:00:0%dZ","data":{"api":"web","endpoint":"/a","status":200,"latency_ms":%d,"quantity":2}}`, i, i, latency)))
	}
	meter := func(slug string) string {
		got := ""
		for _, row := range acme.want(200, acme.do("GET", "/api/v1/meters/"+slug+"/query?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z", "")).body["data"].([]any) {
			got += fmt.Sprint(row.(map[string]any)["value"])
		}
		return got
	}
	is := func(requests, slowest string) {
		t.Helper()
		s.until(t, "requests are "+requests+", the slowest "+slowest, func() bool { return meter("requests") == requests && meter("slowest") == slowest })
	}
	is("6", "500")

	target := func(id string) string { return fmt.Sprintf(`"account":"acme","source":"test","id":%q`, id) }
	for _, path := range []string{"/v1/events/retract", "/v1/events/amend"} {
		acme.want(403, acme.do("POST", path, `{`+target("e0")+`}`))
	}
	first := admin.want(202, admin.do("POST", "/v1/events/retract", `{`+target("e1")+`,"reason":"a test"}`))
	if first.body["revision"] != 1.0 || first.text("id") == "" {
		t.Errorf("retract: got %v", first.body)
	}
	is("4", "30")
	admin.want(409, admin.do("POST", "/v1/events/retract", `{`+target("e1")+`}`))
	admin.want(202, admin.do("POST", "/v1/events/amend", `{`+target("e2")+`,"after":{"api":"web","endpoint":"/b","status":200,"latency_ms":7,"quantity":5}}`))
	is("7", "10")
	second := admin.want(202, admin.do("POST", "/v1/events/amend", `{`+target("e2")+`,"after":{"api":"web","endpoint":"/b","status":200,"quantity":1}}`))
	if second.body["revision"] != 2.0 {
		t.Errorf("amended again: got %v, want revision 2", second.body)
	}
	is("3", "10")
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "job", "extremes").want(t, 0, "")
	is("3", "10")

	admin.want(202, admin.do("POST", "/v1/events/retract", `{`+target("none")+`}`))
	s.until(t, "the unknown event is an error", func() bool {
		all, _ := admin.want(200, admin.do("GET", "/v1/errors?internal=true&fromDate=2026-01-01T00:00:00Z", "")).body["errors"].([]any)
		for _, e := range all {
			if fmt.Sprint(e.(map[string]any)["reason"]) == "unknown_original" {
				return true
			}
		}
		return false
	})
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}
