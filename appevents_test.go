package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"tallybook/api/apitest"
	"tallybook/schemas"
)

// client calls a running server with a key; each answer is held against the
// server's own OpenAPI document.
type client struct {
	t   *testing.T
	url string
	key string
	*http.Client
}

func (s *server) client(t *testing.T, args ...string) *client {
	t.Helper()
	text, status := s.get("/openapi.json")
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil || status != http.StatusOK {
		t.Fatalf("openapi.json: %d %v", status, err)
	}
	doc.Servers = nil
	c := &client{t: t, url: s.url, key: s.key, Client: &http.Client{Transport: apitest.New(t, doc).Transport(t, http.DefaultTransport)}}
	if len(args) > 0 {
		out := tallybook(t, append([]string{"keys", "create", "--data", s.data}, args...)...)
		out.want(t, 0)
		c.key = strings.TrimSpace(out.out)
	}
	return c
}

// reply is an answer whose body is a JSON object, or a list.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	list   []any
}

func (r reply) text(name string) string {
	s, _ := r.body[name].(string)
	return s
}

// do sends a request; headers in pairs.
func (c *client) do(method, path, body string, headers ...string) (r reply) {
	c.t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("apiKey", c.key)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	r.status, r.header = res.StatusCode, res.Header
	switch text = bytes.TrimSpace(text); {
	case len(text) == 0:
	case text[0] == '[':
		err = json.Unmarshal(text, &r.list)
	default:
		err = json.Unmarshal(text, &r.body)
	}
	if err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, text)
	}
	return r
}

func (c *client) want(status int, r reply) reply {
	c.t.Helper()
	if r.status != status {
		c.t.Fatalf("got %d %v %v, want %d", r.status, r.body, r.list, status)
	}
	return r
}

func (c *client) newSession() string {
	c.t.Helper()
	return c.want(201, c.do("POST", "/sessions/", "")).text("id")
}

// appBody is a body of POST /events/.
func appBody(session, category, name, data, timestamp string) string {
	return fmt.Sprintf(`{"session":{"id":%q},"category":%q,"name":%q,"data":%s,"timestamp":%q}`, session, category, name, data, timestamp)
}

// create posts an event and waits until it is there.
func (c *client) create(s *server, body string) (id string) {
	c.t.Helper()
	id = c.want(202, c.do("POST", "/events/", body)).text("id")
	s.until(c.t, "the event is created", func() bool { return c.do("GET", "/events/"+id+"/", "").status == 200 })
	return id
}

// ids of a list, newest first.
func (c *client) ids(path, list string) (ids []string) {
	c.t.Helper()
	for _, one := range c.want(200, c.do("GET", path, "")).body[list].([]any) {
		ids = append(ids, one.(map[string]any)["id"].(string))
	}
	return ids
}

