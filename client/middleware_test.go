package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// reports are the usages that wait in a reporter.
func reports(r *Reporter) (list []Usage) {
	for len(r.queue) > 0 {
		list = append(list, <-r.queue)
	}
	return list
}

// newMiddleware has a clock that goes on by 10 ms with each look at it.
func newMiddleware() *Middleware {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &Middleware{Reporter: NewReporter(New("http://127.0.0.1:1"), ReporterConfig{}), APIName: "shop", APIVersion: "v1",
		Now: func() time.Time { at = at.Add(10 * time.Millisecond); return at }}
}

func get(h http.Handler, path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMiddlewareMeasures(t *testing.T) {
	m := newMiddleware()
	mux := http.NewServeMux()
	mux.HandleFunc("GET example.com/orders/{id}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "12345") })
	mux.HandleFunc("/fails", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(418) })
	mux.HandleFunc("/named", func(w http.ResponseWriter, r *http.Request) {
		Fail(r, "E1", "in words")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(500)
		w.WriteHeader(200)
	})
	mux.HandleFunc("/nothing", func(http.ResponseWriter, *http.Request) {})
	h := m.Wrap(mux)
	for _, c := range []struct {
		path, endpoint string
		status         int
		bytes          int64
		code, text     string
	}{
		{"/orders/7", "/orders/{id}", 200, 5, "", ""},
		{"/fails", "/fails", 418, 0, "418", "I'm a teapot"},
		{"/named", "/named", 500, 0, "E1", "in words"},
		{"/nothing", "/nothing", 200, 0, "", ""},
		{"/none", "/none", 404, 19, "404", "Not Found"},
	} {
		get(h, c.path, "apiKey", "k")
		list := reports(m.Reporter)
		if len(list) != 1 {
			t.Fatalf("%s: %d usages", c.path, len(list))
		}
		u := list[0]
		if u.Key != "k" || u.APIName != "shop" || u.APIVersion != "v1" || u.Endpoint != c.endpoint || u.Status != c.status || u.Bytes != c.bytes ||
			u.ErrorCode != c.code || u.ErrorDescription != c.text || u.ClientIP != "192.0.2.1" || u.Method != "GET" || u.Took != 10*time.Millisecond || u.ID == "" {
			t.Errorf("%s: got %+v", c.path, u)
		}
	}
}

// A panic is measured as the 500 that it becomes, and goes on.
func TestMiddlewarePanics(t *testing.T) {
	m := newMiddleware()
	h := m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("oops") }))
	func() {
		defer func() {
			if p := recover(); p != "oops" {
				t.Errorf("got %v", p)
			}
		}()
		get(h, "/")
	}()
	if list := reports(m.Reporter); len(list) != 1 || list[0].Status != 500 || list[0].ErrorCode != "500" {
		t.Errorf("got %+v", list)
	}
}

// Handlers may still flush and take the connection over.
func TestMiddlewareKeepsTheWriter(t *testing.T) {
	m := newMiddleware()
	server := httptest.NewServer(m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Flusher); !ok {
			t.Error("no Flusher")
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
	})))
	defer server.Close()
	if res, err := http.Get(server.URL); err == nil {
		res.Body.Close()
	}
}

func strictly(t *testing.T, m *Middleware, answer http.HandlerFunc) http.Handler {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	m.Routes = &RouteCache{Client: New(server.URL).WithKey("own"), Now: m.Now}
	m.Strict = true
	return m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
}

func TestMiddlewareChecksRoutes(t *testing.T) {
	m := newMiddleware()
	asked := 0
	h := strictly(t, m, func(w http.ResponseWriter, r *http.Request) {
		asked++
		if r.Header.Get("apiKey") != "own" {
			t.Errorf("got key %q", r.Header.Get("apiKey"))
		}
		if r.URL.Query().Get("cursor") == "" {
			io.WriteString(w, `{"routes":[{"apiName":"shop","apiVersion":"v2","endpointName":null}],"next":"2"}`)
			return
		}
		io.WriteString(w, `{"routes":[{"apiName":"shop","apiVersion":"v1","endpointName":"/a"}]}`)
	})
	for path, want := range map[string]int{"/a": 200, "/b": 404} {
		if got := get(h, path); got.Code != want {
			t.Errorf("%s: got %d, want %d", path, got.Code, want)
		}
	}
	if asked != 2 || m.Unregistered() != 1 {
		t.Errorf("asked %d times, %d unregistered", asked, m.Unregistered())
	}
	for _, u := range reports(m.Reporter) {
		if u.Endpoint == "/b" && (u.Status != 404 || u.ErrorCode != "unknown_route") {
			t.Errorf("got %+v", u)
		}
	}
	m.APIVersion = "v2"
	if got := get(h, "/b"); got.Code != 200 {
		t.Errorf("a route of every endpoint: got %d", got.Code)
	}
	m.Strict, m.APIVersion = false, "v1"
	if got := get(h, "/b"); got.Code != 200 || m.Unregistered() != 2 {
		t.Errorf("not strict: got %d, %d unregistered", got.Code, m.Unregistered())
	}
}

