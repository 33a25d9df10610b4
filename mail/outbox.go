package mail

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/store"
)

const (
	duePage     = 100 // mails taken from the store at a time
	dueParallel = 8   // mails of the outbox being sent at a time
	// longestNap bounds how long Run does not look: another process may have
	// deferred a mail.
	longestNap = 30 * time.Second
	// eventsRetry is how soon events are tried again that Kafka did not take.
	eventsRetry = 10 * time.Second
)

// Recover makes unknown what a process that died was sending. Call it when no
// other process sends mails of this store, before the first Send.
func (s *Sender) Recover(ctx context.Context) error {
	return s.settleDead(ctx, s.opts.Now().Add(10*365*24*time.Hour))
}

func (s *Sender) settleDead(ctx context.Context, before time.Time) error {
	n, err := s.store.SettleDeadMails(ctx, before, "the process ended while the provider was asked")
	if n > 0 {
		s.opts.Log.Warn("mails were being sent when a process ended: they are unknown and not sent again by themselves", "mails", n)
	}
	return err
}

// Run sends deferred mails when they are due and puts e-mail events on the
// topic, until ctx ends and the last mail under way is settled. An error of
// either is logged, and tried again. While Kafka is away mails are sent.
func (s *Sender) Run(ctx context.Context) error {
	var both sync.WaitGroup
	both.Go(func() {
		s.loop(ctx, s.wakeEvents, s.publishDue, func(context.Context) time.Duration { return eventsRetry })
	})
	both.Go(func() {
		s.loop(ctx, s.wake, func(ctx context.Context) error {
			return errors.Join(s.settleDead(ctx, s.opts.Now()), s.SendDue(ctx))
		}, s.nap)
	})
	both.Wait()
	for {
		done := s.anyFlight()
		if done == nil {
			return nil
		}
		<-done // bounded by the round's timeout
	}
}

// loop does something until ctx ends: when it is woken, and after a nap.
func (s *Sender) loop(ctx context.Context, wake <-chan struct{}, do func(context.Context) error, nap func(context.Context) time.Duration) {
	for ctx.Err() == nil {
		if err := do(ctx); err != nil && ctx.Err() == nil {
			s.opts.Log.Error("mail outbox", "err", err)
		}
		timer := time.NewTimer(nap(ctx))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-wake:
		}
		timer.Stop()
	}
}

// RunOnce does what is due now: mails of dead processes, deferred mails, events.
func (s *Sender) RunOnce(ctx context.Context) error {
	return errors.Join(s.settleDead(ctx, s.opts.Now()), s.SendDue(ctx), s.publishDue(ctx))
}

// nap is how long nothing comes due; not less than a moment, so that an error
// does not make a busy loop.
func (s *Sender) nap(ctx context.Context) time.Duration {
	at, ok, err := s.store.NextDueMail(ctx)
	if err != nil || !ok {
		return longestNap
	}
	return min(max(at.Sub(s.opts.Now()), 20*time.Millisecond), longestNap)
}

// nudge makes Run look again; it never waits.
func (s *Sender) nudge() {
	for _, wake := range []chan struct{}{s.wake, s.wakeEvents} {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

func (s *Sender) anyFlight() chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, done := range s.flights {
		return done
	}
	return nil
}

// SendDue does a round of every deferred mail that is due. Each is claimed in the
// store first, so that of several processes one sends it.
func (s *Sender) SendDue(ctx context.Context) error {
	for ctx.Err() == nil {
		ids, err := s.store.DueMails(ctx, s.opts.Now(), duePage)
		if err != nil || len(ids) == 0 {
			return err
		}
		var g errgroup.Group
		g.SetLimit(dueParallel)
		for _, id := range ids {
			g.Go(func() error {
				if ctx.Err() != nil {
					return nil // what is under way is finished, nothing else begun
				}
				err := s.sendDeferred(context.WithoutCancel(ctx), id)
				if errors.Is(err, store.ErrMailMoved) || errors.Is(err, store.ErrNotFound) {
					return nil // somebody else has it
				}
				return err
			})
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Sender) sendDeferred(ctx context.Context, id string) error {
	m, err := s.store.Mail(ctx, id)
	if err != nil {
		return err
	}
	body, err := s.store.MailBody(ctx, id)
	if err != nil {
		return err
	}
	suppressed, err := s.suppressed(ctx, m.To)
	if err != nil {
		return err
	}
	if suppressed != "" { // since it was deferred
		return s.store.GiveUpMail(ctx, id, suppressed, "", s.alert("mail_suppressed", id, "mail "+id+" is not sent: "+suppressed))
	}
	now := s.opts.Now()
	at := s.pick(nil)
	if at == nil {
		if !now.Before(m.CreatedAt.Add(s.opts.Config.GiveUpAfter)) {
			return s.giveUp(ctx, &m)
		}
		// Later than now, so that this is no busy loop.
		next := s.availableAt(now)
		if !next.After(now) {
			next = now.Add(time.Second)
		}
		if end := m.CreatedAt.Add(s.opts.Config.GiveUpAfter); next.After(end) {
			next = end
		}
		return s.store.PostponeMail(ctx, id, next)
	}
	landed := s.takeOff(id)
	defer landed()
	lease := s.lease()
	if err := s.store.ClaimMail(ctx, id, at.Name, lease); err != nil {
		at.abandon(now)
		return err
	}
	m.MailState = store.MailState{Status: store.MailSending, Asking: at.Name, LeaseUntil: lease}
	s.round(ctx, &m, &body, at)
	return nil
}

// giveUp settles a mail for which nobody can be asked, and whose time is over.
func (s *Sender) giveUp(ctx context.Context, m *store.Mail) error {
	attempts, err := s.store.MailAttempts(ctx, m.ID)
	if err != nil {
		return err
	}
	event := ""
	for _, g := range s.gates {
		if n := len(attempts); n > 0 && attempts[n-1].Provider == g.Name {
			event = g.event(store.MailRejected)
		}
	}
	why := s.givenUp(m.Error)
	return s.store.GiveUpMail(ctx, m.ID, why, event, s.alert("mail_given_up", m.ID, "mail "+m.ID+": "+why))
}
