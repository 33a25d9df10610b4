package query

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/store"
)

// maxDashboard is the weight of a page with everything that it could ask for.
const maxDashboard = 300_000

var (
	imported  = regexp.MustCompile(`(?m)^import .* from '([^']+)'`)
	listed    = regexp.MustCompile(`\{ path: '([a-z]+)'`)
	forbidden = regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://[^']|style:|cssText|localStorage`)
)

func (f *fixture) file(name, etag string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", name, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	return w
}

// Every file is served under a policy without inline scripts, is one that others
// ask for where it should be, and writes no text as HTML.
func TestDashboardFiles(t *testing.T) {
	f := newFixture(t)
	total := 0
	err := fs.WalkDir(dashboardFiles, "dashboard", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		w := f.file("/"+name, "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: got %d, %v", name, w.Code, w.Header())
		}
		if again := f.file("/"+name, w.Header().Get("ETag")); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s, unchanged: got %d with %d bytes, want 304 with none", name, again.Code, again.Body.Len())
		}
		total += w.Body.Len()
		if path.Ext(name) != ".js" || strings.Contains(name, "/vendor/") {
			return nil
		}
		text := w.Body.String()
		if lines := strings.Count(text, "\n"); lines > 200 {
			t.Errorf("%s has %d lines, want at most 200", name, lines)
		}
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s has %q", name, found)
		}
		for _, m := range imported.FindAllStringSubmatch(text, -1) {
			if _, err := fs.Stat(dashboardFiles, path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s imports %s: %v", name, m[1], err)
			}
		}
		return nil
	})
	if err != nil || total == 0 || total > maxDashboard {
		t.Errorf("all files: got %d bytes, %v, want at most %d", total, err, maxDashboard)
	}
	pages := listed.FindAllStringSubmatch(f.file("/dashboard/app.js", "").Body.String(), -1)
	if len(pages) < 5 {
		t.Errorf("got pages %q", pages)
	}
	for _, p := range pages {
		if w := f.file("/dashboard/pages/"+p[1]+".js", ""); w.Code != http.StatusOK {
			t.Errorf("page %s: got %d", p[1], w.Code)
		}
	}
	for _, name := range []string{"/dashboard/nothing.js", "/dashboard/pages"} {
		if w := f.file(name, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: got %d, want 404", name, w.Code)
		}
	}
	if w := f.file("/", ""); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "<script>") || strings.Contains(w.Body.String(), "style=") {
		t.Errorf("/: got %d %s", w.Code, w.Body)
	}
}

// A browser signs in with a key, stays so by a cookie that no script sees, and
// sends it for no page of another site.
func TestSession(t *testing.T) {
	f := newFixture(t)
	text := store.NewKeyText()
	if _, err := f.store.CreateKey(t.Context(), "test", text, store.Key{Role: store.RoleAdmin, Name: "browser"}); err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{Store: f.store}}, f.server.Endpoints()); err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader("{}"))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		router.ServeHTTP(w, r)
		return w
	}
	if w := ask("POST", "/session", "apiKey", "tally_wrong"); w.Code != http.StatusUnauthorized || len(w.Result().Cookies()) != 0 {
		t.Errorf("a wrong key: got %d, %v, want 401 without a cookie", w.Code, w.Result().Cookies())
	}
	w := ask("POST", "/session", "apiKey", text)
	cookies := w.Result().Cookies()
	if w.Code != http.StatusOK || len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Secure {
		t.Fatalf("sign in: got %d, %v", w.Code, cookies)
	}
	if c := ask("POST", "/session", "apiKey", text, "X-Forwarded-Proto", "https").Result().Cookies(); len(c) != 1 || !c[0].Secure {
		t.Errorf("by https: got %v, want it secure", c)
	}
	cookie := cookies[0].Name + "=" + cookies[0].Value
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"the cookie", []string{"Cookie", cookie}, http.StatusBadRequest}, // of the empty body: it was let in
		{"from the page", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, http.StatusBadRequest},
		{"from another site", []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site"}, http.StatusForbidden},
		{"from another origin", []string{"Cookie", cookie, "Origin", "https://elsewhere.example"}, http.StatusForbidden},
		{"no cookie", nil, http.StatusUnauthorized},
	} {
		if w := ask("POST", "/v1/keys", c.headers...); w.Code != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
	}
	if w := ask("DELETE", "/session", "Cookie", cookie); w.Code != http.StatusNoContent || len(w.Result().Cookies()) != 1 || w.Result().Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign out: got %d, %v", w.Code, w.Result().Cookies())
	}
}
