package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// JobRequest is a run that somebody asked for out of turn.
type JobRequest struct {
	Job string
	At  time.Time // what its lease is taken for, as for a time of the schedule
}

// AskJob asks for a run of a job that has a schedule, by whichever process runs
// jobs; ErrNotFound. Asked again before it began it runs once, asked while it
// runs once more. The request outlives every process.
func (s *Store) AskJob(ctx context.Context, job string) (JobRequest, error) {
	var at int64
	err := s.transactBeside(ctx, func(w *writeTx) error {
		now := s.now().UnixMicro()
		// Above the times that were served, also where another's clock is ahead.
		err := w.conn.QueryRowContext(ctx, `UPDATE job_leases SET asked_at = CASE WHEN due >= ? THEN due + 1 ELSE ? END
			WHERE job = ? AND schedule <> '' RETURNING asked_at`, now, now, job).Scan(&at)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		return engineError(err)
	})
	if err != nil {
		return JobRequest{}, fmt.Errorf("ask for job %s: %w", job, err)
	}
	return JobRequest{job, time.UnixMicro(at).UTC()}, nil
}

// AskedJobs are the requests that wait and whose jobs do not run now.
func (s *Store) AskedJobs(ctx context.Context) ([]JobRequest, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT job, asked_at FROM job_leases WHERE asked_at > due AND until <= ? ORDER BY job`, s.now().UnixMicro())
	list, err := scanAll(rows, err, func(row scanner) (r JobRequest, err error) {
		var at int64
		err = row.Scan(&r.Job, &at)
		r.At = time.UnixMicro(at).UTC()
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs that were asked for: %w", err)
	}
	return list, nil
}

// maxProgress bounds the text of a run's progress.
const maxProgress = 1 << 10

// NoteProgress keeps what a run said last.
func (s *Store) NoteProgress(ctx context.Context, l Lease, text string) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		return w.exec(ctx, `UPDATE job_runs SET progress = ? WHERE job = ? AND token = ?`, text[:min(len(text), maxProgress)], l.Job, l.Token)
	})
	if err != nil {
		return fmt.Errorf("note the progress of job %s: %w", l.Job, err)
	}
	return nil
}
