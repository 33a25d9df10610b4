package mail_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

var (
	down      = mailtest.Behaviour{Kind: "http", Status: 503, Body: "x"}
	hang      = mailtest.Behaviour{Kind: "timeout_after_body"}
	badAnswer = mailtest.Behaviour{Kind: "http", Status: 400, Body: `{"message": "Something new happened"}`}
)

func pair(t testing.TB, a, b []mailtest.Behaviour) (mailgun, mandrill *mailtest.Provider) {
	return mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, a...), mailtest.Start(t, &mailtest.Provider{Type: "mandrill"}, b...)
}

func list(b ...mailtest.Behaviour) []mailtest.Behaviour { return b }

func TestSuppressed(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, down, mailtest.OKFor("mailgun"))
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, nil, mailgun), clock, nil)
	ctx := context.Background()
	deferred := r.send(bill())
	for _, f := range []mail.Feedback{
		{ProviderType: "mailgun", Event: "failed", Severity: "temporary", Reason: "bounce", Recipient: "bob@example.net"},
		{ProviderType: "mailgun", Event: "delivered", Recipient: "bob@example.net"},
		{ProviderType: "mailgun", Event: "failed", Severity: "permanent", Reason: "bounce", Recipient: "Ann@Example.NET"},
		{ProviderType: "mailgun", Event: "complained", Recipient: "eve@example.net"},
	} {
		if err := r.Feedback(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	order := bill()
	for _, c := range []struct {
		to   string
		want int
	}{{"ann@example.net", 422}, {"eve@example.net", 422}, {"bob@example.net", 200}} {
		order.To, order.Key = c.to, c.to
		for range 2 { // the second time as the first answer again
			a := r.send(order)
			if a.HTTPStatus != c.want || (c.want == 422) != strings.Contains(a.Error, "suppressed") || a.ID == "" {
				t.Errorf("%s: %+v, want %d", c.to, a, c.want)
			}
		}
	}
	calls := len(mailgun.Calls())
	clock.Advance(time.Minute)
	r.tick() // who complained meanwhile gets no deferred mail either
	if rec := r.record(deferred.ID); rec.Status != store.MailRejected || len(mailgun.Calls()) != calls {
		t.Errorf("the deferred mail is %s", rec.Status)
	}
	if err := r.store.Unsuppress(ctx, "admin", "ann@example.NET"); err != nil {
		t.Fatal(err)
	}
	order.To, order.Key = "ann@example.net", ""
	if a := r.send(order); a.HTTPStatus != 200 {
		t.Errorf("%+v, want 200 once the suppression is lifted", a)
	}
	if err := r.store.Unsuppress(ctx, "admin", "ann@example.net"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestEvents(t *testing.T) {
	relay := mailtest.Start(t, &mailtest.Provider{Type: "smtp"}, mailtest.Behaviour{Kind: "smtp", At: "EOD", Reply: "250 ok"},
		mailtest.Behaviour{Kind: "smtp", At: "RCPT", Reply: "550 5.1.1 No such user"}, mailtest.Behaviour{Kind: "smtp", At: "EOD", Reply: "451 later"})
	var failing bool
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, nil, relay), clock, func(o *mail.Options) {
		inner := o.Publish
		o.Publish = func(ctx context.Context, e mail.Event) error {
			if failing {
				return errors.New("Kafka is away")
			}
			return inner(ctx, e)
		}
		o.Webhooks = []string{"mailgun"}
	})
	order := bill()
	order.Account, order.From = "acme", "noreply@MG.example.com"
	sent, rejected, deferred := r.send(order), r.send(order), r.send(order)
	failing = true
	if err := r.RunOnce(context.Background()); err == nil {
		t.Error("no error while Kafka is away")
	}
	failing = false
	for range 2 { // the second has nothing to do
		r.tick()
	}
	if len(r.events) != 2 {
		t.Fatalf("%d events %+v, want 2; the third mail is %s", len(r.events), r.events, deferred.Status)
	}
	for _, want := range []struct{ id, event, severity, reason string }{{sent.ID, "accepted", "", ""}, {rejected.ID, "failed", "permanent", "bounce"}} {
		i := slices.IndexFunc(r.events, func(e mail.Event) bool { return e.Data.OutboxID == want.id })
		if i < 0 {
			t.Fatalf("no event of %s", want.id)
		}
		e := r.events[i]
		if e.Type != "email."+want.event || e.ID != want.id+"/"+want.event || e.Subject != "acme" || e.Data.Domain != "mg.example.com" ||
			e.Data.Direction != "outgoing" || e.Data.Transport != "smtp" || e.Data.Recipient != "ann@example.net" || e.Data.Provider != "smtp" ||
			e.Data.Severity != want.severity || e.Data.Reason != want.reason || !e.Data.Flags["is-authenticated"] {
			t.Errorf("got %+v, want %+v", e, want)
		}
	}
}

// What each kind of provider gets, the same on every attempt.
func TestWhatProvidersGet(t *testing.T) {
	mailgun, mandrill := pair(t, list(down), list(down))
	relay := mailtest.Start(t, &mailtest.Provider{Type: "smtp", Auth: true})
	r := newRig(t, configOf(t, nil, mailgun, mandrill, relay), mailtest.NewClock(), nil)
	order := bill()
	order.ToName, order.Subject, order.Tags = `Jörg "the" Ünï`, "Ihre Fahrt – 10 €", []string{"trip", "bill"}
	a := r.send(order)
	rec := r.record(a.ID)
	if classes(rec) != "mailgun provider, mandrill provider, smtp ok" {
		t.Fatal(classes(rec))
	}
	for _, p := range []*mailtest.Provider{mailgun, mandrill, relay} {
		c := p.Calls()[0]
		if c.OutboxID != a.ID || c.HeaderID != rec.HeaderMessageID || c.HeaderID == "" {
			t.Errorf("%s: outbox id %q, Message-ID %q, want %q, %q", p.Type, c.OutboxID, c.HeaderID, a.ID, rec.HeaderMessageID)
		}
	}
	form := mailgun.Calls()[0]
	user, _, _ := (&http.Request{Header: form.Header}).BasicAuth()
	if user != "api" || form.Fields["text"][0] != "Your bill\n\n$10\n" || !slices.Equal(form.Fields["o:tag"], order.Tags) ||
		form.Fields["subject"][0] != order.Subject || form.Fields["html"][0] != order.Body {
		t.Errorf("mailgun got %v", form.Fields)
	}
	var m struct {
		Key     string
		Message struct {
			HTML, Text, Subject string
			FromEmail           string `json:"from_email"`
			FromName            string `json:"from_name"`
			To                  []struct{ Email, Name, Type string }
			Tags                []string
		}
	}
	if err := json.Unmarshal(mandrill.Calls()[0].Body, &m); err != nil {
		t.Fatal(err)
	}
	if m.Key != "key-of-a-test" || m.Message.Subject != order.Subject || m.Message.FromEmail != order.From || m.Message.FromName != order.FromName ||
		len(m.Message.To) != 1 || m.Message.To[0].Name != order.ToName || m.Message.To[0].Email != order.To || m.Message.Text != "Your bill\n\n$10\n" {
		t.Errorf("mandrill got %+v", m)
	}
	if c := relay.Calls()[0]; c.From != order.From || c.To != order.To {
		t.Errorf("smtp envelope %s %s", c.From, c.To)
	}
}

func TestLogProvider(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mails")
	config := []byte("providers: [{name: file, type: log, url: 'file://" + dir + "'}]")
	r := newRig(t, config, mailtest.NewClock(), nil)
	a := r.send(bill())
	if a.HTTPStatus != 200 || *a.Provider != "file" || *a.MessageID == "" {
		t.Fatalf("%+v", a)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != a.ID+".eml" {
		t.Fatalf("files %v %v, want %s.eml alone", files, err, a.ID)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file is in the way
		t.Fatal(err)
	}
	if a := r.send(bill()); a.HTTPStatus != 202 || a.Status != store.MailDeferred {
		t.Errorf("%+v, want deferred", a)
	}
}
