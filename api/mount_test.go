package api

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/store"
	"tallybook/store/storetest"
)

func mountOne(t *testing.T, o Options, e Endpoint) (*mux.Router, *strings.Builder) {
	t.Helper()
	var log strings.Builder
	if o.Guard == nil {
		o.Guard = &Guard{NoAuth: true}
	}
	o.Log = slog.New(slog.NewTextHandler(&log, nil))
	if e.Method == "" {
		e.Method = "GET"
	}
	e.Path, e.Form = "/it", PlainForm
	router := mux.NewRouter()
	if err := Mount(router, o, []Endpoint{e}); err != nil {
		t.Fatal(err)
	}
	return router, &log
}

func get(router http.Handler, method string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/it", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	router.ServeHTTP(w, r)
	return w
}

func TestPanicAndInternalErrors(t *testing.T) {
	for name, fn := range map[string]Handler{
		"panic": func(http.ResponseWriter, *http.Request) error { panic("secret words") },
		"error": func(http.ResponseWriter, *http.Request) error { return errors.New("secret words") },
	} {
		router, log := mountOne(t, Options{}, Endpoint{Access: Account, Handle: fn})
		w := get(router, "GET")
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret") || !strings.Contains(log.String(), "secret words") {
			t.Errorf("%s: got %d %s, log %q", name, w.Code, w.Body, log)
		}
	}
}

// An error behind the first bytes must not look like the end of an answer.
func TestErrorInTheMiddle(t *testing.T) {
	router, _ := mountOne(t, Options{}, Endpoint{Access: Account, Handle: func(w http.ResponseWriter, _ *http.Request) error {
		if _, err := w.Write([]byte("half")); err != nil {
			return err
		}
		return errors.New("broke")
	}})
	defer func() {
		if got := recover(); got != http.ErrAbortHandler {
			t.Errorf("got %v, want the connection to be cut", got)
		}
	}()
	get(router, "GET")
}

func TestTimeLimit(t *testing.T) {
	router, _ := mountOne(t, Options{Timeout: time.Millisecond}, Endpoint{Access: Account, Handle: func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}})
	if w := get(router, "GET"); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// The refusal reaches the caller over a connection too, whose write deadline
// must not be over by then.
func TestTimeLimitIsTold(t *testing.T) {
	router, _ := mountOne(t, Options{Timeout: 20 * time.Millisecond}, Endpoint{Access: Account, Handle: func(_ http.ResponseWriter, r *http.Request) error {
		<-r.Context().Done()
		return r.Context().Err()
	}})
	server := httptest.NewServer(router)
	defer server.Close()
	res, err := http.Get(server.URL + "/it")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("got %s", res.Status)
	}
}

func TestMethods(t *testing.T) {
	router, _ := mountOne(t, Options{}, Endpoint{Access: Account, Handle: func(w http.ResponseWriter, _ *http.Request) error { return nil }})
	if w := get(router, "HEAD"); w.Code != 200 {
		t.Errorf("HEAD: got %d", w.Code)
	}
	if w := get(router, "POST"); w.Code != 405 || w.Header().Get("Allow") != "GET" {
		t.Errorf("POST: got %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	router, _ := mountOne(t, Options{Registry: registry}, Endpoint{Access: Account, Handle: func(http.ResponseWriter, *http.Request) error { return NotFound("nothing") }})
	get(router, "GET")
	get(router, "BREW")
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += " " + l.GetValue()
			}
			got[key] = m.GetCounter().GetValue()
		}
	}
	for _, want := range []string{"tallybook_http_requests_total 404 GET /it", "tallybook_http_requests_total 405 other /it"} {
		if got[want] != 1 {
			t.Errorf("no metric %q in %v", want, got)
		}
	}
}

