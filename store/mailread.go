package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const mailColumns = `id, account, to_address, to_name, from_address, from_name, subject, tags, on_ambiguous, header_id, created_at,
	status, provider, message_id, error, next_attempt_at, asking, lease_until, event_due, possible_duplicate, duplicate_confirmed, rounds`

func scanMail(row scanner) (Mail, error) {
	var m Mail
	var tags string
	var created int64
	var next, lease sql.NullInt64
	var event sql.NullString
	err := row.Scan(&m.ID, &m.Account, &m.To, &m.ToName, &m.From, &m.FromName, &m.Subject, &tags, &m.OnAmbiguous, &m.HeaderID, &created,
		&m.Status, &m.Provider, &m.MessageID, &m.Error, &next, &m.Asking, &lease, &event, &m.PossibleDuplicate, &m.DuplicateConfirmed, &m.Rounds)
	if errors.Is(err, sql.ErrNoRows) {
		return m, ErrNotFound
	}
	if err != nil {
		return m, engineError(err)
	}
	m.CreatedAt = time.UnixMicro(created).UTC()
	m.NextAttemptAt, m.LeaseUntil = timeOrZero(next), timeOrZero(lease)
	m.EventDue = event.String
	return m, json.Unmarshal([]byte(tags), &m.Tags)
}

func timeOrZero(micros sql.NullInt64) time.Time {
	if !micros.Valid {
		return time.Time{}
	}
	return time.UnixMicro(micros.Int64).UTC()
}

// Mail is a mail's record; ErrNotFound.
func (s *Store) Mail(ctx context.Context, id string) (Mail, error) {
	m, err := scanMail(s.read.QueryRowContext(ctx, `SELECT `+mailColumns+` FROM mails WHERE id = ?`, id))
	if err != nil {
		return m, fmt.Errorf("read mail %s: %w", id, err)
	}
	return m, nil
}

// MailBody is a mail's text and the file that goes with it.
func (s *Store) MailBody(ctx context.Context, id string) (b MailBody, err error) {
	var a MailAttachment
	var name, kind sql.NullString
	err = s.read.QueryRowContext(ctx, `SELECT b.html, a.name, a.type, a.content FROM mail_bodies b LEFT JOIN mail_attachments a ON a.mail = b.mail
		WHERE b.mail = ?`, id).Scan(&b.HTML, &name, &kind, &a.Content)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return b, fmt.Errorf("read the text of mail %s: %w", id, engineError(err))
	}
	if a.Name, a.Type = name.String, kind.String; name.Valid {
		b.Attachment = &a
	}
	return b, nil
}

// MailAttempts are a mail's attempts in their order.
func (s *Store) MailAttempts(ctx context.Context, id string) ([]MailAttempt, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT provider, class, status_code, message, duration_ms, at FROM mail_attempts
		WHERE mail = ? ORDER BY n`, id)
	list, err := scanAll(rows, err, func(row scanner) (a MailAttempt, err error) {
		var ms, at int64
		err = row.Scan(&a.Provider, &a.Class, &a.StatusCode, &a.Message, &ms, &at)
		a.Duration, a.At = time.Duration(ms)*time.Millisecond, time.UnixMicro(at).UTC()
		return a, err
	})
	if err != nil {
		return nil, fmt.Errorf("read the attempts of mail %s: %w", id, err)
	}
	return list, nil
}

// MailFilter chooses mails; a zero field does not.
type MailFilter struct {
	Account       string
	Status        MailStatus
	Provider      string
	To, From      string    // addresses, in any case
	Since, Before time.Time // created in [Since, Before)

	// AfterTime and AfterID are the last mail of the page before.
	AfterTime time.Time
	AfterID   string
	Limit     int
}

// Mails lists mails, the newest first.
func (s *Store) Mails(ctx context.Context, f MailFilter) ([]Mail, error) {
	where, args := "1 = 1", []any{}
	add := func(wanted bool, condition string, values ...any) {
		if wanted {
			where += " AND " + condition
			args = append(args, values...)
		}
	}
	add(f.Account != "", "account = ?", f.Account)
	add(f.Status != "", "status = ?", string(f.Status))
	add(f.Provider != "", "provider = ?", f.Provider)
	add(f.To != "", "lower(to_address) = lower(?)", f.To)
	add(f.From != "", "lower(from_address) = lower(?)", f.From)
	add(!f.Since.IsZero(), "created_at >= ?", f.Since.UnixMicro())
	add(!f.Before.IsZero(), "created_at < ?", f.Before.UnixMicro())
	add(f.AfterID != "", "(created_at < ? OR (created_at = ? AND id < ?))", f.AfterTime.UnixMicro(), f.AfterTime.UnixMicro(), f.AfterID)
	rows, err := s.read.QueryContext(ctx, `SELECT `+mailColumns+` FROM mails WHERE `+where+` ORDER BY created_at DESC, id DESC LIMIT ?`,
		append(args, f.Limit)...)
	list, err := scanAll(rows, err, func(row scanner) (Mail, error) { return scanMail(row) })
	if err != nil {
		return nil, fmt.Errorf("list mails: %w", err)
	}
	return list, nil
}

// DomainOwner is the account that registered a sending domain; ErrNotFound.
func (s *Store) DomainOwner(ctx context.Context, domain string) (string, error) {
	d, err := scanDomain(s.read.QueryRowContext(ctx, `SELECT domain, account, created_at FROM domains WHERE domain = ?`, domain))
	if err != nil {
		return "", fmt.Errorf("look up domain %s: %w", domain, err)
	}
	return d.Account, nil
}
