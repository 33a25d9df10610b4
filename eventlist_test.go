package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v15/arrow/array"
	"github.com/apache/arrow/go/v15/arrow/ipc"

	"tallybook/schemas"
)

// The latest events of any type: as they were sent, newest first, with what
// meters could not count.
func TestLatestEvents(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	acme, bolt, admin := s.client(t, "--role", "account", "--account", "acme"), s.client(t, "--role", "account", "--account", "bolt"), s.client(t)
	admin.want(201, admin.do("POST", "/api/v1/meters", `{"slug":"tokens","eventType":"prompt","aggregation":"SUM","valueProperty":"$.tokens"}`))
	event := func(id, kind, account, at, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":%q,"subject":%q,"time":%q,"data":%s}`, id, kind, account, at, data)
	}
	sent := []string{
		event("r1", "api.request", "acme", "2026-01-01T00:00:00.000001Z", `{"api":"a","endpoint":"/x","status":200,"latency_ms":12.5,"bytes":7,"quantity":2.5,"dimensions":{"region":"eu"},"more":{"k":[1,"é"]}}`),
		event("r2", "api.request", "acme", "2026-01-02T00:00:00Z", `{"endpoint":"/x","status":200,"quantity":"NaN","latency_ms":"NaN"}`),
		event("p1", "prompt", "acme", "2026-01-03T00:00:00Z", `{"tokens":"100"}`),
		event("p2", "prompt", "acme", "2026-01-04T00:00:00Z", `{"tokens":"NaN"}`),
		event("p3", "prompt", "acme", "2026-01-05T00:00:00Z", `{"words":3}`),
		event("e1", "api.error", "acme", "2026-01-06T00:00:00Z", `{"api":"a","endpoint":"/x","status":500,"error_code":"E1"}`),
		event("m1", "email.opened", "acme", "2026-01-07T00:00:00Z", `{"domain":"example.com"}`),
		event("b1", "api.request", "bolt", "2026-01-08T00:00:00Z", `{"endpoint":"/x","status":200}`),
	}
	// The meter may have been declared in the same second: its past is filled from the archive.
	results := admin.want(202, admin.do("POST", "/v1/events", "["+strings.Join(sent, ",")+"]")).body["results"].([]any)
	for i, r := range results {
		if r.(map[string]any)["status"] != "accepted" {
			t.Fatalf("event %d: got %v", i, r)
		}
	}
	bad := event("bad", "api.request", "acme", "2026-01-09T00:00:00Z", `{"endpoint":"/x","status":"high"}`)
	s.produce(t, schemas.Usage, "acme", bad)
	s.produce(t, schemas.Usage, "acme", "{")
	list := func(c *client, query string) (ids []string, all []map[string]any) {
		t.Helper()
		for _, one := range c.want(200, c.do("GET", "/api/v1/events?"+query, "")).list {
			e := one.(map[string]any)
			all = append(all, e)
			ids = append(ids, e["event"].(map[string]any)["id"].(string))
		}
		return ids, all
	}
	s.until(t, "all is archived", func() bool { ids, _ := list(admin, ""); return len(ids) == 10 })

	ids, all := list(acme, "")
	// What could not be processed is of the moment of its receipt.
	if want := []string{"bad", "m1", "e1", "p3", "p2", "p1", "r2", "r1"}; !slices.Equal(ids, want) {
		t.Fatalf("got %v, want %v", ids, want)
	}
	for i, want := range map[int]string{0: "wrong_type: ", 3: "meter tokens: $.tokens is missing", 4: "meter tokens: $.tokens is not a number",
		6: "meter requests: data.quantity is not a number; meter latency: data.latency_ms is not a number"} {
		if got, _ := all[i]["validationError"].(string); !strings.HasPrefix(got, want) {
			t.Errorf("%s: got %q, want %q", ids[i], got, want)
		}
	}
	for _, i := range []int{1, 2, 5, 7} {
		if got, ok := all[i]["validationError"]; ok {
			t.Errorf("%s: got %v, want none", ids[i], got)
		}
	}
	for i, at := range map[int]int{7: 0, 6: 1, 5: 2, 4: 3, 3: 4, 2: 5} {
		if got, want := asText(t, all[i]["event"]), canonical(t, sent[at]); got != want {
			t.Errorf("event %s:\n got %s\nwant %s", ids[i], got, want)
		}
	}
	if got, want := asText(t, all[0]["event"]), canonical(t, bad); got != want {
		t.Errorf("the bad one:\n got %s\nwant %s", got, want)
	}

	for query, want := range map[string][]string{
		"limit=2":             {"bad", "m1"},
		"type=prompt":         {"p3", "p2", "p1"},
		"type=prompt&limit=1": {"p3"},
		"from=2026-01-03T00:00:00Z&to=2026-01-05T00:00:00Z":        {"p2", "p1"},
		"from=2026-01-01T00:00:00.000002Z&to=2026-01-02T00:00:01Z": {"r2"},
		"subject=acme&type=email.opened":                           {"m1"},
		"type=none":                                                nil,
	} {
		if got, _ := list(acme, query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	if ids, _ := list(bolt, ""); !slices.Equal(ids, []string{"b1"}) {
		t.Errorf("of bolt: got %v", ids)
	}
	if ids, _ := list(admin, "subject=bolt"); !slices.Equal(ids, []string{"b1"}) {
		t.Errorf("of bolt, for the administrator: got %v", ids)
	}
	acme.want(403, acme.do("GET", "/api/v1/events?subject=bolt", ""))
	for _, query := range []string{"limit=101", "limit=0", "from=x", "from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", "what=1"} {
		acme.want(400, acme.do("GET", "/api/v1/events?"+query, ""))
	}
	if got := s.request(t, acme, "/api/v1/events", "text/csv"); strings.Count(got, "\n") != 9 {
		t.Errorf("CSV: got %s", got)
	}
	stream, err := ipc.NewReader(bytes.NewReader([]byte(s.request(t, acme, "/api/v1/events?type=prompt", "application/vnd.apache.arrow.stream"))))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Release()
	if !stream.Next() || stream.Record().NumRows() != 3 || stream.Record().Column(0).(*array.String).Value(0) != "p3" {
		t.Errorf("Arrow: got %v", stream.Record())
	}
}

// canonical is a JSON text as this test compares it.
func canonical(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return asText(t, v)
}
