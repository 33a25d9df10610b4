package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lease is the right to run a job until a time. Whoever takes it gets a token
// above all before; a transaction of the job checks its own, so that one who
// was stopped past the lease and woke up changes nothing.
type Lease struct {
	Job, Holder string
	Token       int64
}

var (
	// ErrLeaseHeld: another holder runs the job.
	ErrLeaseHeld = errors.New("another process runs the job")
	// ErrLeaseDone: that time of the schedule was taken on before.
	ErrLeaseDone = errors.New("the job's schedule was served for that time")
	// ErrLeaseLost: the lease ended, or another has taken it since.
	ErrLeaseLost = errors.New("the lease on the job is lost")
)

// keptRuns is how many runs of a job are kept.
const keptRuns = 100

// TakeLease takes the lease on a job for a time from now on (the store's clock),
// and notes a run. due is the time of the schedule that is served, zero for a
// run out of turn. ErrLeaseHeld, ErrLeaseDone.
func (s *Store) TakeLease(ctx context.Context, job, holder string, due time.Time, d time.Duration) (Lease, error) {
	l := Lease{Job: job, Holder: holder}
	err := s.transactBeside(ctx, func(w *writeTx) error {
		now, slot := s.now().UnixMicro(), int64(0)
		if !due.IsZero() {
			slot = due.UnixMicro()
		}
		err := w.conn.QueryRowContext(ctx, `INSERT INTO job_leases (job, schedule, holder, token, until, due) VALUES (?, '', ?, 1, ?, ?)
			ON CONFLICT (job) DO UPDATE SET holder = excluded.holder, token = job_leases.token + 1, until = excluded.until,
			due = CASE WHEN excluded.due > job_leases.due THEN excluded.due ELSE job_leases.due END
			WHERE job_leases.until <= ? AND (excluded.due = 0 OR excluded.due > job_leases.due) RETURNING token`,
			job, holder, now+d.Microseconds(), slot, now).Scan(&l.Token)
		if errors.Is(err, sql.ErrNoRows) {
			return whyNotTaken(ctx, w, job, now)
		}
		if err != nil {
			return engineError(err)
		}
		if err := w.exec(ctx, `UPDATE job_runs SET outcome = 'lost', ended_at = ? WHERE job = ? AND outcome = 'running'`, now, job); err != nil {
			return err
		}
		if err := w.exec(ctx, `DELETE FROM job_runs WHERE job = ? AND token <= ?`, job, l.Token-keptRuns); err != nil {
			return err
		}
		return w.exec(ctx, `INSERT INTO job_runs (job, token, holder, began_at, outcome, error) VALUES (?, ?, ?, ?, 'running', '')`,
			job, l.Token, holder, now)
	})
	if err != nil {
		return Lease{}, fmt.Errorf("take the lease on job %s: %w", job, err)
	}
	return l, nil
}

func whyNotTaken(ctx context.Context, w *writeTx, job string, now int64) error {
	var until int64
	if err := w.conn.QueryRowContext(ctx, `SELECT until FROM job_leases WHERE job = ?`, job).Scan(&until); err != nil {
		return engineError(err)
	}
	if until > now {
		return ErrLeaseHeld
	}
	return ErrLeaseDone
}

// RenewLease moves the end of a lease that has not ended; ErrLeaseLost.
func (s *Store) RenewLease(ctx context.Context, l Lease, d time.Duration) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		now := s.now().UnixMicro()
		n, err := w.execCount(ctx, `UPDATE job_leases SET until = ? WHERE job = ? AND token = ? AND until > ?`,
			now+d.Microseconds(), l.Job, l.Token, now)
		if err == nil && n == 0 {
			err = ErrLeaseLost
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("renew the lease on job %s: %w", l.Job, err)
	}
	return nil
}

// maxRunError bounds the text of a run's error.
const maxRunError = 4 << 10