// A service that is away refuses nobody; what was known before still counts.
func TestMiddlewareWithoutRoutes(t *testing.T) {
	m := newMiddleware()
	up := false
	h := strictly(t, m, func(w http.ResponseWriter, r *http.Request) {
		if !up {
			w.WriteHeader(503)
			return
		}
		io.WriteString(w, `{"routes":[{"apiName":"shop","apiVersion":"v1","endpointName":"/a"}]}`)
	})
	if got := get(h, "/b"); got.Code != 200 || m.Unchecked() != 1 {
		t.Errorf("away: got %d, %d unchecked", got.Code, m.Unchecked())
	}
	m.Routes.MaxAge = time.Nanosecond
	up = true
	if got := get(h, "/b"); got.Code != 404 {
		t.Errorf("back: got %d", got.Code)
	}
	up = false
	if got := get(h, "/b"); got.Code != 404 || m.Unchecked() != 1 {
		t.Errorf("away again: got %d, %d unchecked", got.Code, m.Unchecked())
	}
}

func TestMiddlewareValidates(t *testing.T) {
	for _, c := range []struct {
		name, body    string
		status, want  int
		code          string
		retry         string
		unchecked     int64
		handlerCalled bool
	}{
		{"allowed", `{"allowed":true}`, 200, 200, "", "", 0, true},
		{"over quota", `{"allowed":false,"reason":"quota_exceeded","resets_at":"2026-01-02T03:05:05Z"}`, 200, 429, "quota_exceeded", "60", 0, false},
		{"no subscription", `{"allowed":false,"reason":"no_subscription"}`, 200, 403, "no_subscription", "", 0, false},
		{"unknown route", `{"allowed":false,"reason":"unknown_route"}`, 200, 404, "unknown_route", "", 0, false},
		{"unknown key", `{"error":"no"}`, 401, 401, "unknown_key", "", 0, false},
		{"not there yet", `{"error":"no"}`, 404, 200, "", "", 0, true},
		{"away", `{}`, 503, 200, "", "", 1, true},
	} {
		m := newMiddleware()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if want := `{"apiName":"shop","apiversion":"v1","endPointName":"/a"}`; err != nil || string(body) != want || r.Header.Get("apiKey") != "k" {
				t.Errorf("got %s, %v, key %s", body, err, r.Header.Get("apiKey"))
			}
			w.WriteHeader(c.status)
			io.WriteString(w, c.body)
		}))
		m.Validate = New(server.URL)
		called := false
		w := get(m.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true })), "/a", "apiKey", "k")
		server.Close()
		list := reports(m.Reporter)
		if w.Code != c.want || called != c.handlerCalled || w.Header().Get("Retry-After") != c.retry || m.Unchecked() != c.unchecked ||
			len(list) != 1 || list[0].Status != c.want || list[0].ErrorCode != c.code {
			t.Errorf("%s: got %d, handler called %v, Retry-After %q, %d unchecked, usages %+v", c.name, w.Code, called, w.Header().Get("Retry-After"), m.Unchecked(), list)
		}
	}
}

func TestUsageAsJSON(t *testing.T) {
	b, err := Usage{ID: "1", APIVersion: "v1", Endpoint: "/a", ClientIP: "::1", Status: 200, Took: 1500 * time.Microsecond, Quantity: "2.50"}.MarshalJSON()
	want := `{"id":"1","apiversion":"v1","endPointName":"/a","clientIPAdress":"::1","httpStatusCode":200,"timeTakenInMilliSeconds":1.5,"quantity":2.50}`
	if err != nil || string(b) != want {
		t.Errorf("got %s, %v\nwant %s", b, err, want)
	}
}

func TestPostUsageErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"results":[]}`)
	}))
	defer server.Close()
	var refused *StatusError
	if _, err := New(server.URL).PostUsage(context.Background(), "k", make([]Usage, 1)); !errors.As(err, &refused) || !strings.Contains(err.Error(), "results") {
		t.Errorf("got %v", err)
	}
}
