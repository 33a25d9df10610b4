package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

const when = "2021-06-15 00:00:00"

// PUT, PATCH and DELETE of an event: corrections that everything follows.
func TestChangeApplicationEvents(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "20ms")
	acme, bolt, admin := s.client(t, "--role", "account", "--account", "acme"), s.client(t, "--role", "account", "--account", "bolt"), s.client(t)
	admin.want(201, admin.do("POST", "/api/v1/meters", `{"slug":"actions","eventType":"app.event","aggregation":"COUNT","groupBy":{"name":"$.name"}}`))
	session, foreign := acme.newSession(), bolt.newSession()
	id := acme.create(s, appBody(session, "c", "view", `{"a":1,"b":{"c":2,"d":3}}`, when))
	keep := acme.create(s, appBody(session, "c", "view", `{"a":1}`, when))
	path := "/events/" + id + "/"

	for _, bad := range []string{"", "{", "[]", appBody(session, "c", "", `{"a":1}`, when), appBody(session, "c", "n", `{}`, when),
		appBody(session, "c", "n", `{"a":1}`, "2021-06-15 00:00:01"), appBody(session, "c", "n", `{"a":1}`, "x"),
		appBody(foreign, "c", "n", `{"a":1}`, when), `{"category":"c"}`} {
		if r := acme.want(400, acme.do("PUT", path, bad)); r.text("error") == "" {
			t.Errorf("%s: no word why", bad)
		}
	}
	acme.want(400, acme.do("PUT", path, appBody(session, "c", "n", `{"a":1}`, when), "If-Match", "0"))
	acme.want(400, acme.do("PUT", path+"?what=1", appBody(session, "c", "n", `{"a":1}`, when)))
	acme.want(415, acme.do("PUT", path, "a=1", "Content-Type", "application/x-www-form-urlencoded"))
	bolt.want(404, bolt.do("PUT", path, appBody(foreign, "c", "n", `{"a":1}`, when)))
	bolt.want(404, bolt.do("DELETE", path, ""))
	if r := acme.want(200, acme.do("GET", path, "")); r.header.Get("ETag") != `"0"` {
		t.Fatalf("refused changes left revision %s", r.header.Get("ETag"))
	}

	put := acme.want(200, acme.do("PUT", path, appBody(session, "c2", "click", `{"a":1,"b":{"c":2,"d":3}}`, "2021-06-15T02:00:00+02:00"), "If-Match", `"0"`))
	if put.header.Get("ETag") != `"1"` || put.text("name") != "click" || put.text("timestamp") != "2021-06-15T00:00:00Z" || put.body["revision"] != 1.0 {
		t.Errorf("PUT: got %v %v", put.header, put.body)
	}
	acme.want(412, acme.do("PUT", path, appBody(session, "c", "late", `{"a":1}`, when), "If-Match", `"0"`))
	acme.want(412, acme.do("DELETE", path, "", "If-Match", `W/"1"`))
	patch := acme.want(200, acme.do("PATCH", path, `{"category":"c3","data":{"b":{"c":null,"e":5}}}`, "If-Match", `"7", "1"`, "Content-Type", "application/merge-patch+json"))
	if got, want := asText(t, patch.body["data"]), `{"a":1,"b":{"d":3,"e":5}}`; got != want || patch.header.Get("ETag") != `"2"` || patch.text("name") != "click" || patch.text("category") != "c3" {
		t.Errorf("PATCH: got %v %v", patch.header, patch.body)
	}
	acme.want(400, acme.do("PATCH", path, `{"name":null}`))
	acme.want(400, acme.do("PATCH", path, `{"timestamp":"2021-06-16 00:00:00"}`))
	// What GET shows may be put back.
	shown := acme.want(200, acme.do("GET", path, ""))
	if r := acme.want(200, acme.do("PUT", path, asText(t, shown.body), "If-Match", "*")); r.body["revision"] != 3.0 || asText(t, r.body["data"]) != asText(t, shown.body["data"]) {
		t.Errorf("put back: got %v", r.body)
	}
	counts := func() string {
		var b strings.Builder
		rows := acme.want(200, acme.do("GET", "/api/v1/meters/actions/query?groupBy=name&from=2021-01-01T00:00:00Z&to=2022-01-01T00:00:00Z", "")).body["data"].([]any)
		for _, row := range rows {
			m := row.(map[string]any)
			fmt.Fprint(&b, m["groupBy"].(map[string]any)["name"], "=", m["value"], " ")
		}
		return strings.TrimSpace(b.String())
	}
	s.until(t, "the meter has its past", func() bool { return counts() == "click=1 view=1" })

	acme.want(412, acme.do("DELETE", path, "", "If-Match", `"2"`))
	acme.want(204, acme.do("DELETE", path, "", "If-Match", `"3"`))
	for _, method := range []string{"GET", "DELETE"} {
		acme.want(404, acme.do(method, path, ""))
	}
	acme.want(404, acme.do("PUT", path, appBody(session, "c", "n", `{"a":1}`, when)))
	if got := acme.ids("/events/", "events"); len(got) != 1 || got[0] != keep {
		t.Errorf("after DELETE: got %v", got)
	}
	if got := counts(); got != "view=1" {
		t.Errorf("counted after DELETE: got %s", got)
	}
	admin.want(204, admin.do("DELETE", "/events/"+keep, ""))
	if got := counts(); got != "" {
		t.Errorf("counted in the end: got %s", got)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}