// EndLease gives a lease back and notes how the run ended: runErr nil is well.
// Where another has the lease, nothing is changed.
func (s *Store) EndLease(ctx context.Context, l Lease, runErr error) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		outcome, text := "ok", ""
		if runErr != nil {
			outcome, text = "error", runErr.Error()
			text = text[:min(len(text), maxRunError)]
		}
		if err := w.exec(ctx, `UPDATE job_runs SET outcome = ?, error = ?, ended_at = ? WHERE job = ? AND token = ? AND outcome = 'running'`,
			outcome, text, s.now().UnixMicro(), l.Job, l.Token); err != nil {
			return err
		}
		return w.exec(ctx, `UPDATE job_leases SET until = 0 WHERE job = ? AND token = ?`, l.Job, l.Token)
	})
	if err != nil {
		return fmt.Errorf("end the lease on job %s: %w", l.Job, err)
	}
	return nil
}

// checkLease is asked first by every transaction of a job. It locks the lease:
// who takes it next waits for the transaction, also for one whose answer was lost.
func (s *Store) checkLease(ctx context.Context, w *writeTx, l Lease) error {
	n, err := w.execCount(ctx, `UPDATE job_leases SET token = token WHERE job = ? AND token = ? AND until > ?`,
		l.Job, l.Token, s.now().UnixMicro())
	if err == nil && n == 0 {
		return ErrLeaseLost
	}
	return err
}

// JobState is a job with its latest runs.
type JobState struct {
	Name     string    `json:"name"`
	Schedule string    `json:"schedule"`        // "" before a schedule ran anywhere
	Holder   string    `json:"holder"`          // who ran it last
	Until    time.Time `json:"until,omitzero"`  // while it runs: when the lease ends
	Served   time.Time `json:"served,omitzero"` // the latest time of the schedule, or request, that was taken on
	Asked    time.Time `json:"asked,omitzero"`  // while a run that was asked for waits to begin
	Runs     []JobRun  `json:"runs"`            // newest first
}

// JobRun is one run of a job.
type JobRun struct {
	Number  int64     `json:"number"`
	Holder  string    `json:"holder"`
	BeganAt time.Time `json:"beganAt"`
	EndedAt time.Time `json:"endedAt,omitzero"`
	Outcome string    `json:"outcome"` // running, ok, error, lost
	Error   string    `json:"error,omitempty"`
	// Progress is what a run of some seconds said last.
	Progress string `json:"progress,omitempty"`
}

// ScheduleJob records a job's schedule, for JobStates.
func (s *Store) ScheduleJob(ctx context.Context, job, schedule string) error {
	err := s.transactBeside(ctx, func(w *writeTx) error {
		return w.exec(ctx, `INSERT INTO job_leases (job, schedule, holder, token, until, due) VALUES (?, ?, '', 0, 0, 0)
			ON CONFLICT (job) DO UPDATE SET schedule = excluded.schedule WHERE job_leases.schedule <> excluded.schedule`, job, schedule)
	})
	if err != nil {
		return fmt.Errorf("record the schedule of job %s: %w", job, err)
	}
	return nil
}

// JobStates lists the jobs that were scheduled or ran, by name, each with up to
// so many of its latest runs.
func (s *Store) JobStates(ctx context.Context, runs int) ([]JobState, error) {
	var list []JobState
	err := s.View(ctx, func(v *View) (err error) {
		list, err = collect(v, func(row scanner) (j JobState, err error) {
			var until, due, asked sql.NullInt64 // 0: none
			err = row.Scan(&j.Name, &j.Schedule, &j.Holder, &until, &due, &asked)
			j.Until, j.Served, j.Asked = timeOrZero(until), timeOrZero(due), timeOrZero(asked)
			return j, err
		}, `SELECT job, schedule, holder, NULLIF(until, 0), NULLIF(due, 0), CASE WHEN asked_at > due THEN asked_at END FROM job_leases ORDER BY job`)
		for i := range list {
			if err != nil {
				return err
			}
			list[i].Runs, err = collect(v, scanJobRun, `SELECT token, holder, began_at, ended_at, outcome, error, progress FROM job_runs
				WHERE job = ? ORDER BY token DESC LIMIT ?`, list[i].Name, runs)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return list, nil
}

func scanJobRun(row scanner) (r JobRun, err error) {
	var began, ended sql.NullInt64
	err = row.Scan(&r.Number, &r.Holder, &began, &ended, &r.Outcome, &r.Error, &r.Progress)
	r.BeganAt, r.EndedAt = timeOrZero(began), timeOrZero(ended)
	return r, err
}
