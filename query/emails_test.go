package query

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"tallybook/api"
	"tallybook/api/apitest"
	"tallybook/archive"
	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
	"tallybook/store/storetest"
)

// emailFixture is a server that sends mails, behind the guard and the document.
type emailFixture struct {
	t      *testing.T
	store  *store.Store
	sender *mail.Sender
	url    string
	key    string
}

func newEmailFixture(t *testing.T, config []byte, clock *mailtest.Clock, noAuth bool) *emailFixture {
	t.Helper()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "") // providers on this machine are reached directly
	}
	f := &emailFixture{t: t}
	var err error
	f.store, err = store.Open(t.Context(), storetest.URL(t), store.Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			t.Error(err)
		}
	})
	cfg, err := mail.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if f.sender, err = mail.New(mail.Options{Store: f.store, Config: cfg, Now: clock.Now}); err != nil {
		t.Fatal(err)
	}
	q, err := New(Config{Store: f.store, Archive: archive.New(archive.NewMem()), Registry: prometheus.NewRegistry(), Now: clock.Now, Mail: f.sender})
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{NoAuth: noAuth, Store: f.store}}, q.Endpoints()); err != nil {
		t.Fatal(err)
	}
	doc, _, err := api.Document(q.emailEndpoints(), onlyEmails())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(apitest.New(t, doc).Handler(t, router))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

