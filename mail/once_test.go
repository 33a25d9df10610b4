package mail_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

func TestSameKeyIsSentOnce(t *testing.T) {
	slow := mailtest.OKFor("mailgun")
	slow.DelayMS = 50
	mailgun, mandrill := pair(t, list(slow), nil)
	r := newRig(t, configOf(t, nil, mailgun, mandrill), mailtest.NewClock(), nil)
	order := bill()
	order.Key, order.Account = "trip-42", "acme"
	var all sync.WaitGroup
	answers := make([]string, 10)
	for i := range answers {
		all.Add(1)
		go func() {
			defer all.Done()
			a, err := r.Send(context.Background(), order)
			b, _ := json.Marshal(a)
			answers[i] = string(b)
			if err != nil || a.HTTPStatus != 200 {
				t.Errorf("%d %v", a.HTTPStatus, err)
			}
		}()
	}
	all.Wait()
	if slices.Sort(answers); answers[0] != answers[9] || len(mailgun.Calls()) != 1 {
		t.Errorf("%d calls, answers %q", len(mailgun.Calls()), slices.Compact(answers))
	}
	if got := http.Header(mailgun.Calls()[0].Header).Get("Idempotency-Key"); got != "" {
		t.Errorf("the provider got the header Idempotency-Key: %q", got)
	}
	other := order
	other.Account = "umbrella" // its keys are its own
	if a := r.send(other); a.ID == r.send(order).ID {
		t.Error("two accounts share a key")
	}
	order.Body = "<p>another</p>"
	if _, err := r.Send(context.Background(), order); !errors.Is(err, mail.ErrKeyReused) {
		t.Errorf("got %v, want ErrKeyReused", err)
	}
	order.Key = "a\nb"
	if _, err := r.Send(context.Background(), order); !isInvalid(err, "Idempotency-Key") {
		t.Errorf("got %v", err)
	}
}

func isInvalid(err error, field string) bool {
	var bad *mail.Invalid
	return errors.As(err, &bad) && bad.Field == field
}

// The first answer comes again, whatever became of the mail.
func TestFirstAnswerComesAgain(t *testing.T) {
	mailgun, mandrill := pair(t, list(down, mailtest.OKFor("mailgun")), list(down))
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, nil, mailgun, mandrill), clock, nil)
	order := bill()
	order.Key = "k"
	first := r.send(order)
	clock.Advance(time.Minute)
	r.tick()
	if got := r.record(first.ID).Status; got != store.MailSent {
		t.Fatalf("the mail is %s", got)
	}
	if again := r.send(order); again.HTTPStatus != 202 || again.Status != store.MailDeferred || again.ID != first.ID {
		t.Errorf("got %+v, want the first answer, %+v", again, first)
	}
}

func TestAmbiguous(t *testing.T) {
	for name, c := range map[string]struct {
		mailgun, mandrill []mailtest.Behaviour
		onAmbiguous       string
		attempts          string
		status            store.MailStatus
		marked, alert     bool
	}{
		"hold":                   {list(hang), nil, mail.Hold, "mailgun ambiguous", store.MailUnknown, false, true},
		"fails over":             {list(hang), nil, mail.FailOver, "mailgun ambiguous, mandrill ok", store.MailSent, true, false},
		"then the other is down": {list(hang), list(down), "", "mailgun ambiguous, mandrill provider", store.MailUnknown, true, true},
		"both":                   {list(hang), list(hang), "", "mailgun ambiguous, mandrill ambiguous", store.MailUnknown, true, true},
		"as the last":            {list(down), list(hang), "", "mailgun provider, mandrill ambiguous", store.MailUnknown, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mailgun, mandrill := pair(t, c.mailgun, c.mandrill)
			clock := mailtest.NewClock()
			r := newRig(t, configOf(t, map[string]any{"attempt_timeout_ms": 200}, mailgun, mandrill), clock, nil)
			order := bill()
			order.OnAmbiguous = c.onAmbiguous
			a := r.send(order)
			rec := r.record(a.ID)
			if classes(rec) != c.attempts || rec.Status != c.status || rec.PossibleDuplicate != c.marked || a.PossibleDuplicate != c.marked {
				t.Errorf("%s, %q, marked %v; want %s, %q, %v", rec.Status, classes(rec), rec.PossibleDuplicate, c.status, c.attempts, c.marked)
			}
			alerts, err := r.store.Alerts(context.Background(), 10)
			if err != nil || (len(alerts) == 1) != c.alert {
				t.Errorf("alerts %v, want %v", alerts, c.alert)
			}
			calls := len(mailgun.Calls()) + len(mandrill.Calls())
			clock.Advance(25 * time.Hour)
			r.tick() // what may have been sent is not sent again by itself
			if got := len(mailgun.Calls()) + len(mandrill.Calls()); got != calls || r.record(a.ID).Status != c.status {
				t.Errorf("%d calls later, was %d", got, calls)
			}
		})
	}
}

