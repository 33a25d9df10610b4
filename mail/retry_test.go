package mail_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/mail"
	"tallybook/mail/mailtest"
	"tallybook/store"
)

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
