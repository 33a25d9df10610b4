package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tallybook/schemas"
)

// operation is an endpoint as /openapi.json, which is made from the mounted
// table, tells of it.
type operation struct {
	method, path string
	access       string
	replaces     bool // X-Account-ID of another is ignored, not refused
}

func (s *server) operations(t *testing.T) (list []operation) {
	t.Helper()
	body, status := s.get("/openapi.json")
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || status != http.StatusOK {
		t.Fatalf("openapi.json: %d %v", status, err)
	}
	for path, methods := range doc.Paths {
		for method, text := range methods {
			if method == "parameters" {
				continue
			}
			var op struct {
				Access string `json:"x-access"`
				Scope  string `json:"x-scope"`
			}
			if err := json.Unmarshal(text, &op); err != nil {
				t.Fatal(err)
			}
			list = append(list, operation{strings.ToUpper(method), path, op.Access, op.Scope == "replace"})
		}
	}
	slices.SortFunc(list, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return list
}

// fill puts something that exists into the variables of a path.
func (o operation) fill(account string) string {
	path := o.path
	for name, value := range map[string]string{"{account}": account, "{slug}": "requests", "{name}": "usage", "{domain}": "mail.example.com", "{file}": "index.css"} {
		path = strings.ReplaceAll(path, name, url.PathEscape(value))
	}
	for strings.Contains(path, "{") {
		begin, end := strings.Index(path, "{"), strings.Index(path, "}")
		path = path[:begin] + "00000000-0000-4000-8000-000000000000" + path[end+1:]
	}
	return path
}

// Every endpoint of the running binary × every kind of caller. What must happen
// follows from the endpoint's access alone.
func TestAuthorization(t *testing.T) {
	s := start(t, "run", t.TempDir())
	key := func(args ...string) string {
		out := tallybook(t, append([]string{"keys", "create", "--data", s.data}, args...)...)
		out.want(t, 0)
		return strings.TrimSpace(out.out)
	}
	callers := []struct {
		name, key, header string
		role              string
	}{
		{"none", "", "", "none"},
		{"bad key", "tally_" + strings.Repeat("x", 43), "", "none"},
		{"ingest key", key("--role", "ingest", "--account", "own"), "", "ingest"},
		{"own account", key("--role", "account", "--account", "own"), "own", "account"},
		{"other account", key("--role", "account", "--account", "other"), "own", "other"},
		{"admin", s.key, "own", "admin"},
	}
	operations := s.operations(t)
	if len(operations) < 10 {
		t.Fatalf("only %d operations are documented", len(operations))
	}
	for _, op := range operations {
		for _, c := range callers {
			got := s.status(t, op, c.key, c.header)
			refused := got == http.StatusUnauthorized || got == http.StatusForbidden
			switch want := allowed(op, c.role); {
			case op.access == "signed": // the signature decides
			case want == http.StatusOK && refused, want != http.StatusOK && got != want:
				t.Errorf("%s %s (%s) as %s: got %d, want %d (200: anything but 401 and 403)", op.method, op.path, op.access, c.name, got, want)
			}
			if got >= 500 && got != http.StatusServiceUnavailable {
				t.Errorf("%s %s as %s: got %d", op.method, op.path, c.name, got)
			}
		}
	}
	t.Logf("%d operations, %d callers", len(operations), len(callers))
}

// allowed is the status that a caller must get: 401, 403, or 200 for in.
func allowed(op operation, role string) int {
	switch {
	case op.access == "public" || role == "admin":
		return http.StatusOK
	case role == "none":
		return http.StatusUnauthorized
	case op.access == "admin", op.access == "account" && role == "ingest":
		return http.StatusForbidden
	case role == "other" && !op.replaces:
		return http.StatusForbidden
	}
	return http.StatusOK
}

func (s *server) status(t *testing.T, op operation, key, account string) int {
	t.Helper()
	var content io.Reader
	if op.method == "POST" || op.method == "PUT" || op.method == "PATCH" {
		content = strings.NewReader("{}")
	}
	req, err := http.NewRequest(op.method, s.url+op.fill("own"), content)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if account != "" {
		req.Header.Set("X-Account-ID", account)
	}
	if content != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.http.Transport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", op.method, op.path, err)
	}
	defer res.Body.Close()
	return res.StatusCode
}

// What stands in one account must not show in any answer to another.
func TestOtherAccountSeesNothing(t *testing.T) {
	s := start(t, "run", t.TempDir())
	const marker = "only-of-own"
	events := []string{
		`{"specversion":"1.0","id":"` + marker + `-1","source":"t","type":"api.request","subject":"own","data":{"api":"` + marker + `","endpoint":"/` + marker + `","method":"GET","status":200,"latency_ms":3}}`,
		`{"specversion":"1.0","id":"` + marker + `-2","source":"t","type":"api.error","subject":"own","data":{"api":"` + marker + `","endpoint":"/` + marker + `","method":"GET","status":500,"error_code":"` + marker + `","error_description":"` + marker + `"}}`,
		`{"specversion":"1.0","id":"` + marker + `-3","source":"t","type":"email.delivered","subject":"own","data":{"domain":"` + marker + `.example.com","recipient":"` + marker + `@example.com"}}`,
		`{"specversion":"1.0","id":"` + marker + `-4","source":"t","type":"` + marker + `","subject":"own","data":{"x":"` + marker + `"}}`,
	}
	if body, status := s.ask(http.MethodPost, "/v1/events", strings.NewReader("["+strings.Join(events, ",")+"]")); status != http.StatusAccepted {
		t.Fatalf("send: %d %s", status, body)
	}
	s.until(t, "it is counted", func() bool {
		return s.total(t, "requests", "own") == 1 && s.total(t, "errors", "own") == 1 && s.total(t, "emails", "own") == 1
	})
	admin := s.key
	other := strings.TrimSpace(tallybook(t, "keys", "create", "--data", s.data, "--role", "account", "--account", "other").out)
	seen := 0
	for _, op := range s.operations(t) {
		if op.method != "GET" || op.access == "public" {
			continue
		}
		for _, query := range []string{"", "?subject=own", "?account=own", "?filters=project_id:own&groupby=project_id,endpoint", "?groupBy=endpoint&from=2026-01-01T00:00:00Z",
			"?internal=true", "?event=delivered", "?intervalType=d&fromDate=2026-01-01:00:00:00", "?subject=own&groupBy=subject"} {
			s.key = admin
			if body, _ := s.get(op.fill("own") + query); strings.Contains(body, marker) {
				seen++ // so the question can find it
			}
			s.key = other
			for _, path := range []string{op.fill("own"), op.fill("other")} {
				if body, status := s.get(path + query); strings.Contains(body, marker) {
					t.Errorf("GET %s%s as another account: %d %s", path, query, status, body)
				}
			}
		}
	}
	if seen == 0 {
		t.Errorf("no answer to an administrator has it: does this test still look at anything?")
	}
	t.Logf("%d answers show it to an administrator, none to another account; topics %v", seen, schemas.Topics)
}
