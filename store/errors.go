package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tallybook/schemas"
)

// ErrorStatus is what became of an error row.
type ErrorStatus int

const (
	ErrorOpen     ErrorStatus = 0
	ErrorResolved ErrorStatus = 1
	ErrorResent   ErrorStatus = 2 // or being sent again, while ResentAt is 0
)

// Header is a Kafka record's.
type Header struct {
	Name  string
	Value []byte
}

// ErrorFilter narrows Errors; zero fields do not.
type ErrorFilter struct {
	Account     string
	Reason      schemas.Reason
	Status      *ErrorStatus
	Endpoint    string
	Origin      *schemas.Partition
	First, Last int64        // log clock, µs: First <= Time < Last; Last 0: no end
	After       *ErrorCursor // those behind it
	Limit       int
}

// ErrorCursor is a place in the list of errors.
type ErrorCursor struct {
	Time int64
	ID   string
}

const (
	insertErrorColumns = `id, time, account, reason, field, message, input, input_bytes, input_sha256,
	origin_topic, origin_partition, origin_offset, last_offset, records, status, record_key, headers, record_time, whole, endpoint`
	errorColumns = insertErrorColumns + `, resend_at, resent_at`
)

// Errors are error rows, newest first.
func (v *View) Errors(f ErrorFilter) ([]ErrorRow, error) {
	where := filter{}
	if f.Account != "" {
		where.add(`account = ?`, f.Account)
	}
	if f.Reason != "" {
		where.add(`reason = ?`, string(f.Reason))
	}
	if f.Status != nil {
		where.add(`status = ?`, int64(*f.Status))
	}
	if f.Endpoint != "" {
		where.add(`endpoint = ?`, f.Endpoint)
	}
	if f.Origin != nil {
		where.add(`origin_topic = ? AND origin_partition = ?`, string(f.Origin.Topic), f.Origin.ID)
	}
	if f.First != 0 {
		where.add(`time >= ?`, f.First)
	}
	if f.Last != 0 {
		where.add(`time < ?`, f.Last)
	}
	if f.After != nil {
		where.add(`(time < ? OR time = ? AND id < ?)`, f.After.Time, f.After.Time, f.After.ID)
	}
	query := `SELECT ` + errorColumns + ` FROM errors` + where.sql() + ` ORDER BY time DESC, id DESC` + where.limit(f.Limit)
	return collect(v, scanError, query, where.args...)
}

// Error reads one error row; ErrNotFound also where it is not the account's
// ("": any).
func (s *Store) Error(ctx context.Context, account, id string) (ErrorRow, error) {
	e, err := readError(ctx, s.read, account, id)
	if err != nil {
		return ErrorRow{}, fmt.Errorf("error %s: %w", id, err)
	}
	return e, nil
}

func readError(ctx context.Context, q querier, account, id string) (ErrorRow, error) {
	e, err := scanError(q.QueryRowContext(ctx, `SELECT `+errorColumns+` FROM errors WHERE id = ? AND (? = '' OR account = ?)`, id, account, account))
	if errors.Is(err, sql.ErrNoRows) {
		return ErrorRow{}, ErrNotFound
	}
	return e, engineError(err)
}

func scanError(row scanner) (ErrorRow, error) {
	var e ErrorRow
	var sum []byte
	var headers sql.NullString
	var resend, resent sql.NullInt64
	err := row.Scan(&e.ID, &e.Time, &e.Account, &e.Reason, &e.Field, &e.Message, &e.Input, &e.InputBytes, &sum,
		&e.Origin.Topic, &e.Origin.ID, &e.Offset, &e.LastOffset, &e.Records, &e.Status,
		&e.Key, &headers, &e.RecordTime, &e.Whole, &e.Endpoint, &resend, &resent)
	if err != nil {
		return e, err
	}
	copy(e.InputSHA256[:], sum)
	e.ResendAt, e.ResentAt = resend.Int64, resent.Int64
	if headers.Valid {
		err = json.Unmarshal([]byte(headers.String), &e.Headers)
	}
	return e, err
}

func headersText(headers []Header) sql.NullString {
	if len(headers) == 0 {
		return sql.NullString{}
	}
	b, err := json.Marshal(headers)
	if err != nil {
		panic(err) // strings and bytes always marshal
	}
	return sql.NullString{String: string(b), Valid: true}
}