// Order does not matter to the caller who leaves.
func TestCallerGoesAway(t *testing.T) {
	slow := mailtest.OKFor("mailgun")
	slow.DelayMS = 50
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, slow)
	r := newRig(t, configOf(t, nil, mailgun), mailtest.NewClock(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	a, err := r.Send(ctx, bill())
	if err != nil || a.Status != store.MailSent {
		t.Errorf("%+v, %v, want sent", a, err)
	}
}

// A mail that is being sent is left alone until its sender must be dead; what
// that one learns later does not change the record, and it answers what stands there.
func TestLease(t *testing.T) {
	slow := mailtest.OKFor("mailgun")
	slow.DelayMS = 100
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, slow)
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, nil, mailgun), clock, nil)
	answered := make(chan mail.Answer)
	send := func() {
		go func() {
			a, err := r.Send(context.Background(), bill())
			if err != nil {
				t.Error(err)
			}
			answered <- a
		}()
	}
	send()
	waitFor(t, "a call", func() bool { return len(mailgun.Calls()) == 1 })
	r.tick()
	if a := <-answered; a.Status != store.MailSent {
		t.Errorf("%+v, want sent", a)
	}
	send()
	waitFor(t, "a call", func() bool { return len(mailgun.Calls()) == 2 })
	clock.Advance(time.Minute) // a round takes 12 s
	r.tick()
	if a := <-answered; a.Status != store.MailUnknown || a.HTTPStatus != 202 || r.record(a.ID).Status != store.MailUnknown {
		t.Errorf("%+v, want unknown", a)
	}
}

// A mail that is to come at least once is sent again where a provider may have it,
// and where its process died, with the same Message-ID.
func TestAtLeastOnce(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "reset_after_body"}, mailtest.OKFor("mailgun"))
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, nil, mailgun), clock, nil)
	order := bill()
	order.AtLeastOnce, order.Key, order.Account = true, "alert-1", mail.OwnAccount
	a := r.send(order)
	if a.Status != store.MailDeferred {
		t.Fatalf("got %s, want deferred", a.Status)
	}
	clock.Advance(time.Hour)
	r.tick()
	if rec := r.record(a.ID); rec.Status != store.MailSent || !rec.PossibleDuplicate || classes(rec) != "mailgun ambiguous, mailgun ok" {
		t.Errorf("got %s, duplicate %v, %s", rec.Status, rec.PossibleDuplicate, classes(rec))
	}
	if calls := mailgun.Calls(); len(calls) != 2 || calls[0].OutboxID != calls[1].OutboxID {
		t.Errorf("got %d calls, want 2 of one mail", len(calls))
	}

	died := &store.NewMail{MailBody: store.MailBody{HTML: "<p>x</p>"}, Mail: store.Mail{ID: "0123456789abcdef0123456789abcdef", Account: mail.OwnAccount, To: "ann@example.net", ToName: "Ann",
		From: "noreply@mg.example.com", FromName: "Rides", Subject: "x", OnAmbiguous: store.MailRepeat, HeaderID: "<x@mg.example.com>", CreatedAt: clock.Now(),
		MailState: store.MailState{Status: store.MailSending, Asking: "mailgun", LeaseUntil: clock.Now().Add(time.Minute)}}}
	if _, err := r.store.AddMail(context.Background(), died); err != nil {
		t.Fatal(err)
	}
	r.tick()
	if rec := r.record(died.ID); rec.Status != store.MailSending {
		t.Errorf("within its lease: got %s", rec.Status)
	}
	clock.Advance(2 * time.Minute)
	r.tick()
	if rec := r.record(died.ID); rec.Status != store.MailSent || !rec.PossibleDuplicate {
		t.Errorf("behind its lease: got %s, duplicate %v", rec.Status, rec.PossibleDuplicate)
	}
}
