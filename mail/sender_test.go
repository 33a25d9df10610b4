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
	"sync"
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

// The times of the document: 1m, 5m twice, 15m, 1h; given up after 24 h.
func TestRetriesUntilGivenUp(t *testing.T) {
	mailgun, mandrill := pair(t, list(down), list(down))
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, map[string]any{"breaker": map[string]any{"open_after_consecutive_provider_failures": 1000, "open_ms": 1, "open_max_ms": 1}},
		mailgun, mandrill), clock, nil)
	a := r.send(bill())
	begin := clock.Now()
	var waits []time.Duration
	for range 100 {
		rec := r.record(a.ID)
		if rec.Status != store.MailDeferred {
			break
		}
		wait := rec.NextAttemptAt.Sub(clock.Now())
		waits = append(waits, wait)
		clock.Advance(wait - time.Microsecond)
		n := len(rec.Attempts)
		r.tick()
		if got := len(r.record(a.ID).Attempts); got != n {
			t.Fatalf("tried %v too early", wait)
		}
		clock.Advance(time.Microsecond)
		r.tick()
	}
	const m = time.Minute
	want := []time.Duration{m, 5 * m, 5 * m, 15 * m}
	for range 23 {
		want = append(want, 60*m)
	}
	want = append(want, 24*60*m-26*m-23*60*m)
	if !slices.Equal(waits, want) {
		t.Errorf("waits %v\nwant  %v", waits, want)
	}
	rec := r.record(a.ID)
	if rec.Status != store.MailRejected || !strings.Contains(*rec.Error, "given up after 24h") || clock.Now().Sub(begin) != 24*time.Hour {
		t.Errorf("%s after %v: %v", rec.Status, clock.Now().Sub(begin), *rec.Error)
	}
	alerts, err := r.store.Alerts(context.Background(), 1)
	if err != nil || len(alerts) != 1 || alerts[0].Kind != "mail_given_up" || alerts[0].Key != a.ID {
		t.Errorf("alerts %v %v", alerts, err)
	}
	if len(r.events) != 1 || r.events[0].Type != "email.failed" {
		t.Errorf("events %+v, want one email.failed", r.events)
	}
}

// While nobody can be asked the time passes, too; and who is held is not asked.
func TestGivenUpWhileHeld(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "http", Status: 401, Body: "Forbidden"})
	clock := mailtest.NewClock()
	r := newRig(t, configOf(t, map[string]any{"configuration_hold_s": 86_400, "retry_ms": []int{1000}}, mailgun), clock, nil)
	a := r.send(bill())
	clock.Advance(time.Hour)
	b := r.send(bill()) // held: not even tried
	if b.Status != store.MailDeferred || len(r.record(b.ID).Attempts) != 0 {
		t.Errorf("%+v, %d attempts, want deferred, none", b, len(r.record(b.ID).Attempts))
	}
	r.tick()
	if got := *r.record(a.ID).NextAttemptAt; !got.Equal(mailtest.NewClock().Now().Add(24 * time.Hour)) {
		t.Errorf("next attempt at %v, want when the hold ends", got)
	}
	if n := len(mailgun.Calls()); n != 1 {
		t.Errorf("%d calls while held, want 1 of before", n)
	}
	clock.Advance(23 * time.Hour) // asked once more, and held again
	r.tick()
	clock.Advance(time.Hour)
	r.tick()
	for _, id := range []string{a.ID, b.ID} {
		if rec := r.record(id); rec.Status != store.MailRejected {
			t.Errorf("%s, want rejected: its time is over", rec.Status)
		}
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

func TestStoreIsAway(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"})
	r := newRig(t, configOf(t, nil, mailgun), mailtest.NewClock(), func(o *mail.Options) {
		dir := t.TempDir()
		openStore(t, dir, time.Now)
		reader, err := store.Open(context.Background(), filepath.Join(dir, "mail.db"), store.Options{ReadOnly: true, Log: quiet()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { reader.Close() })
		o.Store = reader
	})
	if _, err := r.Send(context.Background(), bill()); !errors.Is(err, mail.ErrStore) || len(mailgun.Calls()) != 0 {
		t.Errorf("got %v and %d calls, want ErrStore and none", err, len(mailgun.Calls()))
	}
}

// An answer that nobody knows holds nobody, and operators are told each time.
func TestUnclassifiedHoldsNobody(t *testing.T) {
	mailgun, mandrill := pair(t, list(badAnswer), nil)
	r := newRig(t, configOf(t, nil, mailgun, mandrill), mailtest.NewClock(), nil)
	for range 7 {
		r.send(bill())
	}
	alerts, err := r.store.Alerts(context.Background(), 100)
	if err != nil || len(alerts) != 7 || len(mailgun.Calls()) != 7 || r.Providers()[0].Breaker != mail.Closed {
		t.Errorf("%d alerts, %d calls, %+v", len(alerts), len(mailgun.Calls()), r.Providers()[0])
	}
}

// Run sends what is due without being told, and ends.
func TestRun(t *testing.T) {
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, down, mailtest.OKFor("mailgun"))
	r := newRig(t, configOf(t, map[string]any{"retry_ms": []int{30}}, mailgun), mailtest.NewClock(), func(o *mail.Options) { o.Now = time.Now })
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	a := r.send(bill())
	waitFor(t, "the deferred mail", func() bool { return r.record(a.ID).Status == store.MailSent })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
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