// ResolveError marks an error as settled without being sent again; status open
// takes that back. A resent one stays so: ErrExists. account "": any.
func (s *Store) ResolveError(ctx context.Context, actor, account, id string, to ErrorStatus) (ErrorRow, error) {
	if to != ErrorOpen && to != ErrorResolved {
		return ErrorRow{}, fmt.Errorf("error %s: it can be made open or resolved, not %d", id, to)
	}
	var e ErrorRow
	err := s.transact(ctx, func(w *writeTx) (err error) {
		if e, err = readError(ctx, w.conn, account, id); err != nil {
			return err
		}
		if e.Status == ErrorResent {
			return ErrExists
		}
		if e.Status == to {
			return nil
		}
		before := e.Status
		e.Status = to
		if err := w.exec(ctx, `UPDATE errors SET status = ? WHERE id = ?`, int64(to), id); err != nil {
			return err
		}
		return s.audit(ctx, w, errorAudit(actor, "change", &e, before))
	})
	if err != nil {
		return ErrorRow{}, fmt.Errorf("resolve error %s: %w", id, err)
	}
	return e, nil
}

func errorAudit(actor, action string, e *ErrorRow, before ErrorStatus) Audit {
	type status struct {
		Status ErrorStatus `json:"status"`
	}
	return Audit{Actor: actor, Action: action, Noun: "error", Subject: e.ID, Account: e.Account, Before: status{before}, After: status{e.Status}}
}

// ClaimHold is how long a claim keeps others from sending the same error: longer
// than sending takes.
const ClaimHold = 30 * time.Second

// ErrClaimed: somebody is sending the error at this moment.
var ErrClaimed = errors.New("somebody is sending it")

// ClaimError takes an error that is to be sent again: open → resent, by
// compare-and-swap, so that of two callers one gets it and the other ErrClaimed.
// first is false where it had been claimed before and was never acknowledged:
// what is sent then may be in the log already. ErrExists: it is resolved, or
// was sent.
func (s *Store) ClaimError(ctx context.Context, actor, account, id string) (e ErrorRow, first bool, err error) {
	err = s.transact(ctx, func(w *writeTx) (err error) {
		if e, err = readError(ctx, w.conn, account, id); err != nil {
			return err
		}
		var claim sql.NullInt64
		if err := w.conn.QueryRowContext(ctx, `SELECT resend_claim FROM errors WHERE id = ?`, id).Scan(&claim); err != nil {
			return engineError(err)
		}
		now, before := s.now(), e.Status
		switch {
		case e.Status == ErrorOpen:
			first, e.ResendAt = true, now.UnixMicro()
		case e.Status == ErrorResolved || e.ResentAt != 0:
			return ErrExists
		case claim.Valid && now.Sub(time.UnixMicro(claim.Int64)) < ClaimHold:
			return ErrClaimed
		default:
			first = false
		}
		e.Status = ErrorResent
		err = w.exec(ctx, `UPDATE errors SET status = ?, resend_at = ?, resend_claim = ? WHERE id = ?`, int64(e.Status), e.ResendAt, now.UnixMicro(), id)
		if err != nil {
			return err
		}
		return s.audit(ctx, w, errorAudit(actor, "send again", &e, before))
	})
	if err != nil {
		return e, false, fmt.Errorf("claim error %s: %w", id, err)
	}
	return e, first, nil
}

// ReleaseError gives a claim back: sending failed, or may have.
func (s *Store) ReleaseError(ctx context.Context, id string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `UPDATE errors SET resend_claim = NULL WHERE id = ?`, id)
	})
	if err != nil {
		return fmt.Errorf("release error %s: %w", id, err)
	}
	return nil
}

// ErrorSent notes that a claimed error was acknowledged by Kafka.
func (s *Store) ErrorSent(ctx context.Context, id string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		return w.exec(ctx, `UPDATE errors SET resent_at = ? WHERE id = ? AND status = 2 AND resent_at IS NULL`, s.now().UnixMicro(), id)
	})
	if err != nil {
		return fmt.Errorf("note that error %s was sent: %w", id, err)
	}
	return nil
}
