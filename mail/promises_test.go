package mail_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

// A webhook that is faster than the provider's own answer, and a later one of
// the same provider, whatever its name: that is one provider.
func TestFastWebhookIsNoDuplicate(t *testing.T) {
	slow := mailtest.OKFor("mailgun")
	slow.DelayMS = 200
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, slow)
	config := bytes.Replace(configOf(t, nil, mailgun), []byte(`"name":"mailgun"`), []byte(`"name":"mailgun_email"`), 1)
	r := newRig(t, config, mailtest.NewClock(), nil)
	sent := make(chan mail.Answer)
	go func() {
		a, _ := r.Send(context.Background(), bill())
		sent <- a
	}()
	waitFor(t, "a call", func() bool { return len(mailgun.Calls()) > 0 })
	f := mail.Feedback{ProviderType: "mailgun", Event: "delivered", OutboxID: mailgun.Calls()[0].OutboxID}
	if err := r.Feedback(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	a := <-sent
	f.Event = "opened"
	if err := r.Feedback(context.Background(), f); err != nil {
		t.Fatal(err)
	}
	if rec := r.record(a.ID); rec.Status != store.MailSent || *rec.Provider != "mailgun_email" || rec.DuplicateConfirmed {
		t.Errorf("got %s by %v, duplicate %v, want sent by mailgun_email, false", rec.Status, rec.Provider, rec.DuplicateConfirmed)
	}
}

// An operator's key stays the same key when the sending domain gets an owner in
// between, and for mails of whatever account.
func TestKeyOfAnOperator(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"})
	r := newRig(t, configOf(t, nil, mailgun), mailtest.NewClock(), nil)
	order := bill()
	order.Key = "trip-42"
	first := r.send(order)
	if _, err := r.store.PutAccount(context.Background(), "test", "acme", "Acme"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.store.PutDomain(context.Background(), "test", "acme", "mg.example.com"); err != nil {
		t.Fatal(err)
	}
	if again := r.send(order); again.ID != first.ID || len(mailgun.Calls()) != 1 {
		t.Errorf("sent again: %d calls", len(mailgun.Calls()))
	}
	other := order
	other.From = "noreply@other.example.com"
	if _, err := r.Send(context.Background(), other); !errors.Is(err, mail.ErrKeyReused) {
		t.Errorf("another body: got %v, want ErrKeyReused", err)
	}
	theirs := order
	theirs.Account = "acme" // an account's own keys are not the operator's
	if a := r.send(theirs); a.ID == first.ID {
		t.Error("an account and the operator share a key")
	}
}

// A provider that quotes our credentials does not bring them into records,
// answers, alerts or logs.
func TestSecretsAreNotShown(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "http", Status: 401,
		Body: `{"message": "Invalid private key: key-of-a-test"}`})
	relay := mailtest.Start(t, &mailtest.Provider{Type: "smtp", Auth: true}, mailtest.Behaviour{Kind: "smtp", At: "AUTH",
		Reply: "535 5.7.8 the password secret is wrong"})
	var log bytes.Buffer
	r := newRig(t, configOf(t, nil, mailgun, relay), mailtest.NewClock(), func(o *mail.Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	a := r.send(bill())
	alerts, err := r.store.Alerts(context.Background(), 10)
	if err != nil || len(alerts) != 2 {
		t.Fatalf("alerts %v (%v), want 2", alerts, err)
	}
	shown, err := json.Marshal([]any{a, r.record(a.ID), r.Providers(), alerts, log.String()})
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"key-of-a-test", "password secret"} {
		if strings.Contains(string(shown), secret) {
			t.Errorf("%q is shown in %s", secret, shown)
		}
	}
	if !strings.Contains(string(shown), "Invalid private key: ***") {
		t.Errorf("what the provider said is missing in %s", shown)
	}
}
