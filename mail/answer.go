package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"tallybook/store"
)

// Answer is what the sender of a mail is told.
type Answer struct {
	HTTPStatus int `json:"-"` // 200 sent, 202 kept, 422 rejected

	ID                string           `json:"id"`
	Status            store.MailStatus `json:"status"`
	Provider          *string          `json:"provider"`   // who has it
	MessageID         *string          `json:"message_id"` // the provider's name for it
	PossibleDuplicate bool             `json:"possible_duplicate"`
	Error             string           `json:"error,omitempty"`
}

func answerOf(m *store.Mail) Answer {
	a := Answer{HTTPStatus: http.StatusAccepted, ID: m.ID, Status: m.Status, PossibleDuplicate: m.PossibleDuplicate, Error: m.Error}
	switch m.Status {
	case store.MailSent:
		a.HTTPStatus = http.StatusOK
	case store.MailRejected:
		a.HTTPStatus = http.StatusUnprocessableEntity
	}
	if m.Provider != "" {
		a.Provider = &m.Provider
	}
	if m.MessageID != "" {
		a.MessageID = &m.MessageID
	}
	return a
}

// forKey is the answer as it is kept with an Idempotency-Key.
func (a Answer) forKey() *store.MailAnswer {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil {
		panic(err) // strings only
	}
	return &store.MailAnswer{Status: a.HTTPStatus, Body: b.String()}
}

// again answers a request whose key was used before: with the first answer, for
// which it waits while the mail is being sent here.
func (s *Sender) again(ctx context.Context, o *Order, first *store.MailKey) (Answer, error) {
	if !bytes.Equal(first.RequestHash, o.hash()) {
		return Answer{}, ErrKeyReused
	}
	if done := s.flight(first.Mail); done != nil {
		select {
		case <-done:
		case <-ctx.Done():
			return Answer{}, fmt.Errorf("wait for the mail that the Idempotency-Key belongs to: %w", ctx.Err())
		}
	}
	ctx = context.WithoutCancel(ctx)
	key, err := s.store.MailKeyUsed(ctx, first.Scope, first.Key)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrStore, err)
	}
	if key != nil && key.AnswerStatus != 0 {
		a := Answer{HTTPStatus: key.AnswerStatus}
		return a, json.Unmarshal([]byte(key.Answer), &a)
	}
	// There was no first answer: the process died, or another one is sending.
	m, err := s.store.Mail(ctx, first.Mail)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return answerOf(&m), nil
}