// Writers at one event at the same time: none loses an update.
func TestTwoWriters(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "20ms")
	acme := s.client(t, "--role", "account", "--account", "acme")
	session := acme.newSession()
	id := acme.create(s, appBody(session, "c", "n", `{"writers":0}`, when))
	path := "/events/" + id + "/"
	together := func(n int, what func(i int) reply) []reply {
		replies := make([]reply, n)
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() { replies[i] = what(i) })
		}
		all.Wait()
		return replies
	}

	const writers = 6
	for i, r := range together(writers, func(i int) reply { return acme.do("PATCH", path, fmt.Sprintf(`{"data":{"w%d":%d}}`, i, i)) }) {
		if r.status != 200 {
			t.Errorf("writer %d: got %d %v", i, r.status, r.body)
		}
	}
	is := acme.want(200, acme.do("GET", path, ""))
	if data := is.body["data"].(map[string]any); len(data) != writers+1 || is.body["revision"] != float64(writers) {
		t.Errorf("an update was lost: got revision %v, %v", is.body["revision"], data)
	}

	tag := is.header.Get("ETag")
	statuses := map[int]int{}
	for _, r := range together(4, func(i int) reply {
		return acme.do("PUT", path, appBody(session, "c", fmt.Sprint("n", i), `{"a":1}`, when), "If-Match", tag)
	}) {
		statuses[r.status]++
	}
	if statuses[200] != 1 || statuses[412] != 3 {
		t.Errorf("with If-Match: got %v, want one 200, else 412", statuses)
	}

	statuses = map[int]int{}
	for _, r := range together(3, func(i int) reply { return acme.do("DELETE", path, "") }) {
		statuses[r.status]++
	}
	if statuses[204] != 1 || statuses[404] != 2 {
		t.Errorf("DELETE: got %v, want one 204, else 404", statuses)
	}
	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}

// An event that was accepted and is not processed yet cannot be changed yet.
func TestChangeBeforeItIsProcessed(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "1s", "--partitions", "1")
	acme := s.client(t, "--role", "account", "--account", "acme")
	session := acme.newSession()
	var id string
	var early reply
	s.until(t, "a change comes too early", func() bool {
		id = acme.want(202, acme.do("POST", "/events/", appBody(session, "c", "n", `{"a":1}`, when))).text("id")
		early = acme.do("PATCH", "/events/"+id+"/", `{"name":"m"}`)
		return early.status == http.StatusConflict
	})
	if early.header.Get("Retry-After") == "" {
		t.Errorf("got no Retry-After")
	}
	// Never accepted: an id as we make them, and another.
	never := id[:len(id)-4] + "0000"
	s.until(t, "it is processed", func() bool { return acme.do("GET", "/events/"+id+"/", "").status == http.StatusOK })
	for _, id := range []string{never, "6f0d8bd0-0000-4000-8000-000000000000", "x"} {
		acme.want(404, acme.do("PATCH", "/events/"+id+"/", `{"name":"m"}`))
	}
	if r := acme.want(200, acme.do("PATCH", "/events/"+id+"/", `{"name":"m"}`)); r.text("name") != "m" {
		t.Errorf("got %v", r.body)
	}
}
