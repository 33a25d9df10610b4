package store

import (
	"context"
	"fmt"
	"time"
)

// DueMails are the deferred mails whose time has come, the longest due first.
func (s *Store) DueMails(ctx context.Context, now time.Time, limit int) ([]string, error) {
	return s.mailIDs(ctx, "list due mails",
		`SELECT id FROM mails WHERE status = 'deferred' AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?`, now.UnixMicro(), limit)
}

// NextDueMail is when the next deferred mail comes due; ok is false where none waits.
func (s *Store) NextDueMail(ctx context.Context) (at time.Time, ok bool, err error) {
	var micros *int64
	err = s.read.QueryRowContext(ctx, `SELECT min(next_attempt_at) FROM mails WHERE status = 'deferred'`).Scan(&micros)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("look for the next due mail: %w", engineError(err))
	}
	if micros == nil {
		return time.Time{}, false, nil
	}
	return time.UnixMicro(*micros).UTC(), true, nil
}

// ClaimMail takes a deferred mail for sending: of several that try, one gets it,
// the others ErrMailMoved.
func (s *Store) ClaimMail(ctx context.Context, id, asking string, lease time.Time) error {
	return s.moveMail(ctx, "claim mail "+id, `UPDATE mails SET status = 'sending', asking = ?, asked_at = ?, lease_until = ?, next_attempt_at = NULL
		WHERE id = ? AND status = 'deferred'`, asking, s.opts.Now().UnixMicro(), lease.UnixMicro(), id)
}

// PostponeMail moves a deferred mail's time without asking anybody.
func (s *Store) PostponeMail(ctx context.Context, id string, next time.Time) error {
	return s.moveMail(ctx, "postpone mail "+id, `UPDATE mails SET next_attempt_at = ? WHERE id = ? AND status = 'deferred'`, next.UnixMicro(), id)
}

// GiveUpMail settles a deferred mail that was tried for long enough.
func (s *Store) GiveUpMail(ctx context.Context, id, reason, event string, alert Alert) error {
	err := s.transact(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, `UPDATE mails SET status = 'rejected', error = ?, next_attempt_at = NULL, event_due = ?
			WHERE id = ? AND status = 'deferred'`, reason, textOrNull(event), id)
		if err == nil && n == 0 {
			err = ErrMailMoved
		}
		if err != nil {
			return err
		}
		return addAlerts(ctx, w, []Alert{alert})
	})
	if err != nil {
		return fmt.Errorf("give up mail %s: %w", id, err)
	}
	return nil
}

func (s *Store) moveMail(ctx context.Context, doing, query string, args ...any) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		n, err := w.execCount(ctx, query, args...)
		if err == nil && n == 0 {
			err = ErrMailMoved
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

// SettleDeadMails makes unknown what was being sent by a process that died:
// whoever was asked then may have the mail, so that it is not sent again, but for
// those of MailRepeat, which are due again when their lease ends. Only mails whose lease ended before
// the given time; it returns how many are unknown.
func (s *Store) SettleDeadMails(ctx context.Context, before time.Time, reason string) (n int64, err error) {
	err = s.transact(ctx, func(w *writeTx) error {
		const dead = ` FROM mails WHERE status = 'sending' AND lease_until < ?`
		err := w.exec(ctx, `INSERT INTO mail_attempts (mail, n, provider, class, status_code, message, duration_ms, at)
			SELECT id, (SELECT count(*) FROM mail_attempts WHERE mail = mails.id), asking, 'ambiguous', 0, CAST(? AS TEXT), 0, asked_at`+dead+` AND asking <> ''`,
			reason, before.UnixMicro())
		if err != nil {
			return err
		}
		err = w.exec(ctx, `UPDATE mails SET status = 'deferred', error = ?, asking = '', next_attempt_at = lease_until, lease_until = NULL,
			rounds = rounds + 1, possible_duplicate = 1 WHERE status = 'sending' AND lease_until < ? AND on_ambiguous = ?`,
			reason, before.UnixMicro(), MailRepeat)
		if err != nil {
			return err
		}
		n, err = w.execCount(ctx, `UPDATE mails SET status = 'unknown', error = ?, asking = '', lease_until = NULL, rounds = rounds + 1
			WHERE status = 'sending' AND lease_until < ?`, reason, before.UnixMicro())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("settle mails of a process that died: %w", err)
	}
	return n, nil
}

// MailEventsDue are mails whose e-mail event is still to be put on the topic.
func (s *Store) MailEventsDue(ctx context.Context, limit int) ([]string, error) {
	return s.mailIDs(ctx, "list due e-mail events", `SELECT id FROM mails WHERE event_due IS NOT NULL ORDER BY id LIMIT ?`, limit)
}

// MailEventDone notes that a mail's event is on the topic.
func (s *Store) MailEventDone(ctx context.Context, id string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `UPDATE mails SET event_due = NULL WHERE id = ?`, id)
	})
	if err != nil {
		return fmt.Errorf("note the e-mail event of %s: %w", id, err)
	}
	return nil
}

func (s *Store) mailIDs(ctx context.Context, doing, query string, args ...any) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	ids, err := scanAll(rows, err, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return ids, nil
}
