package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// MailStatus is where a mail stands.
type MailStatus string

const (
	MailSending  MailStatus = "sending"  // a provider is being asked
	MailSent     MailStatus = "sent"     // a provider has it
	MailDeferred MailStatus = "deferred" // nobody has it; it will be tried again
	MailRejected MailStatus = "rejected" // nobody has it, and nobody will be asked again
	MailUnknown  MailStatus = "unknown"  // somebody may have it; it is not sent again
)

// MailStatuses lists them all.
var MailStatuses = []MailStatus{MailSending, MailSent, MailDeferred, MailRejected, MailUnknown}

// ErrMailMoved: the mail is no longer in the state that the caller left it in.
var ErrMailMoved = errors.New("the mail was settled by somebody else")

// Mail is the record of one mail, without its text.
type Mail struct {
	ID          string
	Account     string
	To, ToName  string
	From        string
	FromName    string
	Subject     string
	Tags        []string
	OnAmbiguous string
	HeaderID    string // our Message-ID, in angle brackets
	CreatedAt   time.Time

	MailState
	PossibleDuplicate  bool
	DuplicateConfirmed bool
	Rounds             int // in which at least one provider was asked
}

// MailState is the part of a record that one step replaces as a whole.
type MailState struct {
	Status        MailStatus
	Provider      string    // who has it; "" while nobody has
	MessageID     string    // the provider's name for it
	Error         string    // why it is not sent
	NextAttemptAt time.Time // while deferred
	Asking        string    // while sending: who is being asked
	LeaseUntil    time.Time // while sending: later, the sender is dead
	EventDue      string    // the e-mail event that is still to be put on the topic
}

// MailRepeat stands as OnAmbiguous of mails that are sent again where somebody may
// have them.
const MailRepeat = "repeat"

// MailAttempt is one call of one provider.
type MailAttempt struct {
	Provider   string
	Class      string
	StatusCode int // of HTTP or SMTP; 0: none was seen
	Message    string
	Duration   time.Duration
	At         time.Time // when it began
}

// MailKey is an Idempotency-Key with what was sent under it first.
type MailKey struct {
	Scope        string // whose key it is; "": an operator's
	Key          string
	RequestHash  []byte
	Mail         string
	AnswerStatus int    // 0 while the first answer is not known
	Answer       string // its body
}

// Alert is something that operators should know.
type Alert struct {
	Kind, Key, Message string
	At                 time.Time
}

// MailBody is a mail's text, and the file that goes with it.
type MailBody struct {
	HTML       string
	Attachment *MailAttachment // nil: none
}

// MailAttachment is a file with its name and media type.
type MailAttachment struct {
	Name, Type string
	Content    []byte
}

// NewMail is a mail that enters the store.
type NewMail struct {
	Mail
	MailBody
	Key    *MailKey // nil: without
	Alerts []Alert
	Answer *MailAnswer // of a mail that is settled at once; kept with Key
}

// MailAnswer is what the sender of a mail was told.
type MailAnswer struct {
	Status int
	Body   string
}

