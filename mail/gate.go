package mail

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"time"

	"tallybook/store"
)

// transport brings one mail to one provider. Two mails may be on their way at
// once. It returns when ctx ends at the latest, and never retries.
type transport interface {
	send(ctx context.Context, m *message) Outcome
}

// gate is a provider and whether it may be asked now.
type gate struct {
	ProviderConfig
	transport
	webhooks bool // its own events reach us, so that we make none

	mu         sync.Mutex
	breaker    breaker
	heldUntil  time.Time
	holdReason Class
	lastError  string
}

// seat is the right to ask a gate's provider once; leave gives it back.
type seat struct {
	*gate
	ticket ticket
}

// enter returns nil where the provider may not be asked.
func (g *gate) enter(now time.Time) *seat {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.heldUntil) {
		return nil
	}
	t, ok := g.breaker.allow(now)
	if !ok {
		return nil
	}
	return &seat{g, t}
}

// leave reports what the provider did. held: it is held from now on for its
// set-up, and was not before.
func (s *seat) leave(now time.Time, o *Outcome, holds holds) (held bool) {
	g := s.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	g.breaker.record(now, s.ticket, o.counts())
	if o.Class != OK {
		g.lastError = string(o.Class) + ": " + o.Message
	}
	switch {
	case o.Class == Configuration || o.HoldAccount:
		held = !(g.holdReason == Configuration && now.Before(g.heldUntil))
		g.hold(now.Add(holds.configuration), Configuration)
	case o.Class == RateLimit:
		d := o.Hold
		if d <= 0 {
			d = holds.rateLimit
		}
		g.hold(now.Add(min(d, maxHold)), RateLimit)
	}
	return held
}

// abandon gives the seat back unused.
func (s *seat) abandon(now time.Time) {
	s.gate.mu.Lock()
	defer s.gate.mu.Unlock()
	s.gate.breaker.record(now, s.ticket, nothing)
}

// holds are the times that providers are held where they name none.
type holds struct{ configuration, rateLimit time.Duration }

const maxHold = 24 * time.Hour

func (g *gate) hold(until time.Time, reason Class) {
	if until.After(g.heldUntil) {
		g.heldUntil, g.holdReason = until, reason
	}
}

// availableAt is when the provider may be asked again, as far as is known.
func (g *gate) availableAt(now time.Time) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := now
	switch g.breaker.state(now) {
	case Open:
		at = g.breaker.openUntil
	case HalfOpen:
		if g.breaker.probes >= g.breaker.cfg.Probes {
			at = now.Add(time.Second) // the probe's answer is awaited
		}
	}
	if g.heldUntil.After(at) {
		at = g.heldUntil
	}
	return at
}

// minSecret: shorter ones are words that answers have anyway.
const minSecret = 6

// withoutSecrets is what a provider said, which goes into records, alerts, logs
// and answers, without the credentials that it may have quoted.
func (g *gate) withoutSecrets(text string) string {
	secrets := []string{g.APIKey}
	if u, err := url.Parse(g.URL); err == nil && u.User != nil {
		password, _ := u.User.Password()
		secrets = append(secrets, password)
	}
	for _, secret := range secrets {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}

// ProviderState is a provider as operators see it.
type ProviderState struct {
	Name                string       `json:"name"`
	Type                string       `json:"type"`
	Breaker             BreakerState `json:"breaker"`
	ConsecutiveFailures int          `json:"consecutive_failures"`
	HeldUntil           *time.Time   `json:"held_until"`
	HoldReason          *Class       `json:"hold_reason"`
	LastError           *string      `json:"last_error"`
}

func (g *gate) stateNow(now time.Time) ProviderState {
	g.mu.Lock()
	defer g.mu.Unlock()
	p := ProviderState{Name: g.Name, Type: g.Type, Breaker: g.breaker.state(now), ConsecutiveFailures: g.breaker.consecutive}
	if now.Before(g.heldUntil) {
		until, reason := g.heldUntil.UTC(), g.holdReason
		p.HeldUntil, p.HoldReason = &until, &reason
	}
	if g.lastError != "" {
		text := g.lastError
		p.LastError = &text
	}
	return p
}

// event is the e-mail event that the sender itself makes of a mail that this
// provider settled.
func (g *gate) event(status store.MailStatus) string {
	switch {
	case g.webhooks:
		return ""
	case status == store.MailSent:
		return eventAccepted
	case status == store.MailRejected:
		return eventFailed
	}
	return ""
}
