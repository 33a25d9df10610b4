-- +goose Up
-- asked_at is when somebody last asked for a run out of turn; it is owed while it
-- is above due. progress is what a run that takes its time said last.
ALTER TABLE job_leases ADD COLUMN asked_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job_runs ADD COLUMN progress TEXT NOT NULL DEFAULT '';