// AddMail writes a mail's record, before any provider is asked. Where its key
// was used before, nothing is written and the first use returned.
func (s *Store) AddMail(ctx context.Context, m *NewMail) (first *MailKey, err error) {
	tags, err := json.Marshal(append([]string{}, m.Tags...))
	if err != nil {
		return nil, err
	}
	err = s.transactBeside(ctx, func(w *writeTx) error {
		first = nil
		if m.Key != nil {
			if first, err = findMailKey(ctx, w.conn, m.Key.Scope, m.Key.Key); err != nil || first != nil {
				return err
			}
			n, err := w.execCount(ctx, `INSERT INTO mail_keys (account, key, request_hash, mail) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
				m.Key.Scope, m.Key.Key, m.Key.RequestHash, m.ID)
			if err != nil {
				return err
			}
			if n == 0 { // at this very moment
				first, err = findMailKey(ctx, w.conn, m.Key.Scope, m.Key.Key)
				return err
			}
		}
		err := w.exec(ctx, `INSERT INTO mails (id, account, to_address, to_name, from_address, from_name, subject, tags,
			on_ambiguous, header_id, created_at, status, asking, asked_at, lease_until, next_attempt_at, error, event_due)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			m.ID, m.Account, m.To, m.ToName, m.From, m.FromName, m.Subject, string(tags), m.OnAmbiguous, m.HeaderID,
			m.CreatedAt.UnixMicro(), string(m.Status), m.Asking, s.opts.Now().UnixMicro(), microsOrNull(m.LeaseUntil),
			microsOrNull(m.NextAttemptAt), m.Error, textOrNull(m.EventDue))
		if err != nil {
			return err
		}
		if err := addMailBody(ctx, w, m.ID, &m.MailBody); err != nil {
			return err
		}
		if err := answerMail(ctx, w, m.ID, m.Answer); err != nil {
			return err
		}
		return addAlerts(ctx, w, m.Alerts)
	})
	if err != nil {
		return nil, fmt.Errorf("record mail %s: %w", m.ID, err)
	}
	return first, nil
}

func addMailBody(ctx context.Context, w *writeTx, id string, b *MailBody) error {
	err := w.exec(ctx, `INSERT INTO mail_bodies (mail, html) VALUES (?, ?)`, id, b.HTML)
	if a := b.Attachment; a != nil && err == nil {
		err = w.exec(ctx, `INSERT INTO mail_attachments (mail, name, type, content) VALUES (?, ?, ?, ?)`, id, a.Name, a.Type, a.Content)
	}
	return err
}

// MailStep is what became of a mail in sending: an attempt, and where it stands
// behind it.
type MailStep struct {
	Mail              string
	Attempt           *MailAttempt // nil: nobody was asked
	State             MailState
	PossibleDuplicate bool // is set, never taken back
	RoundDone         bool // counts a round
	Alerts            []Alert
	Answer            *MailAnswer // for the mail's key, if it has one and no answer yet
}

// StepMail writes one step of a mail that is being sent; ErrMailMoved: it is not.
func (s *Store) StepMail(ctx context.Context, step *MailStep) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		st := &step.State
		n, err := w.execCount(ctx, `UPDATE mails SET status = ?, provider = ?, message_id = ?, error = ?, next_attempt_at = ?,
			asking = ?, asked_at = ?, lease_until = ?, event_due = ?,
			possible_duplicate = CASE WHEN ? THEN 1 ELSE possible_duplicate END, rounds = rounds + ?
			WHERE id = ? AND status = 'sending'`,
			string(st.Status), st.Provider, st.MessageID, st.Error, microsOrNull(st.NextAttemptAt),
			st.Asking, s.opts.Now().UnixMicro(), microsOrNull(st.LeaseUntil), textOrNull(st.EventDue),
			step.PossibleDuplicate, boolInt(step.RoundDone), step.Mail)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrMailMoved
		}
		if err := addAttempt(ctx, w, step.Mail, step.Attempt); err != nil {
			return err
		}
		if err := answerMail(ctx, w, step.Mail, step.Answer); err != nil {
			return err
		}
		return addAlerts(ctx, w, step.Alerts)
	})
	if err != nil {
		return fmt.Errorf("record what became of mail %s: %w", step.Mail, err)
	}
	return nil
}

func addAttempt(ctx context.Context, w *writeTx, mail string, a *MailAttempt) error {
	if a == nil {
		return nil
	}
	return w.exec(ctx, `INSERT INTO mail_attempts (mail, n, provider, class, status_code, message, duration_ms, at)
		SELECT CAST(? AS TEXT), count(*), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS BIGINT), CAST(? AS BIGINT)
		FROM mail_attempts WHERE mail = ?`,
		mail, a.Provider, a.Class, a.StatusCode, a.Message, a.Duration.Milliseconds(), a.At.UnixMicro(), mail)
}

func answerMail(ctx context.Context, w *writeTx, mail string, a *MailAnswer) error {
	if a == nil {
		return nil
	}
	return w.exec(ctx, `UPDATE mail_keys SET answer_status = ?, answer = ? WHERE mail = ? AND answer IS NULL`, a.Status, a.Body, mail)
}

type queryer interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func findMailKey(ctx context.Context, q queryer, scope, key string) (*MailKey, error) {
	k := MailKey{Scope: scope, Key: key}
	var status sql.NullInt64
	var answer sql.NullString
	err := q.QueryRowContext(ctx, `SELECT request_hash, mail, answer_status, answer FROM mail_keys WHERE account = ? AND key = ?`,
		scope, key).Scan(&k.RequestHash, &k.Mail, &status, &answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, engineError(err)
	}
	k.AnswerStatus, k.Answer = int(status.Int64), answer.String
	return &k, nil
}

// MailKeyUsed is the first use of a key within its scope, or nil.
func (s *Store) MailKeyUsed(ctx context.Context, scope, key string) (*MailKey, error) {
	k, err := findMailKey(ctx, s.read, scope, key)
	if err != nil {
		return nil, fmt.Errorf("look up Idempotency-Key: %w", err)
	}
	return k, nil
}

func microsOrNull(t time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: t.UnixMicro(), Valid: !t.IsZero()}
}

func textOrNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
