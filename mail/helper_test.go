package mail_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

// Providers on this machine are reached directly, whatever proxy is set here.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy"} {
		os.Unsetenv(name)
	}
	if dir := os.Getenv(victimEnv); dir != "" {
		os.Exit(victim(dir))
	}
	os.Exit(m.Run())
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func openStore(t testing.TB, dir string, now func() time.Time) *store.Store {
	t.Helper()
	st, err := store.Open(context.Background(), filepath.Join(dir, "mail.db"), store.Options{Log: quiet(), Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// rig is a sender with its store and a clock that the test moves.
type rig struct {
	*mail.Sender
	t      testing.TB
	store  *store.Store
	clock  *mailtest.Clock
	events []mail.Event
}

// newRig makes a sender over fakes, by name = type; configure may change what it likes.
func newRig(t testing.TB, config []byte, clock *mailtest.Clock, configure func(*mail.Options)) *rig {
	t.Helper()
	cfg, err := mail.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, clock: clock, store: openStore(t, t.TempDir(), clock.Now)}
	o := mail.Options{Store: r.store, Config: cfg, Now: clock.Now, Log: quiet(), Publish: func(_ context.Context, e mail.Event) error {
		r.events = append(r.events, e)
		return nil
	}}
	if configure != nil {
		configure(&o)
	}
	if r.Sender, err = mail.New(o); err != nil {
		t.Fatal(err)
	}
	return r
}

// configOf is a configuration with these providers, and short times.
func configOf(t testing.TB, more map[string]any, providers ...*mailtest.Provider) []byte {
	t.Helper()
	config := map[string]any{"attempt_timeout_ms": 500}
	for key, value := range more {
		config[key] = value
	}
	var list []map[string]string
	for _, p := range providers {
		list = append(list, map[string]string{"name": p.Type, "type": p.Type, "url": p.URL, "api_key": "key-of-a-test"})
	}
	config["providers"] = list
	text, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (r *rig) send(o mail.Order) mail.Answer {
	r.t.Helper()
	a, err := r.Send(context.Background(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

func (r *rig) tick() {
	r.t.Helper()
	if err := r.RunOnce(context.Background()); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) record(id string) mail.Record {
	r.t.Helper()
	rec, err := mail.ReadRecord(context.Background(), r.store, id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// classes of a mail's attempts: "mailgun ambiguous, mandrill ok".
func classes(r mail.Record) string {
	var list []string
	for _, a := range r.Attempts {
		list = append(list, a.Provider+" "+string(a.Class))
	}
	return strings.Join(list, ", ")
}

func bill() mail.Order {
	return mail.Order{Request: mail.Request{To: "ann@example.net", ToName: "Ann", From: "noreply@mg.example.com", FromName: "Rides",
		Subject: "Your Monday evening trip", Body: "<h1>Your bill</h1><p>$10</p>"}}
}

// service has the endpoints without HTTP.
func (r *rig) service() *mailtest.Service {
	ctx := context.Background()
	return &mailtest.Service{Tick: r.tick, Do: func(method, path string, headers map[string]string, body []byte) (int, []byte) {
		status, answer := 200, any(nil)
		id, isMail := strings.CutPrefix(strings.Replace(path, "/emails/", "/email/", 1), "/email/")
		switch {
		case method == "POST":
			status, answer = r.post(headers["Idempotency-Key"], body)
		case isMail:
			answer = r.record(id)
		case path == "/providers":
			answer = r.Providers()
		case path == "/alerts":
			list, err := r.store.Alerts(ctx, 1000)
			if err != nil {
				r.t.Fatal(err)
			}
			answer = append([]store.Alert{}, list...)
		case path == "/emails":
			list, err := r.store.Mails(ctx, store.MailFilter{Limit: 1000})
			if err != nil {
				r.t.Fatal(err)
			}
			answer = map[string]any{"emails": list}
		}
		b, err := json.Marshal(answer)
		if err != nil {
			r.t.Fatal(err)
		}
		return status, b
	}}
}

func (r *rig) post(key string, body []byte) (int, any) {
	failed := func(status int, err error) (int, any) { return status, map[string]string{"error": err.Error()} }
	req, err := mail.ParseRequest(body)
	if err != nil {
		return failed(400, err)
	}
	a, err := r.Send(context.Background(), mail.Order{Key: key, Request: req})
	var bad *mail.Invalid
	switch {
	case errors.As(err, &bad):
		return failed(400, err)
	case errors.Is(err, mail.ErrKeyReused):
		return failed(422, err)
	case err != nil:
		return failed(503, err)
	}
	return a.HTTPStatus, a
}
