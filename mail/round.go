package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"tallybook/store"
)

// round asks providers, each once, until one has the mail or refuses it for the
// mail's own fault, beginning with a seat that is already recorded as being
// asked. Every answer is recorded together with who is asked next. It leaves in
// m where the mail stands.
func (s *Sender) round(ctx context.Context, m *store.Mail, body *store.MailBody, at *seat) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Config.RoundTimeout)
	defer cancel()
	msg := newMessage(m, body)
	var asked []*gate
	var outcomes []Outcome
	for at != nil {
		step := &store.MailStep{Mail: m.ID}
		o := s.ask(ctx, at, msg, step)
		asked, outcomes = append(asked, at.gate), append(outcomes, o)
		var next *seat
		if !o.final(m.OnAmbiguous == Hold) && s.timeLeft(ctx) {
			next = s.pick(asked)
		}
		if next != nil {
			step.State = store.MailState{Status: store.MailSending, Asking: next.Name, LeaseUntil: m.LeaseUntil}
			step.PossibleDuplicate = slices.ContainsFunc(outcomes, isAmbiguous)
		} else {
			s.conclude(m, step, at.gate, outcomes)
		}
		if err := s.record(ctx, step); err != nil {
			s.lost(m, step, next, err)
			return
		}
		m.MailState = step.State
		m.PossibleDuplicate = m.PossibleDuplicate || step.PossibleDuplicate
		at = next
	}
	m.Rounds++
	s.metrics.settled(m.Status)
	if m.Status == store.MailDeferred || m.EventDue != "" {
		s.nudge()
	}
}

// timeLeft: nobody is asked who would have no fair chance to answer.
func (s *Sender) timeLeft(ctx context.Context) bool {
	end, _ := ctx.Deadline()
	return ctx.Err() == nil && time.Until(end) > s.opts.Config.AttemptTimeout/4
}

func isAmbiguous(o Outcome) bool { return o.Class == Ambiguous }

// ask makes one attempt, and fills in its part of the step. The seat is left
// also when the transport panics, which makes nothing known of the mail.
func (s *Sender) ask(ctx context.Context, at *seat, msg *message, step *store.MailStep) (o Outcome) {
	began := s.opts.Now()
	o = s.sendOnce(ctx, at, msg)
	ended := s.opts.Now()
	held := at.leave(ended, &o, holds{s.opts.Config.ConfigurationHold, s.opts.Config.RateLimitHold})
	step.Attempt = &store.MailAttempt{Provider: at.Name, Class: string(o.Class), StatusCode: o.StatusCode,
		Message: o.Message, Duration: ended.Sub(began), At: began}
	s.metrics.attempt(at.Name, o.Class)
	switch {
	case held:
		step.Alerts = append(step.Alerts, s.alert("mail_configuration", at.Name, fmt.Sprintf(
			"%s is not asked for %v: %s", at.Name, s.opts.Config.ConfigurationHold, o.Message)))
	case o.Alert, o.Class == Unclassified:
		step.Alerts = append(step.Alerts, s.alert("mail_answer", at.Name, fmt.Sprintf(
			"%s gave an answer that is not known: %s", at.Name, o.Message)))
	}
	if o.Class != OK {
		s.opts.Log.Warn("mail attempt", "mail", msg.id, "provider", at.Name, "class", o.Class, "status", o.StatusCode, "message", o.Message)
	}
	return o
}