// The story of events.md: sessions, creation, lists and filters, scope.
func TestApplicationEvents(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	acme, bolt, admin := s.client(t, "--role", "account", "--account", "acme"), s.client(t, "--role", "account", "--account", "bolt"), s.client(t)
	writer := s.client(t, "--role", "ingest", "--account", "acme")

	session := acme.newSession()
	other := writer.want(201, writer.do("POST", "/sessions", "{}")).text("id")
	foreign := bolt.newSession()
	acme.want(400, acme.do("POST", "/sessions/", `{"id":"mine"}`))
	admin.want(400, admin.do("POST", "/sessions/", ""))
	if got, want := acme.ids("/sessions/", "sessions"), []string{other, session}; !slices.Equal(got, want) {
		t.Errorf("sessions: got %v, want %v", got, want)
	}
	if got := admin.ids("/sessions", "sessions"); len(got) != 3 {
		t.Errorf("all sessions: got %v", got)
	}

	// Exactly the documents' example, then others.
	first := acme.create(s, appBody(session, "page interaction", "pageview", `{"host":"www.example.com","path":"/"}`, "2021-06-15 00:00:00"))
	second := writer.want(202, writer.do("POST", "/events", appBody(other, "page interaction", "click", `[1]`, "2021-06-15T02:00:00.000001+02:00"))).text("id")
	third := acme.create(s, appBody(strings.ToUpper(session), "form", "click", `"{\"a\":1}"`, "2021-06-14 00:00:00.5"))
	hers := bolt.create(s, appBody(foreign, "form", "click", `{"a":1}`, "2021-06-15 00:00:00"))
	s.until(t, "the writer's is there", func() bool { return len(acme.ids("/events/", "events")) == 3 })

	got := acme.want(200, acme.do("GET", "/events/"+first+"/", ""))
	if got.header.Get("ETag") != `"0"` || got.text("timestamp") != "2021-06-15T00:00:00Z" || got.text("name") != "pageview" ||
		got.body["data"].(map[string]any)["host"] != "www.example.com" || got.body["session"].(map[string]any)["id"] != session {
		t.Errorf("the first: got %v %v", got.header, got.body)
	}
	if got := acme.want(200, acme.do("GET", "/events/"+third, "")); got.body["data"].(map[string]any)["a"] != 1.0 || got.body["session"].(map[string]any)["id"] != session {
		t.Errorf("the third: got %v", got.body)
	}
	for query, want := range map[string][]string{
		"":                          {second, first, third},
		"session=" + session:        {first, third},
		"category=page+interaction": {second, first},
		"name=click":                {second, third},
		"name=click&category=form":  {third},
		"name=click&session=" + session + "&timestamp__lte=2021-06-14T00:00:00.5Z":       {third},
		"timestamp__gte=" + url.QueryEscape("2021-06-15 00:00:00"):                       {second, first},
		"timestamp__gte=2021-06-15T00:00:00.000001Z":                                     {second},
		"timestamp__gte=2021-06-14T00:00:01Z&timestamp__lte=2021-06-15T02:00:00%2B02:00": {first},
		"timestamp__gte=2021-06-14T00:00:01Z&timestamp__lte=2021-06-15T02:00:00+02:00":   {first},
		"session=" + foreign: nil,
		"limit=2":            {second, first},
	} {
		if got := acme.ids("/events/?"+query, "events"); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	var paged []string
	for next := ""; ; {
		page := acme.want(200, acme.do("GET", "/events/?limit=1&cursor="+next, ""))
		for _, e := range page.body["events"].([]any) {
			paged = append(paged, e.(map[string]any)["id"].(string))
		}
		if next = page.text("next"); next == "" {
			break
		}
	}
	if want := []string{second, first, third}; !slices.Equal(paged, want) {
		t.Errorf("paged: got %v, want %v", paged, want)
	}
	for _, bad := range []string{"limit=0", "limit=251", "limit=x", "cursor=x", "cursor=1_x", "timestamp__lte=soon", "timestamp=2021-01-01", "category=", "name=a&name=b"} {
		acme.want(400, acme.do("GET", "/events/?"+bad, ""))
	}
	acme.want(404, acme.do("GET", "/events/"+hers+"/", ""))
	bolt.want(200, bolt.do("GET", "/events/"+hers+"/", ""))
	admin.want(200, admin.do("GET", "/events/"+hers+"/", ""))
	if got := admin.ids("/events/", "events"); len(got) != 4 {
		t.Errorf("all events: got %v", got)
	}
	if got := s.request(t, acme, "/events/", "text/csv"); strings.Count(got, "\n") != 4 || !strings.HasPrefix(got, "id,session,category,name,data,timestamp,") {
		t.Errorf("CSV: got %s", got)
	}
}

// request is an answer as text, in the form asked for.
func (s *server) request(t *testing.T, c *client, path, accept string) string {
	t.Helper()
	req, err := http.NewRequest("GET", s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("apiKey", c.key)
	req.Header.Set("Accept", accept)
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 {
		t.Fatalf("%s: %d %v %s", path, res.StatusCode, err, text)
	}
	return string(text)
}

// Failed creations: accepted at once, and an entry each with payload and reason.
func TestFailedCreations(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	acme, bolt := s.client(t, "--role", "account", "--account", "acme"), s.client(t, "--role", "account", "--account", "bolt")
	session, foreign := acme.newSession(), bolt.newSession()
	future := time.Now().Add(time.Hour).UTC().Format("2006-01-02 15:04:05.000000")
	const when = "2021-06-15 00:00:00"
	good := appBody(session, "c", "n", `{"a":1}`, when)
	cases := []struct {
		body   string
		status int
		reason schemas.Reason
		field  string
	}{
		{appBody(session, "c", "n", `{}`, when), 202, schemas.EmptyData, "data"},
		{appBody(session, "c", "n", `"{not json"`, when), 202, schemas.InvalidData, "data"},
		{appBody(session, "c", "n", `{"a":1}`, future), 202, schemas.TimeAfterReceipt, "timestamp"},
		{appBody(session, "c", "n", `{"a":1}`, "yesterday"), 202, schemas.InvalidValue, "timestamp"},
		{appBody("6f0d8bd0-0000-4000-8000-000000000000", "c", "n", `{"a":1}`, when), 202, schemas.UnknownSession, "session.id"},
		{appBody(foreign, "c", "n", `{"a":1}`, when), 202, schemas.UnknownSession, "session.id"},
		{`{"category":"c","name":"n","data":{"a":1},"timestamp":"` + when + `"}`, 202, schemas.MissingField, "session.id"},
		{strings.Replace(good, `"name":"n",`, "", 1), 202, schemas.MissingField, "name"},
		{strings.Replace(good, `,"timestamp":"`+when+`"`, "", 1), 202, schemas.MissingField, "timestamp"},
		{`{}`, 202, schemas.MissingField, "timestamp"},
		{`{"category":`, 400, schemas.InvalidJSON, ""},
		{`[]`, 400, schemas.InvalidJSON, ""},
		{"\xff", 400, schemas.InvalidJSON, ""},
		{"", 400, schemas.InvalidJSON, ""},
	}
	from := time.Now().Add(-time.Second).UTC().Format(time.RFC3339Nano)
	for _, c := range cases {
		acme.want(c.status, acme.do("POST", "/events/", c.body))
	}
	s.until(t, "all entries are there", func() bool { return len(acme.ids("/errors/?limit=250", "errors")) == len(cases) })
	entries := acme.want(200, acme.do("GET", "/errors", "")).body["errors"].([]any)
	for _, c := range cases {
		// Two of one millisecond stand in either order, so each case looks for its own.
		var body any
		whole := json.Unmarshal([]byte(c.body), &body) == nil && c.status == 202
		at := slices.IndexFunc(entries, func(entry any) bool {
			e := entry.(map[string]any)
			return e["reason"] == string(c.reason) && (c.field == "" || e["field"] == c.field) && e["message"] != "" &&
				(!whole || asText(t, e["payload"]) == asText(t, body))
		})
		if at < 0 {
			t.Errorf("%s: no entry of %s, field %q, in %v", c.body, c.reason, c.field, entries)
			continue
		}
		e := entries[at].(map[string]any)
		entries = slices.Delete(entries, at, at+1)
		one := acme.want(200, acme.do("GET", "/errors/"+e["id"].(string)+"/", ""))
		if one.text("reason") != e["reason"] {
			t.Errorf("one entry: got %v", one.body)
		}
		bolt.want(404, bolt.do("GET", "/errors/"+e["id"].(string)+"/", ""))
	}
	if got := bolt.ids("/errors/", "errors"); len(got) != 0 {
		t.Errorf("of the other account: got %v", got)
	}
	if got := acme.ids("/errors/?timestamp__gte="+from, "errors"); len(got) != len(cases) {
		t.Errorf("since the beginning: got %d", len(got))
	}
	if got := acme.ids("/errors/?timestamp__lte="+from, "errors"); len(got) != 0 {
		t.Errorf("before it: got %v", got)
	}
	if got := acme.ids("/events/", "events"); len(got) != 0 {
		t.Errorf("events: got %v", got)
	}
	// Where an event was not created, its address says where to look.
	id := acme.want(202, acme.do("POST", "/events/", cases[0].body)).text("id")
	s.until(t, "it was refused", func() bool { return strings.Contains(acme.do("GET", "/events/"+id+"/", "").text("error"), "/errors/") })

	s.command(t, "verify").want(t, 0, "verify: good")
	s.command(t, "balance").want(t, 0, "balance: good")
}

func asText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Application events sent to Kafka or /v1/events follow the same rules.
func TestApplicationEventsByOtherWays(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	acme := s.client(t, "--role", "account", "--account", "acme")
	session := acme.newSession()
	event := func(id, session, at string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"shop","type":"app.event","subject":"acme","time":%q,`+
			`"data":{"session":%q,"category":"c","name":"n","data":{"a":1}}}`, id, at, session)
	}
	future := time.Now().Add(time.Minute).UTC().Format(time.RFC3339)
	s.produce(t, schemas.Usage, "acme", event("kafka", session, "2021-06-15T00:00:00Z"))
	s.produce(t, schemas.Usage, "acme", event("kafka-unknown", "none", "2021-06-15T00:00:00Z"))
	s.produce(t, schemas.Usage, "acme", event("kafka-future", session, future))
	results := acme.want(202, acme.do("POST", "/v1/events", "["+event("http", session, "2021-06-15T00:00:00Z")+","+event("http-unknown", "none", "2021-06-15T00:00:00Z")+
		","+event("http-future", session, future)+"]")).body["results"].([]any)
	for i, want := range []string{"accepted", "accepted", "rejected"} {
		if got := results[i].(map[string]any)["status"]; got != want {
			t.Errorf("result %d: got %v, want %s", i, got, want)
		}
	}
	s.until(t, "all is processed", func() bool {
		return len(acme.ids("/events/", "events")) == 2 && len(acme.ids("/errors/", "errors")) == 3
	})
	for id, status := range map[string]int{"kafka": 200, "http": 200, "kafka-unknown": 404, "kafka-future": 404, "http-unknown": 404} {
		if got := acme.do("GET", "/events/"+id+"/", ""); got.status != status {
			t.Errorf("%s: got %d %v, want %d", id, got.status, got.body, status)
		}
	}
	entry := acme.want(200, acme.do("GET", "/errors/", "")).body["errors"].([]any)[0].(map[string]any)
	if p, _ := entry["payload"].(map[string]any); p["type"] != "app.event" {
		t.Errorf("payload of a record: got %v", entry["payload"])
	}
}
