package mail_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

const senders = 8

// sendMany sends n mails from several goroutines; before is called before each.
// answered is when each answer came.
func sendMany(t *testing.T, r *rig, n int, before func(i int)) (answers []mail.Answer, answered []time.Time) {
	t.Helper()
	answers, answered = make([]mail.Answer, n), make([]time.Time, n)
	work := make(chan int)
	var all sync.WaitGroup
	for range senders {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := range work {
				a, err := r.Send(context.Background(), bill())
				if err != nil {
					t.Error(err)
				}
				answers[i], answered[i] = a, time.Now()
			}
		}()
	}
	for i := range n {
		before(i)
		work <- i
	}
	close(work)
	all.Wait()
	return answers, answered
}

// longestGap is the longest time in which no mail was answered.
func longestGap(answered []time.Time) (gap time.Duration) {
	slices.SortFunc(answered, time.Time.Compare)
	for i := range len(answered) - 1 {
		gap = max(gap, answered[i+1].Sub(answered[i]))
	}
	return gap
}

// A provider dies in the middle of 1,000 mails, in several ways.
func TestProviderDies(t *testing.T) {
	for name, death := range map[string]mailtest.Behaviour{
		"answers 503": {Kind: "http", Status: 503, Body: "x"},
		"resets":      {Kind: "reset_after_body"},
		"hangs":       {Kind: "timeout_after_body"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"})
			mandrill := mailtest.Start(t, &mailtest.Provider{Type: "mandrill"})
			clock := mailtest.NewClock()
			r := newRig(t, configOf(t, nil, mailgun, mandrill), clock, nil)
			answers, answered := sendMany(t, r, 1000, func(i int) {
				if i == 300 {
					mailgun.Behave(death)
				}
			})
			if gap := longestGap(answered); gap >= time.Second { // an attempt may take half of it
				t.Errorf("no mail was sent for %v", gap)
			}
			taken := map[string]int{}
			failed := 0
			for _, p := range []*mailtest.Provider{mailgun, mandrill} {
				for _, c := range p.Calls() {
					if c.Taken {
						taken[c.OutboxID]++
					} else {
						failed++
					}
				}
			}
			marked := 0
			for _, a := range answers {
				rec := r.record(a.ID)
				if rec.Status != store.MailSent || taken[a.ID] != 1 {
					t.Errorf("mail %s is %s, and was taken %d times", a.ID, rec.Status, taken[a.ID])
				}
				if rec.PossibleDuplicate {
					marked++
				}
			}
			// Five failures open the breaker; those under way then fail too.
			if failed < 5 || failed > 5+senders-1 {
				t.Errorf("the dead provider was asked %d times, want 5 to %d", failed, 5+senders-1)
			}
			if ambiguous := death.Kind != "http"; ambiguous && marked != failed || !ambiguous && marked != 0 {
				t.Errorf("%d mails are marked as possible duplicates, %d failed", marked, failed)
			}
			if p := r.Providers()[0]; p.Breaker != mail.Open {
				t.Errorf("the breaker is %s, want open", p.Breaker)
			}
			mailgun.Behave(mailtest.OKFor("mailgun"))
			clock.Advance(30 * time.Second)
			for range 2 {
				if a := r.send(bill()); *a.Provider != "mailgun" {
					t.Errorf("sent by %s, want mailgun, which came back", *a.Provider)
				}
			}
			if p := r.Providers()[0]; p.Breaker != mail.Closed {
				t.Errorf("the breaker is %s, want closed", p.Breaker)
			}
		})
	}
}

func TestBadPayloadsOpenNoBreaker(t *testing.T) {
	for _, p := range []*mailtest.Provider{
		mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "http", Status: 400,
			Body: `{"message": "'to' parameter is not a valid address. please check documentation"}`}),
		mailtest.Start(t, &mailtest.Provider{Type: "mandrill"}, mailtest.Behaviour{Kind: "http", Status: 500,
			Body: `{"status": "error", "code": -2, "name": "ValidationError", "message": "Validation error"}`}),
		mailtest.Start(t, &mailtest.Provider{Type: "smtp"}, mailtest.Behaviour{Kind: "smtp", At: "RCPT", Reply: "550 5.1.1 No such user"}),
	} {
		t.Run(p.Type, func(t *testing.T) {
			next := map[string]string{"mailgun": "mandrill", "mandrill": "smtp", "smtp": "mailgun"}[p.Type]
			other := mailtest.Start(t, &mailtest.Provider{Type: next})
			r := newRig(t, configOf(t, nil, p, other), mailtest.NewClock(), nil)
			sendMany(t, r, 100, func(int) {})
			if s := r.Providers()[0]; s.Breaker != mail.Closed || s.ConsecutiveFailures != 0 || s.HeldUntil != nil {
				t.Errorf("got %+v, want closed without failures", s)
			}
			if got := len(p.Calls()); got != 100 {
				t.Errorf("%d calls, want 100", got)
			}
			if n := len(other.Calls()); n != 0 {
				t.Errorf("the next provider got %d bad mails, want none", n)
			}
			rejected, err := r.store.Mails(context.Background(), store.MailFilter{Status: store.MailRejected, Limit: 1000})
			if err != nil || len(rejected) != 100 {
				t.Errorf("%d rejected (%v), want 100", len(rejected), err)
			}
		})
	}
}

func TestLateWebhookConfirmsDuplicate(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "timeout_after_body"})
	mandrill := mailtest.Start(t, &mailtest.Provider{Type: "mandrill"})
	r := newRig(t, configOf(t, nil, mailgun, mandrill), mailtest.NewClock(), func(o *mail.Options) {
		o.Webhooks = []string{"mailgun", "mandrill"}
	})
	a := r.send(bill())
	want := []bool{false, false, true, true} // known after each webhook; a repeat changes nothing
	var got []bool
	for _, provider := range []string{"mailgun", "mailgun", "mandrill", "mandrill"} {
		err := r.Feedback(context.Background(), mail.Feedback{ProviderType: provider, Event: "delivered", OutboxID: a.ID, Recipient: "ann@example.net"})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.record(a.ID).DuplicateConfirmed)
	}
	if !slices.Equal(got, want) {
		t.Errorf("confirmed after each webhook: got %v, want %v", got, want)
	}
	rec := r.record(a.ID)
	if rec.Status != store.MailSent || *rec.Provider != "mandrill" || !rec.PossibleDuplicate || classes(rec) != "mailgun ambiguous, mandrill ok" {
		t.Errorf("got %+v", rec)
	}
	r.tick()
	if len(r.events) != 0 {
		t.Errorf("%d events, want none: webhooks report", len(r.events))
	}
}
