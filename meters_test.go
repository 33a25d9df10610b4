package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// The meters of this file, each declared in the configuration, before any event,
// and again over HTTP, behind them.
var declaredTwice = []struct {
	definition, query string
	want              []string // parts of the answer
}{
	{`{"slug":"%s","eventType":"order.placed","aggregation":"SUM","valueProperty":"$.total.amount","groupBy":{"plan":"$['the plan']"}}`,
		"&groupBy=plan", []string{`{"plan":"free"}`, `"value":300,`, `"value":250.5,`}},
	{`{"slug":"%s","eventType":"order.placed","aggregation":"COUNT"}`, "", []string{`"value":6,`}},
	{`{"slug":"%s","eventType":"order.placed","aggregation":"MAX","valueProperty":"$.total.amount"}`, "", []string{`"value":250,`}},
	{`{"slug":"%s","eventType":"order.*","aggregation":"UNIQUE_COUNT","valueProperty":"$.shop[0]"}`, "", []string{`"value":2,`}},
	{`{"slug":"%s","eventType":"order.placed","aggregation":"PERCENTILE","percentiles":[50],"valueProperty":"$.total.amount"}`, "", []string{`"value":1`, `"50"`}},
	{`{"slug":"%s","eventType":"api.request","aggregation":"AVG","valueProperty":"$.latency_ms","groupBy":{"region":"$.dimensions.region"}}`,
		"&groupBy=region", []string{`"value":15,`, `{"region":"eu"}`}},
}

const orders = `[
{"specversion":"1.0","id":"1","source":"s","type":"order.placed","subject":"acme","time":"2026-01-01T10:00:00Z","data":{"total":{"amount":100},"the plan":"free","shop":["x"]}},
{"specversion":"1.0","id":"2","source":"s","type":"order.placed","subject":"acme","time":"2026-01-01T10:20:00Z","data":{"total":{"amount":"200"},"the plan":"free","shop":["y","x"]}},
{"specversion":"1.0","id":"3","source":"s","type":"order.placed","subject":"acme","time":"2026-01-02T10:00:00Z","data":{"total":{"amount":250},"the plan":"pro"}},
{"specversion":"1.0","id":"4","source":"s","type":"order.placed","subject":"acme","time":"2026-01-02T10:00:00Z","data":{"total":{"amount":0.5},"the plan":"pro","shop":["x"]}},
{"specversion":"1.0","id":"5","source":"s","type":"order.placed","subject":"acme","time":"2026-01-02T10:00:00Z","data":{"total":{"amount":"NaN"},"the plan":"pro"}},
{"specversion":"1.0","id":"6","source":"s","type":"order.placed","subject":"acme","time":"2026-01-02T10:00:00Z"},
{"specversion":"1.0","id":"7","source":"s","type":"api.request","subject":"acme","time":"2026-01-01T10:00:00Z","data":{"endpoint":"/a","status":200,"latency_ms":10,"dimensions":{"region":"eu"}}},
{"specversion":"1.0","id":"8","source":"s","type":"api.request","subject":"acme","time":"2026-01-01T10:00:00Z","data":{"endpoint":"/b","status":200,"latency_ms":20,"dimensions":{"region":"eu"}}}]`

// corrections take back orders 3 and 5, and make order 1 one of 150.
const corrections = `[
{"specversion":"1.0","id":"c1","source":"s","type":"event.retracted","subject":"acme","data":{"event":{"source":"s","id":"3"},"revision":1,"reason":"cancelled"}},
{"specversion":"1.0","id":"c2","source":"s","type":"event.retracted","subject":"acme","data":{"event":{"source":"s","id":"5"},"revision":1,"reason":"cancelled"}},
{"specversion":"1.0","id":"c3","source":"s","type":"event.amended","subject":"acme","data":{"event":{"source":"s","id":"1"},"revision":1,"reason":"price",
 "after":{"total":{"amount":150},"the plan":"free","shop":["x"]}}}]`

