package mail

import (
	"context"
	"time"

	"tallybook/store"
)

// Record is a mail's record as people see it.
type Record struct {
	ID                 string           `json:"id"`
	Account            string           `json:"account"`
	Status             store.MailStatus `json:"status"`
	Provider           *string          `json:"provider"`
	MessageID          *string          `json:"message_id"`        // the provider's name for it
	HeaderMessageID    string           `json:"header_message_id"` // the Message-ID that it was sent with
	PossibleDuplicate  bool             `json:"possible_duplicate"`
	DuplicateConfirmed bool             `json:"duplicate_confirmed"`
	NextAttemptAt      *time.Time       `json:"next_attempt_at"`
	Error              *string          `json:"error"`
	To                 string           `json:"to"`
	ToName             string           `json:"to_name"`
	From               string           `json:"from"`
	FromName           string           `json:"from_name"`
	Subject            string           `json:"subject"`
	Tags               []string         `json:"tags"`
	CreatedAt          time.Time        `json:"created_at"`
	Attempts           []Attempt        `json:"attempts,omitzero"` // of one mail; lists are without
}

// Attempt is one call of a provider.
type Attempt struct {
	Provider   string    `json:"provider"`
	Class      Class     `json:"class"`
	StatusCode *int      `json:"status_code"`
	Message    string    `json:"message"`
	DurationMS int64     `json:"duration_ms"`
	At         time.Time `json:"at"`
}

// RecordOf is a mail's record without its attempts.
func RecordOf(m *store.Mail) Record {
	r := Record{ID: m.ID, Account: m.Account, Status: m.Status, HeaderMessageID: m.HeaderID, PossibleDuplicate: m.PossibleDuplicate,
		DuplicateConfirmed: m.DuplicateConfirmed, To: m.To, ToName: m.ToName, From: m.From, FromName: m.FromName, Subject: m.Subject,
		Tags: append([]string{}, m.Tags...), CreatedAt: m.CreatedAt}
	if m.Provider != "" {
		r.Provider = &m.Provider
	}
	if m.MessageID != "" {
		r.MessageID = &m.MessageID
	}
	if m.Error != "" {
		r.Error = &m.Error
	}
	if !m.NextAttemptAt.IsZero() {
		r.NextAttemptAt = &m.NextAttemptAt
	}
	return r
}

// ReadRecord reads a mail's record with every attempt; store.ErrNotFound.
func ReadRecord(ctx context.Context, st *store.Store, id string) (Record, error) {
	m, err := st.Mail(ctx, id)
	if err != nil {
		return Record{}, err
	}
	attempts, err := st.MailAttempts(ctx, id)
	if err != nil {
		return Record{}, err
	}
	r := RecordOf(&m)
	r.Attempts = []Attempt{}
	for _, a := range attempts {
		shown := Attempt{Provider: a.Provider, Class: Class(a.Class), Message: a.Message, DurationMS: a.Duration.Milliseconds(), At: a.At}
		if a.StatusCode != 0 {
			shown.StatusCode = &a.StatusCode
		}
		r.Attempts = append(r.Attempts, shown)
	}
	return r, nil
}