// Who gets in with which credential, and whose account the answer is about.
func TestGuard(t *testing.T) {
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	texts := map[string]store.Key{
		"admin-key-0123456789": {Role: store.RoleAdmin}, "alice-key-0123456789": {Role: store.RoleAccount, Account: "alice"},
		"writer-key-012345678": {Role: store.RoleIngest, Account: "alice"}, "anywrite-key-0123456": {Role: store.RoleIngest, Account: store.AnyAccount},
		"revoked-key-01234567": {Role: store.RoleAdmin}, "slow-key-01234567890": {Role: store.RoleAccount, Account: "bob", Rate: 1},
	}
	for text, k := range texts {
		made, err := st.CreateKey(t.Context(), "test", text, k)
		if err != nil {
			t.Fatal(err)
		}
		if text == "revoked-key-01234567" {
			if err := st.RevokeKey(t.Context(), "test", "", made.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	const admin, alice, writer, any = "admin-key-0123456789", "alice-key-0123456789", "writer-key-012345678", "anywrite-key-0123456"
	basic := func(key string) string {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth("whoever", key)
		return r.Header.Get("Authorization")
	}
	for _, c := range []struct {
		access  Access
		scope   Scope
		headers []string
		status  int
		account string
	}{
		{Public, Refuse, nil, 200, ""},
		{Signed, Refuse, []string{"apiKey", "nonsense"}, 200, ""},
		{Ingest, Refuse, nil, 401, ""},
		{Account, Refuse, []string{"Authorization", "Bearer " + alice}, 200, "alice"},
		{Account, Refuse, []string{"Authorization", "bearer " + alice}, 200, "alice"},
		{Account, Refuse, []string{"apiKey", alice}, 200, "alice"},
		{Account, Refuse, []string{"X-Auth-Token", alice}, 200, "alice"},
		{Account, Refuse, []string{"Authorization", basic(alice)}, 200, "alice"},
		{Account, Refuse, []string{"Authorization", "Digest x"}, 401, ""},
		{Account, Refuse, []string{"apiKey", alice, "X-Auth-Token", admin}, 401, ""},
		{Account, Refuse, []string{"apiKey", alice, "Authorization", "Bearer " + alice}, 200, "alice"},
		{Account, Refuse, []string{"apiKey", "nonsense"}, 401, ""},
		{Account, Refuse, []string{"apiKey", strings.Repeat("x", 1000)}, 401, ""},
		{Account, Refuse, []string{"apiKey", "revoked-key-01234567"}, 401, ""},
		{Account, Refuse, []string{"apiKey", alice, "X-Account-ID", "alice"}, 200, "alice"},
		{Account, Refuse, []string{"apiKey", alice, "X-Account-ID", "bob"}, 403, ""},
		{Account, Replace, []string{"apiKey", alice, "X-Account-ID", "bob"}, 200, "alice"},
		{Account, Refuse, []string{"apiKey", admin, "X-Account-ID", "bob"}, 200, "bob"},
		{Account, Refuse, []string{"apiKey", admin, "X-Account-ID", "bob", "X-Account-ID", "alice"}, 400, ""},
		{Account, Refuse, []string{"apiKey", admin, "X-Account-ID", " "}, 200, ""},
		{Account, Refuse, []string{"apiKey", writer}, 403, ""},
		{Account, Refuse, []string{"apiKey", any}, 403, ""},
		{Ingest, Refuse, []string{"apiKey", writer}, 200, "alice"},
		{Ingest, Refuse, []string{"apiKey", writer, "X-Account-ID", "bob"}, 403, ""},
		{Ingest, Refuse, []string{"apiKey", any, "X-Account-ID", "bob"}, 200, "bob"},
		{Ingest, Refuse, []string{"apiKey", any}, 200, ""},
		{Admin, Refuse, []string{"apiKey", alice}, 403, ""},
		{Admin, Refuse, []string{"apiKey", any}, 403, ""},
		{Admin, Refuse, []string{"apiKey", admin}, 200, ""},
	} {
		var account string
		router, _ := mountOne(t, Options{Guard: &Guard{Store: st}}, Endpoint{Access: c.access, Scope: c.scope, Handle: func(w http.ResponseWriter, r *http.Request) error {
			account = CallerOf(r.Context()).Account
			return nil
		}})
		w := get(router, "GET", c.headers...)
		if w.Code != c.status || account != c.account {
			t.Errorf("%s %q: got %d for %q, want %d for %q: %s", c.access, c.headers, w.Code, account, c.status, c.account, w.Body)
		}
		if w.Code == 401 && w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: a 401 without WWW-Authenticate", c.headers)
		}
	}

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	router, _ := mountOne(t, Options{Guard: &Guard{Store: st, Now: func() time.Time { return now }}}, Endpoint{Access: Account, Handle: func(http.ResponseWriter, *http.Request) error { return nil }})
	for i, want := range []int{200, 429, 200} {
		if i == 2 {
			now = now.Add(time.Second)
		}
		if w := get(router, "GET", "apiKey", "slow-key-01234567890"); w.Code != want || (want == 429) != (w.Header().Get("Retry-After") != "") {
			t.Errorf("request %d: got %d, want %d", i+1, w.Code, want)
		}
	}
}

// Without keys, a page of another site must not reach through a browser to the
// server of its machine: not by a form, and not by a name that points here.
func TestPagesOfOtherSites(t *testing.T) {
	for _, c := range []struct {
		method, host string
		headers      []string
		local        bool
		status       int
	}{
		{"POST", "127.0.0.1:8080", nil, true, 200},
		{"POST", "localhost:8080", []string{"Origin", "http://localhost:8080", "Sec-Fetch-Site", "same-origin"}, true, 200},
		{"POST", "127.0.0.1:8080", []string{"Origin", "http://evil.example"}, true, 403},
		{"POST", "127.0.0.1:8080", []string{"Sec-Fetch-Site", "cross-site"}, true, 403},
		{"POST", "tallybook.lan:8080", []string{"Sec-Fetch-Site", "cross-site"}, false, 403},
		{"GET", "evil.example:8080", nil, true, 403},
		{"GET", "127.0.0.1.evil.example", nil, true, 403},
		{"GET", "EVIL.example.:8080", nil, true, 403},
		{"GET", "tallybook.lan:8080", nil, false, 200},
		{"GET", "[::1]:8080", nil, true, 200},
		{"GET", "gateway:8080", nil, true, 200},
		{"GET", "app.localhost", nil, true, 200},
	} {
		router, _ := mountOne(t, Options{Guard: &Guard{NoAuth: true, Local: c.local}}, Endpoint{Method: c.method, Access: Admin, Handle: func(http.ResponseWriter, *http.Request) error { return nil }})
		r := httptest.NewRequest(c.method, "/it", nil)
		r.Host = c.host
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Set(c.headers[i], c.headers[i+1])
		}
		w := httptest.NewRecorder()
		if router.ServeHTTP(w, r); w.Code != c.status {
			t.Errorf("%s to %s with %q: got %d %s, want %d", c.method, c.host, c.headers, w.Code, w.Body, c.status)
		}
	}
}