func (s *Sender) sendOnce(ctx context.Context, at *seat, msg *message) (o Outcome) {
	defer func() {
		if p := recover(); p != nil {
			o = Outcome{Class: Ambiguous, Message: clip(fmt.Sprint("panic: ", p))}
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.opts.Config.AttemptTimeout)
	defer cancel()
	o = at.send(ctx, msg)
	o.Message = at.withoutSecrets(o.Message)
	return o
}

// conclude is what a round came to when nobody else is asked.
func (s *Sender) conclude(m *store.Mail, step *store.MailStep, last *gate, outcomes []Outcome) {
	step.RoundDone = true
	o := &outcomes[len(outcomes)-1]
	st := &step.State
	is := verdict(outcomes)
	if is == store.MailUnknown && m.OnAmbiguous == store.MailRepeat {
		is, step.PossibleDuplicate = store.MailDeferred, true
	}
	switch is {
	case store.MailSent:
		*st = store.MailState{Status: store.MailSent, Provider: last.Name, MessageID: o.MessageID}
	case store.MailRejected:
		*st = store.MailState{Status: store.MailRejected, Error: last.Name + ": " + o.Message}
	case store.MailUnknown:
		*st = store.MailState{Status: store.MailUnknown, Error: last.Name + ": " + o.Message}
		step.Alerts = append(step.Alerts, s.alert("mail_unknown", m.ID,
			fmt.Sprintf("mail %s may have been sent, and is not sent again by itself: %s: %s", m.ID, last.Name, o.Message)))
	default:
		*st = store.MailState{Status: store.MailDeferred, Error: last.Name + ": " + o.Message,
			NextAttemptAt: s.nextAttempt(m.Rounds, m.CreatedAt)}
		if !s.opts.Now().Before(m.CreatedAt.Add(s.opts.Config.GiveUpAfter)) {
			*st = store.MailState{Status: store.MailRejected, Error: s.givenUp(st.Error)}
			step.Alerts = append(step.Alerts, s.alert("mail_given_up", m.ID, "mail "+m.ID+": "+st.Error))
		}
	}
	st.EventDue = last.event(st.Status)
	settled := *m
	settled.MailState = *st
	step.Answer = answerOf(&settled).forKey()
}

// verdict is what a round's outcomes mean for the mail.
func verdict(outcomes []Outcome) store.MailStatus {
	last := &outcomes[len(outcomes)-1]
	switch {
	case last.Class == OK:
		return store.MailSent
	case last.Class == Payload, last.Class == Recipient:
		return store.MailRejected
	case slices.ContainsFunc(outcomes, isAmbiguous):
		return store.MailUnknown
	case !slices.ContainsFunc(outcomes, func(o Outcome) bool { return o.Class == Unclassified }):
		return store.MailDeferred
	case last.Class == Unclassified:
		return store.MailRejected // there is no second opinion to be had
	case !slices.ContainsFunc(outcomes, func(o Outcome) bool {
		return o.Class != Unclassified && (o.Temporary || o.StatusCode < 400 || o.StatusCode > 499)
	}):
		return store.MailRejected // all of them blame us
	}
	return store.MailDeferred
}

func (s *Sender) givenUp(why string) string {
	return fmt.Sprintf("given up after %v: %s", s.opts.Config.GiveUpAfter, why)
}

func (s *Sender) alert(kind, key, text string) store.Alert {
	s.opts.Log.Error("mail", "alert", kind, "key", key, "message", text)
	return store.Alert{Kind: kind, Key: key, Message: clip(text), At: s.opts.Now().UTC()}
}

// record writes a step; a store that is busy is asked again a few times, since
// the step has happened.
func (s *Sender) record(ctx context.Context, step *store.MailStep) error {
	ctx = context.WithoutCancel(ctx)
	for delay := 50 * time.Millisecond; ; delay *= 4 {
		err := s.stepMail(ctx, step)
		if err == nil || errors.Is(err, store.ErrMailMoved) || delay > time.Second {
			return err
		}
		time.Sleep(delay)
	}
}

func (s *Sender) stepMail(ctx context.Context, step *store.MailStep) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return s.store.StepMail(ctx, step)
}

// lost: a step happened that the store did not take, or took without our hearing
// of it. Nobody else is asked. What the record says is answered, where it is
// settled; else the mail becomes unknown when the lease ends, and so it is answered.
func (s *Sender) lost(m *store.Mail, step *store.MailStep, next *seat, err error) {
	if next != nil {
		next.abandon(s.opts.Now())
	}
	s.opts.Log.Error("mail", "mail", m.ID, "err", err, "attempt", step.Attempt.Provider, "class", step.Attempt.Class)
	if is, err := s.store.Mail(context.Background(), m.ID); err == nil && is.Status != store.MailSending {
		*m = is
	} else {
		m.MailState = store.MailState{Status: store.MailUnknown, Error: "what became of it could not be recorded"}
	}
	s.metrics.settled(m.Status)
}
