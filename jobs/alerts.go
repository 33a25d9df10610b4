package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"tallybook/mail"
	"tallybook/store"
)

// AlertConfig says where alerts go.
type AlertConfig struct {
	Store         *store.Store
	Mail          *mail.Sender
	From          string // of mails; "": Operators, or defaultFrom
	Operators     string // their address; "": only customers get mails
	Webhook       string // URL; "": none
	WebhookSecret string
	Log           *slog.Logger

	// InvoicePDF draws a document as it was issued, for the mail that it goes with.
	InvoicePDF func(out io.Writer, i *store.Invoice) error
}

const (
	defaultFrom   = "alerts@localhost.localdomain"
	alertsAtOnce  = 100
	alertParallel = 8
	// maxAlertTries are over after about half a day; then the alert is given up
	// and logged. Its row stays.
	maxAlertTries  = 16
	alertFirstWait = 30 * time.Second
	alertLastWait  = time.Hour
	webhookTimeout = 10 * time.Second
)

// Alerts delivers what is due in the outbox of alerts, at least once. A mail
// is recorded under a key of its alert and recipient, so that a repeat is the same
// mail, with the same Message-ID, and is not sent again; a webhook's repeat has
// the same id.
func Alerts(cfg AlertConfig) Job {
	return Job{Name: "alerts", Schedule: "@every 5s", Run: func(ctx context.Context, now time.Time, progress func(string)) error {
		return cfg.deliver(ctx, now, progress)
	}}
}

func (c *AlertConfig) deliver(ctx context.Context, now time.Time, progress func(string)) error {
	post := newAlertHook(c.Webhook, c.WebhookSecret)
	for ctx.Err() == nil {
		due, err := c.Store.DueAlerts(ctx, now, alertsAtOnce)
		if err != nil || len(due) == 0 {
			return err
		}
		var g errgroup.Group
		g.SetLimit(alertParallel)
		for i := range due {
			g.Go(func() error { return c.attempt(ctx, &due[i], post, now) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
		progress(fmt.Sprintf("%d alerts were due", len(due)))
	}
	return ctx.Err()
}

// attempt is one try at one alert. If we die within, the next comes when the
// claim's time is over.
func (c *AlertConfig) attempt(ctx context.Context, a *store.DueAlert, hook *alertHook, now time.Time) error {
	next := now.Add(min(alertFirstWait<<min(a.Tries, 20), alertLastWait))
	mine, err := c.Store.ClaimAlert(ctx, a, next)
	if err != nil || !mine {
		return err
	}
	step := store.AlertStep{ID: a.ID}
	var mailErr, hookErr error
	if !a.Mailed {
		mailErr = c.mail(ctx, a)
		step.Mailed = mailErr == nil
	}
	if hook != nil && !a.Posted {
		hookErr = hook.post(ctx, a, now)
		step.Posted = hookErr == nil
	}
	step.Done = mailErr == nil && hookErr == nil
	if err := errors.Join(mailErr, hookErr); err != nil {
		if ctx.Err() != nil { // it was we who stopped
			return ctx.Err()
		}
		step.Error, step.Done = clipped(err.Error()), a.Tries+1 >= maxAlertTries
		c.Log.Warn("alert", "kind", a.Kind, "key", a.Key, "try", a.Tries+1, "given_up", step.Done, "error", err)
	}
	return c.Store.StepAlert(ctx, step, now)
}

func clipped(text string) string { return text[:min(len(text), 500)] }

// mail sends the alert to whom it concerns.
func (c *AlertConfig) mail(ctx context.Context, a *store.DueAlert) error {
	switch a.Kind {
	case store.AlertInvoiceFinal, store.AlertCreditFinal:
		return c.mailInvoice(ctx, a)
	case store.AlertInvoicePaid, store.AlertInvoiceOverdue, store.AlertInvoiceVoid:
		return nil // the webhook's alone
	}
	text, err := newAlertText(a)
	if err != nil {
		return err
	}
	var errs []error
	var name, address string
	if a.Customer != "" {
		customer, err := c.Store.Customer(ctx, a.Customer)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		name, address = customer.Name, customer.Email
		if name == "" {
			name = a.Customer
		}
	}
	if c.Operators != "" {
		errs = append(errs, c.send(ctx, "operators-"+a.ID, c.Operators, "Operators", text.forOperators(name)))
	}
	if address != "" && (a.Kind == store.AlertThreshold || a.Kind == store.AlertLimit) {
		errs = append(errs, c.send(ctx, "customer-"+a.ID, address, name, text))
	}
	return errors.Join(errs...)
}

func (c *AlertConfig) send(ctx context.Context, key, to, name string, text alertText) error {
	return c.sendOne(ctx, key, mail.Request{To: to, ToName: name, FromName: "Tallybook", Subject: text.subject, Body: text.html(), Tags: []string{"alert"}})
}

func (c *AlertConfig) sendOne(ctx context.Context, key string, r mail.Request) error {
	r.From = cmp.Or(c.From, c.Operators, defaultFrom)
	if r.ToName = clippedName(r.ToName); strings.TrimSpace(r.ToName) == "" {
		r.ToName = r.To
	}
	_, err := c.Mail.Send(ctx, mail.Order{Account: mail.OwnAccount, Key: "alert-" + key, AtLeastOnce: true, Request: r})
	// Sent before, in other words: its count has risen since, or an address changed.
	if errors.Is(err, mail.ErrKeyReused) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mail to %s: %w", r.To, err)
	}
	return nil
}

// clippedName is as much of a customer's name as a mail takes.
func clippedName(name string) string {
	const most = 255 // bytes
	for len(name) > most {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// newAlertHook is nil where there is no webhook.
func newAlertHook(url, secret string) *alertHook {
	if url == "" {
		return nil
	}
	return &alertHook{url: url, secret: secret, client: &http.Client{Timeout: webhookTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}
