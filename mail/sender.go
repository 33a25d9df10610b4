package mail

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tallybook/store"
)

const (
	// maxSending bounds the mails that are being sent at a time; those that find
	// no place within an attempt's time are deferred.
	maxSending = 64
	// leaseSlack is what a round may take beyond its timeout: writing its steps.
	leaseSlack   = 30 * time.Second
	storeTimeout = 10 * time.Second // for one write, the wait for others included
	// OwnAccount is the account of mails that are no account's: the installation's own.
	OwnAccount = "_service"
)

// Options of a Sender. Store and Config are required.
type Options struct {
	Store  *store.Store
	Config Config
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: slog.Default()

	// Publish puts an e-mail event on the topic, keyed by its account; it returns
	// when the event is durable. nil: no events are made.
	Publish func(ctx context.Context, e Event) error
	// Webhooks are the types of providers whose webhooks report to us: no events
	// are made of their mails.
	Webhooks []string
	Registry prometheus.Registerer // nil: no metrics
}

// Sender sends mails. Its methods may be called concurrently. Run does what
// remains to be done later.
type Sender struct {
	opts       Options
	store      *store.Store
	gates      []*gate // in the order in which they are asked
	places     chan struct{}
	wake       chan struct{} // a mail is due earlier than it was
	wakeEvents chan struct{} // an event is due
	metrics    *metrics

	mu      sync.Mutex
	flights map[string]chan struct{} // mails being sent here, closed when settled
}

