package mail

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

const (
	eventAccepted = "accepted"
	eventFailed   = "failed"
	eventSource   = schemas.OutboxSource
	eventPage     = 100
)

// Event is an e-mail event, for the topic emails. Its id is the mail's, so that an
// event that is put there twice is counted once.
type Event = schemas.CloudEvent[EventData]

// EventData is the data of an Event.
type EventData struct {
	Domain    string          `json:"domain"`
	Event     string          `json:"event"`
	Recipient string          `json:"recipient"`
	MessageID string          `json:"message_id"`
	OutboxID  string          `json:"outbox_id"`
	Direction string          `json:"direction"`
	Transport string          `json:"transport,omitempty"`
	Severity  string          `json:"severity,omitempty"`
	Reason    string          `json:"reason,omitempty"`
	Provider  string          `json:"provider,omitempty"`
	Tags      []string        `json:"tags,omitempty"`
	Flags     map[string]bool `json:"flags"`
}

// publishDue puts the events that are due on the topic. One that may be there
// already, since its note was lost, is put there again.
func (s *Sender) publishDue(ctx context.Context) error {
	if s.opts.Publish == nil {
		return nil
	}
	for ctx.Err() == nil {
		ids, err := s.store.MailEventsDue(ctx, eventPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			e, err := s.eventOf(ctx, id)
			if err != nil {
				return err
			}
			if err := s.opts.Publish(ctx, e); err != nil {
				return fmt.Errorf("publish the e-mail event of %s: %w", id, err)
			}
			if err := s.store.MailEventDone(ctx, id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Sender) eventOf(ctx context.Context, id string) (Event, error) {
	m, err := s.store.Mail(ctx, id)
	if err != nil {
		return Event{}, err
	}
	attempts, err := s.store.MailAttempts(ctx, id)
	if err != nil {
		return Event{}, err
	}
	_, domain, _ := strings.Cut(m.From, "@")
	e := schemas.NewCloudEvent(schemas.Identity{ID: m.ID + "/" + m.EventDue, Source: eventSource, Account: m.Account, Time: m.CreatedAt}, "email."+m.EventDue,
		EventData{Domain: strings.ToLower(domain), Event: m.EventDue, Recipient: m.To, MessageID: strings.Trim(m.HeaderID, "<>"),
			OutboxID: m.ID, Direction: "outgoing", Tags: m.Tags, Flags: map[string]bool{"is-authenticated": true}})
	class := Class("")
	if n := len(attempts); n > 0 {
		last := attempts[n-1]
		e.Time = last.At.Add(last.Duration)
		e.Data.Provider, class = last.Provider, Class(last.Class)
		for _, g := range s.gates {
			if g.Name == last.Provider {
				e.Data.Transport = g.transportName()
			}
		}
	}
	if m.EventDue == eventFailed {
		e.Data.Severity, e.Data.Reason = "permanent", "generic"
		if class == Recipient {
			e.Data.Reason = "bounce"
		}
	}
	return e, nil
}

// transportName is the word of e-mail events for how the mail went out.
func (g *gate) transportName() string {
	if g.Type == TypeSMTP {
		return "smtp"
	}
	return "http"
}

// Feedback is what a provider's webhook says of a mail.
type Feedback struct {
	ProviderType string // mailgun, mandrill
	Event        string // accepted, delivered, failed, complained, …
	Severity     string // of failed: temporary, permanent
	Reason       string // of failed: bounce, suppress-bounce, …
	Recipient    string
	OutboxID     string // "": not a mail of ours
	At           time.Time
}

// Feedback learns from webhooks: recipients who bounced hard or complained are
// suppressed, and a mail that two providers took is a confirmed duplicate. The
// same feedback again changes nothing.
func (s *Sender) Feedback(ctx context.Context, f Feedback) error {
	if f.At.IsZero() {
		f.At = s.opts.Now()
	}
	var errs []error
	if why := suppression(f); why != "" && f.Recipient != "" {
		errs = append(errs, s.store.Suppress(ctx, store.Suppression{Address: f.Recipient, Reason: why, Provider: f.ProviderType, At: f.At}))
	}
	if f.OutboxID != "" && (f.Event == "accepted" || f.Event == "delivered" || f.Event == "opened" || f.Event == "clicked") {
		errs = append(errs, s.store.MailSeen(ctx, f.OutboxID, store.Sighting{Type: f.ProviderType, Provider: s.nameOf(ctx, f), At: f.At}))
	}
	return errors.Join(errs...)
}

func suppression(f Feedback) string {
	switch {
	case f.Event == "complained":
		return "the recipient complained"
	case f.Event == "failed" && f.Severity == "permanent" && (f.Reason == "bounce" || f.Reason == "suppress-bounce"):
		return "a mail to the recipient bounced hard"
	case f.Event == "failed" && f.Severity == "permanent" && f.Reason == "suppress-complaint":
		return "the recipient complained"
	}
	return ""
}

// nameOf is the provider of that type which was asked to send the mail, else the type.
func (s *Sender) nameOf(ctx context.Context, f Feedback) string {
	attempts, err := s.store.MailAttempts(ctx, f.OutboxID)
	if err != nil {
		return f.ProviderType
	}
	for _, a := range attempts {
		for _, g := range s.gates {
			if g.Name == a.Provider && g.Type == f.ProviderType && (a.Class == string(OK) || a.Class == string(Ambiguous)) {
				return g.Name
			}
		}
	}
	return f.ProviderType
}