// What a meter answers does not depend on when it was declared: counted live
// from the first event on, answered from the archive, or filled from it.
func TestDeclaredMeters(t *testing.T) {
	config := "meters:\n"
	for i, m := range declaredTwice {
		config += "  - " + fmt.Sprintf(m.definition, fmt.Sprint("early_", i)) + "\n" // JSON is YAML
	}
	s := start(t, "run", t.TempDir(), "--config", writeFile(t, "config.yaml", config))
	call := func(method, path, body string, want int) string {
		t.Helper()
		answer, status := s.ask(method, path, strings.NewReader(body))
		if status != want {
			t.Fatalf("%s %s: got status %d, want %d: %s", method, path, status, want, answer)
		}
		return answer
	}
	call("POST", "/v1/events", orders, http.StatusAccepted)
	s.until(t, "all is counted", func() bool { return s.total(t, "early_1", "acme") == 6 && s.total(t, "requests", "acme") == 2 })

	ask := func(slug, query string) string {
		t.Helper()
		answer := call("GET", "/api/v1/meters/"+slug+"/query?from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z"+query, "", http.StatusOK)
		_, data, _ := strings.Cut(answer, `"data":`)
		return data
	}
	for i, m := range declaredTwice {
		early, late := fmt.Sprint("early_", i), fmt.Sprint("late_", i)
		want := ask(early, m.query)
		for _, part := range m.want {
			if !strings.Contains(want, part) {
				t.Errorf("meter %s: got %s, want %s in it", early, want, part)
			}
		}
		call("POST", "/api/v1/meters", fmt.Sprintf(m.definition, late), http.StatusCreated)
		if got := ask(late, m.query); got != want {
			t.Errorf("meter %s, before it is filled: got %s, want %s", late, got, want)
		}
	}
	for i, m := range declaredTwice {
		early, late := fmt.Sprint("early_", i), fmt.Sprint("late_", i)
		s.command(t, "job", "backfill", "--meter", late).want(t, 0)
		s.until(t, "both are complete", func() bool {
			both := call("GET", "/api/v1/meters/"+early, "", http.StatusOK) + call("GET", "/api/v1/meters/"+late, "", http.StatusOK)
			return strings.Count(both, `"complete":true`) == 2
		})
		for _, query := range []string{m.query, m.query + "&windowSize=DAY", "&groupBy=subject"} {
			if got, want := ask(late, query), ask(early, query); got != want || !strings.Contains(got, `"value":`) {
				t.Errorf("meter %s%s: got %s, want %s", late, query, got, want)
			}
		}
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "job", "sketches").want(t, 0)
	s.command(t, "verify").want(t, 0, "verify: good")

	call("POST", "/v1/events", corrections, http.StatusAccepted)
	s.until(t, "they are applied", func() bool { return s.total(t, "early_1", "acme") == 4 })
	for i, m := range declaredTwice {
		if got, want := ask(fmt.Sprint("late_", i), m.query), ask(fmt.Sprint("early_", i), m.query); got != want {
			t.Errorf("meter %d, corrected: got %s, want %s", i, got, want)
		}
	}
	if got := ask("late_0", ""); !strings.Contains(got, `"value":350.5,`) {
		t.Errorf("sum of corrected orders: got %s, want 350.5", got)
	}
	if got := ask("early_2", ""); !strings.Contains(got, `"value":200,`) {
		t.Errorf("greatest of corrected orders: got %s, want 200", got)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "job", "backfill", "--meter", "nope").want(t, 2, "not found")
	s.command(t, "job", "nope").want(t, 2, "no such job")
	s.command(t, "job", "list").want(t, 0, "backfill", "sketches")
	call("DELETE", "/api/v1/meters/early_0", "", http.StatusConflict)
	call("DELETE", "/api/v1/meters/late_0", "", http.StatusNoContent)
	call("GET", "/api/v1/meters/late_0/query", "", http.StatusNotFound)
}