// New makes a sender; it asks nobody and starts nothing.
func New(o Options) (*Sender, error) {
	if o.Store == nil || len(o.Config.Providers) == 0 {
		return nil, errors.New("mail: Options needs Store and Config with a provider")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	s := &Sender{opts: o, store: o.Store, places: make(chan struct{}, maxSending), wake: make(chan struct{}, 1),
		wakeEvents: make(chan struct{}, 1), flights: make(map[string]chan struct{})}
	client := newHTTPClient()
	for _, p := range o.Config.Providers {
		g := &gate{ProviderConfig: p, breaker: newBreaker(o.Config.Breaker), webhooks: o.Publish == nil}
		for _, t := range o.Webhooks {
			g.webhooks = g.webhooks || t == p.Type
		}
		var err error
		switch p.Type {
		case TypeMailgun:
			g.transport = &mailgun{p.URL, p.APIKey, client, o.Now}
		case TypeMandrill:
			g.transport = &mandrill{p.URL, p.APIKey, client, o.Now}
		case TypeSMTP:
			g.transport, err = newSMTPRelay(p.URL)
		case TypeLog:
			g.transport, err = newFolder(p.URL)
		default:
			err = fmt.Errorf("type %q", p.Type)
		}
		if err != nil {
			return nil, fmt.Errorf("mail provider %q: %w", p.Name, err)
		}
		s.gates = append(s.gates, g)
	}
	var err error
	s.metrics, err = newMetrics(o.Registry, s)
	return s, err
}

// Order is a mail to be sent on behalf of an account.
type Order struct {
	Account string // "": the one that registered the domain of From, else OwnAccount
	Key     string // Idempotency-Key, of those of Account as it is given; "": none
	// AtLeastOnce: where somebody may have the mail, which otherwise makes it
	// unknown, it is sent again, with the same Message-ID.
	AtLeastOnce bool
	Request
}

var (
	// ErrKeyReused: the Idempotency-Key came with another request before.
	ErrKeyReused = errors.New("the Idempotency-Key was used for another request before")
	// ErrStore: the record could not be written; nothing was sent.
	ErrStore = errors.New("mail is not taken, its record cannot be written")
)

// Send records a mail and tries to send it at once. An *Invalid request, a
// reused key and ErrStore leave no record. ctx bounds only how long the caller
// waits for the answer to somebody else's request with the same key.
func (s *Sender) Send(ctx context.Context, o Order) (Answer, error) {
	if err := o.Check(); err != nil {
		return Answer{}, err
	}
	if err := checkKey(o.Key); err != nil {
		return Answer{}, err
	}
	detached := context.WithoutCancel(ctx)
	// A domain may be registered between two requests with the same key: whose
	// key it is does not depend on whose mail it is.
	scope := o.Account
	if err := s.fillAccount(detached, &o); err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if o.Key != "" {
		first, err := s.store.MailKeyUsed(detached, scope, o.Key)
		if err != nil {
			return Answer{}, fmt.Errorf("%w: %w", ErrStore, err)
		}
		if first != nil {
			return s.again(ctx, &o, first)
		}
	}
	m := s.newMail(&o, scope)
	landed := s.takeOff(m.ID)
	defer landed()
	first, answer, err := s.sendNew(detached, m)
	if first != nil {
		return s.again(ctx, &o, first)
	}
	return answer, err
}

func (s *Sender) fillAccount(ctx context.Context, o *Order) (err error) {
	if o.Account != "" {
		return nil
	}
	_, domain, _ := strings.Cut(o.From, "@")
	o.Account, err = s.store.DomainOwner(ctx, strings.ToLower(domain))
	if errors.Is(err, store.ErrNotFound) {
		o.Account, err = OwnAccount, nil
	}
	return err
}

func (s *Sender) newMail(o *Order, scope string) *store.NewMail {
	now := s.opts.Now().UTC().Truncate(time.Microsecond)
	id := newID(now)
	_, domain, _ := strings.Cut(o.From, "@")
	m := &store.NewMail{MailBody: store.MailBody{HTML: o.Body, Attachment: o.Attachment}, Mail: store.Mail{ID: id, Account: o.Account, To: o.To, ToName: o.ToName,
		From: o.From, FromName: o.FromName, Subject: o.Subject, Tags: o.Tags, OnAmbiguous: o.OnAmbiguous,
		HeaderID: "<" + id + "@" + strings.ToLower(domain) + ">", CreatedAt: now}}
	switch {
	case o.AtLeastOnce:
		m.OnAmbiguous = store.MailRepeat
	case m.OnAmbiguous == "":
		m.OnAmbiguous = FailOver
	}
	if o.Key != "" {
		m.Key = &store.MailKey{Scope: scope, Key: o.Key, RequestHash: o.hash(), Mail: id}
	}
	return m
}

// newID is 32 hex digits that sort by time.
func newID(now time.Time) string {
	var b [16]byte
	rand.Read(b[6:])
	ms := now.UnixMilli()
	for i := range 6 {
		b[i] = byte(ms >> (8 * (5 - i)))
	}
	return hex.EncodeToString(b[:])
}

// sendNew writes the record of a new mail and does its first round. first is
// set where another request with its key came in between.
func (s *Sender) sendNew(ctx context.Context, m *store.NewMail) (first *store.MailKey, _ Answer, _ error) {
	suppressed, err := s.suppressed(ctx, m.To)
	if err != nil {
		return nil, Answer{}, fmt.Errorf("%w: %w", ErrStore, err)
	}
	var place bool
	var at *seat
	if suppressed == "" {
		if place = s.takePlace(); place {
			defer s.leavePlace()
			at = s.pick(nil)
		}
	}
	switch {
	case suppressed != "":
		m.MailState = store.MailState{Status: store.MailRejected, Error: suppressed}
	case at == nil:
		m.MailState = store.MailState{Status: store.MailDeferred, NextAttemptAt: s.nextAttempt(0, m.CreatedAt),
			Error: "no provider can be asked now"}
		if !place {
			m.Error = "too many mails are being sent"
		}
	default:
		m.MailState = store.MailState{Status: store.MailSending, Asking: at.Name, LeaseUntil: s.lease()}
	}
	if m.Status != store.MailSending {
		m.Answer = answerOf(&m.Mail).forKey()
	}
	if first, err = s.addMail(ctx, m); err != nil || first != nil {
		if at != nil {
			at.abandon(s.opts.Now())
		}
		if err != nil {
			err = fmt.Errorf("%w: %w", ErrStore, err)
		}
		return first, Answer{}, err
	}
	if at == nil {
		s.metrics.settled(m.Status)
		s.nudge()
		return nil, answerOf(&m.Mail), nil
	}
	s.round(ctx, &m.Mail, &m.MailBody, at)
	return nil, answerOf(&m.Mail), nil
}

// addMail does not wait for ever where the store is stuck.
func (s *Sender) addMail(ctx context.Context, m *store.NewMail) (*store.MailKey, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.store.AddMail(ctx, m)
}

// suppressed says why nothing is sent to an address; "": it may be.
func (s *Sender) suppressed(ctx context.Context, address string) (string, error) {
	p, err := s.store.Suppression(ctx, address)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return "the recipient is suppressed: " + p.Reason, err
}

// pick takes a seat at the first provider that may be asked and was not.
func (s *Sender) pick(asked []*gate) *seat {
	now := s.opts.Now()
next:
	for _, g := range s.gates {
		for _, a := range asked {
			if a == g {
				continue next
			}
		}
		if at := g.enter(now); at != nil {
			return at
		}
	}
	return nil
}

// nextAttempt is when a mail that had its nth round is tried again: not before
// any provider may be asked, as far as is known, and at the latest when it is
// given up.
func (s *Sender) nextAttempt(rounds int, created time.Time) time.Time {
	now := s.opts.Now()
	retry := s.opts.Config.Retry
	at := now.Add(retry[min(rounds, len(retry)-1)])
	if available := s.availableAt(now); available.After(at) {
		at = available
	}
	if end := created.Add(s.opts.Config.GiveUpAfter); at.After(end) && now.Before(end) {
		at = end
	}
	return at.UTC()
}

// availableAt is when the first of the providers may be asked.
func (s *Sender) availableAt(now time.Time) time.Time {
	first := s.gates[0].availableAt(now)
	for _, g := range s.gates[1:] {
		if at := g.availableAt(now); at.Before(first) {
			first = at
		}
	}
	return first
}

func (s *Sender) lease() time.Time {
	return s.opts.Now().Add(s.opts.Config.RoundTimeout + leaseSlack)
}

// Providers are the states of all providers, in the order in which they are asked.
func (s *Sender) Providers() []ProviderState {
	now := s.opts.Now()
	var list []ProviderState
	for _, g := range s.gates {
		list = append(list, g.stateNow(now))
	}
	return list
}

func (s *Sender) takePlace() bool {
	select {
	case s.places <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(s.opts.Config.AttemptTimeout)
	defer timer.Stop()
	select {
	case s.places <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}

func (s *Sender) leavePlace() { <-s.places }

// takeOff notes that a mail is being sent here; the function that it returns,
// that it no longer is.
func (s *Sender) takeOff(id string) (landed func()) {
	done := make(chan struct{})
	s.mu.Lock()
	s.flights[id] = done
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.flights, id)
		s.mu.Unlock()
		close(done)
	}
}

func (s *Sender) flight(id string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flights[id]
}
