package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/knadh/koanf/v2"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"tallybook/jobs"
	"tallybook/mail"
	"tallybook/pipeline/broker"
	"tallybook/query"
	"tallybook/schemas"
	"tallybook/store"
)

// mailKey is the section of the configuration file about mail, with the same
// names as the file that --mail-config names.
const mailKey = "mail"

// takeMail takes the section out of k.
func takeMail(k *koanf.Koanf) ([]byte, error) {
	if !k.Exists(mailKey) {
		return nil, nil
	}
	text, err := json.Marshal(k.Get(mailKey))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", mailKey, err)
	}
	k.Delete(mailKey)
	return text, nil
}

// mailConfig is what is configured; without anything mails are written to a
// folder of the data folder.
func (c *config) mailConfig() (mail.Config, error) {
	text, where := c.MailSection, "the section mail of the configuration file"
	if c.MailConfig != "" {
		if text != nil {
			return mail.Config{}, errors.New("mail is configured twice: by --mail-config and in the configuration file")
		}
		var err error
		if text, err = os.ReadFile(c.MailConfig); err != nil {
			return mail.Config{}, fmt.Errorf("--mail-config: %w", err)
		}
		where = "--mail-config " + c.MailConfig
	}
	if len(bytes.TrimSpace(text)) == 0 && c.MailConfig == "" {
		dir, err := filepath.Abs(filepath.Join(c.Data, "mail"))
		if err != nil {
			return mail.Config{}, err
		}
		cfg := mail.Defaults()
		cfg.Providers = []mail.ProviderConfig{{Name: "log", Type: mail.TypeLog, URL: (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()}}
		return cfg, nil
	}
	cfg, err := mail.ParseConfig(text)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", where, err)
	}
	return cfg, nil
}

// mailParts is a sender and the way of its events to Kafka.
type mailParts struct {
	*mail.Sender
	events *kafka.Writer
}

func newMail(c *config, o mail.Options, k *broker.Kafka) (m *mailParts, err error) {
	if o.Config, err = c.mailConfig(); err != nil {
		return nil, usageError{err}
	}
	m = &mailParts{events: k.Writer(schemas.Emails)}
	o.Log, o.Publish = c.logger(), m.publish
	if c.MailgunKey != "" {
		o.Webhooks = append(o.Webhooks, mail.TypeMailgun)
	}
	if c.MandrillKey != "" {
		o.Webhooks = append(o.Webhooks, mail.TypeMandrill)
	}
	if m.Sender, err = mail.New(o); err != nil {
		return nil, usageError{err}
	}
	return m, nil
}

// publish puts an event on the topic; it is durable when this returns nil.
func (m *mailParts) publish(ctx context.Context, e mail.Event) error {
	value, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return m.events.WriteMessages(ctx, kafka.Message{Key: []byte(e.Subject), Value: value})
}

// report learns from the webhooks of providers.
func (m *mailParts) report(ctx context.Context, provider string, event []byte) error {
	f, ok := mail.FeedbackOf(provider, event)
	if !ok {
		return nil
	}
	return m.Feedback(ctx, f)
}

// startMail opens the sender of a process that is alone with its store: what was
// being sent when the one before it ended is settled first.
func (p *parts) startMail(ctx context.Context) (err error) {
	if p.mail, err = newMail(p.cfg, mail.Options{Store: p.store, Registry: p.registry, Now: p.cfg.now}, p.kafka); err != nil {
		return err
	}
	return p.mail.Recover(ctx)
}

// runMail runs until serving ends, so that requests under way can send.
func (p *parts) runMail(g *errgroup.Group, serving context.Context) {
	g.Go(func() error {
		return errors.Join(p.mail.Run(serving), p.mail.events.Close())
	})
}

// mailJobs are the jobs that send mails, for 'tallybook job'.
func mailJobs(c *config, st *store.Store, now func() time.Time) (outbox, alerts jobs.Job, err error) {
	k, err := c.kafka()
	if err != nil {
		return outbox, alerts, usageError{err}
	}
	m, err := newMail(c, mail.Options{Store: st, Now: now}, k)
	if err != nil {
		return outbox, alerts, err
	}
	return jobs.Outbox(m.Sender), jobs.Alerts(alertConfig(c, st, m.Sender)), nil
}

// alertConfig says where alerts go.
func alertConfig(c *config, st *store.Store, sender *mail.Sender) jobs.AlertConfig {
	return jobs.AlertConfig{Store: st, Mail: sender, From: c.AlertFrom, Operators: c.AlertEmail,
		Webhook: c.AlertHook, WebhookSecret: c.AlertSecret, Log: c.logger(), InvoicePDF: query.InvoicePDF}
}