func (f *emailFixture) do(method, path string, headers map[string]string, body []byte) (int, []byte) {
	f.t.Helper()
	req, err := http.NewRequest(method, f.url+path, bytes.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	if f.key != "" {
		req.Header.Set("Authorization", "Bearer "+f.key)
	}
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return res.StatusCode, answer
}

// The cases of the file over HTTP; those in prose are tests of package mail.
func TestEmailCases(t *testing.T) {
	n := 0
	for _, c := range mailtest.ReadCases(t, mailtest.CaseFile("..")) {
		if c.Given != "" {
			continue
		}
		n++
		t.Run(c.Name, func(t *testing.T) {
			c.Run(t, func(t *testing.T, config []byte, clock *mailtest.Clock) *mailtest.Service {
				f := newEmailFixture(t, config, clock, true)
				return &mailtest.Service{Do: f.do, Tick: func() {
					if err := f.sender.RunOnce(t.Context()); err != nil {
						t.Fatal(err)
					}
				}}
			})
		})
	}
	if n < 60 {
		t.Errorf("only %d cases", n)
	}
}

// logConfig writes mails to a folder.
func logConfig(t *testing.T) []byte {
	return []byte("providers: [{name: file, type: log, url: 'file://" + t.TempDir() + "'}]")
}

func emailFrom(from string) []byte {
	body, err := json.Marshal(mail.Request{To: "ann@example.net", ToName: "Ann", From: from, FromName: "Rides", Subject: "Trip", Body: "<p>$10</p>"})
	if err != nil {
		panic(err)
	}
	return body
}

func TestEmailsOfAnAccount(t *testing.T) {
	f := newEmailFixture(t, logConfig(t), mailtest.NewClock(), false)
	keys := map[string]string{}
	for _, k := range []store.Key{{Role: store.RoleAdmin, Name: "admin"}, {Role: store.RoleAccount, Account: "acme", Name: "acme"},
		{Role: store.RoleAccount, Account: "umbrella", Name: "umbrella"}, {Role: store.RoleIngest, Account: "acme", Name: "ingest"}} {
		keys[k.Name] = store.NewKeyText()
		if _, err := f.store.CreateKey(t.Context(), "test", keys[k.Name], k); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := f.store.PutDomain(t.Context(), "test", "acme", "mg.example.com"); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, c := range []struct {
		key, from string
		status    int
		account   string
	}{
		{"admin", "a@mg.example.com", 200, "acme"}, // the domain says whose it is
		{"admin", "a@other.example.com", 200, mail.OwnAccount},
		{"acme", "a@MG.example.com", 200, "acme"},
		{"umbrella", "a@free.example.com", 200, "umbrella"},
		{"umbrella", "a@mg.example.com", 403, ""},
		{"ingest", "a@mg.example.com", 403, ""},
		{"", "a@mg.example.com", 401, ""},
	} {
		f.key = keys[c.key]
		status, answer := f.do("POST", "/email", nil, emailFrom(c.from))
		var said mail.Record
		if err := json.Unmarshal(answer, &said); err != nil || status != c.status {
			t.Errorf("%s from %s: %d %s, want %d", c.key, c.from, status, answer, c.status)
		}
		if status != 200 {
			continue
		}
		rec, err := mail.ReadRecord(t.Context(), f.store, said.ID)
		if err != nil || rec.Account != c.account {
			t.Errorf("%s from %s is of account %q (%v), want %q", c.key, c.from, rec.Account, err, c.account)
		}
		ids[c.account] = said.ID
	}
	f.key = keys["umbrella"]
	if status, answer := f.do("GET", "/emails/"+ids["acme"], nil, nil); status != 404 {
		t.Errorf("another account's mail: %d %s", status, answer)
	}
	for key, want := range map[string]int{"umbrella": 1, "acme": 2, "admin": 4} {
		f.key = keys[key]
		if got := len(f.list("/emails")); got != want {
			t.Errorf("%s sees %d mails, want %d", key, got, want)
		}
	}
	f.key = keys["acme"]
	for _, path := range []string{"/providers", "/alerts", "/suppressions/a@b.cd"} {
		if status, _ := f.do("GET", path, nil, nil); status != 403 {
			t.Errorf("GET %s by an account: %d, want 403", path, status)
		}
	}
}

// list reads all pages.
func (f *emailFixture) list(path string) (ids []string) {
	f.t.Helper()
	for cursor := ""; ; {
		status, answer := f.do("GET", path+cursor, nil, nil)
		var page struct {
			Emails []mail.Record
			Next   string
		}
		if err := json.Unmarshal(answer, &page); err != nil || status != 200 {
			f.t.Fatalf("GET %s: %d %s", path+cursor, status, answer)
		}
		for _, m := range page.Emails {
			ids = append(ids, m.ID)
		}
		if page.Next == "" {
			return ids
		}
		cursor = "&cursor=" + page.Next
	}
}

func TestListEmails(t *testing.T) {
	clock := mailtest.NewClock()
	f := newEmailFixture(t, logConfig(t), clock, true)
	var sent []string
	for i := range 7 {
		status, answer := f.do("POST", "/email", nil, emailFrom([]string{"a@x.example.com", "b@x.example.com"}[i%2]))
		var said mail.Record
		if err := json.Unmarshal(answer, &said); err != nil || status != 200 {
			t.Fatalf("%d %s", status, answer)
		}
		sent = append(sent, said.ID)
		if i != 3 { // two of the same time
			clock.Advance(time.Second)
		}
	}
	all := f.list("/emails?limit=2")
	seen := map[string]bool{}
	for _, id := range all {
		seen[id] = true
	}
	if len(all) != 7 || len(seen) != 7 || all[0] != sent[6] {
		t.Errorf("pages %v, want 7 different ones of %v", all, sent)
	}
	for path, want := range map[string]int{
		"/emails?limit=1&status=sent": 7, "/emails?limit=1&status=deferred": 0, "/emails?limit=1&from=B@x.example.com": 3, "/emails?limit=1&to=ann@example.net": 7,
		"/emails?limit=1&provider=file": 7, "/emails?limit=1&provider=x": 0,
		"/emails?limit=1&since=2019-01-22T00:00:02Z": 5, "/emails?limit=1&before=2019-01-22T00:00:02Z": 2,
	} {
		if got := len(f.list(path)); got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
	for _, path := range []string{"/emails?limit=0", "/emails?status=gone", "/emails?since=yesterday", "/emails?cursor=x", "/emails?colour=red"} {
		if status, answer := f.do("GET", path, nil, nil); status != 400 {
			t.Errorf("%s: %d %s, want 400", path, status, answer)
		}
	}
	for _, path := range []string{"/emails/nobody", "/email/nobody", "/suppressions/ann@example.net"} {
		if status, answer := f.do("GET", path, nil, nil); status != 404 {
			t.Errorf("%s: %d %s, want 404", path, status, answer)
		}
	}
	status, answer := f.do("POST", "/email", nil, []byte(`{"body": "`+strings.Repeat("x", 2<<20)+`"}`))
	if status != http.StatusRequestEntityTooLarge {
		t.Errorf("2 MiB: %d %s, want 413", status, answer)
	}
}

func TestSuppressions(t *testing.T) {
	clock := mailtest.NewClock()
	f := newEmailFixture(t, logConfig(t), clock, true)
	err := f.sender.Feedback(t.Context(), mail.Feedback{ProviderType: "mailgun", Event: "complained", Recipient: "Ann@example.net"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		method, path string
		status       int
		contains     string
	}{
		{"GET", "/suppressions/ann@example.net", 200, `"the recipient complained"`},
		{"POST", "/email", 422, `"rejected"`},
		{"DELETE", "/suppressions/ANN@example.net", 204, ""},
		{"DELETE", "/suppressions/ann@example.net", 404, ""},
		{"POST", "/email", 200, `"sent"`},
	} {
		if status, answer := f.do(want.method, want.path, nil, emailFrom("a@x.example.com")); status != want.status || !strings.Contains(string(answer), want.contains) {
			t.Errorf("%d %s %s: %d %s, want %d", i, want.method, want.path, status, answer, want.status)
		}
	}
}

// onlyEmails is the part of the document that these tests are about.
func onlyEmails() fs.FS {
	text, err := OpenAPI.ReadFile("openapi/emails.yaml")
	if err != nil {
		panic(err)
	}
	return fstest.MapFS{"openapi/emails.yaml": {Data: text}}
}
