-- +goose Up
-- A job runs under a lease: whoever takes it raises token, and a transaction of
-- the job asks for its own token and for a lease that has not ended. until and
-- due are µs; until 0: nobody runs it; due: the latest time of its schedule that
-- was taken on, so that several processes run that once.
CREATE TABLE job_leases (
    job      TEXT    NOT NULL PRIMARY KEY,
    schedule TEXT    NOT NULL,
    holder   TEXT    NOT NULL,
    token    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    due      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The latest runs of each job. outcome: running, ok, error, or lost where its
-- holder was gone when the lease was taken by the next.
CREATE TABLE job_runs (
    job      TEXT    NOT NULL,
    token    INTEGER NOT NULL,
    holder   TEXT    NOT NULL,
    began_at INTEGER NOT NULL,
    ended_at INTEGER,
    outcome  TEXT    NOT NULL,
    error    TEXT    NOT NULL,
    PRIMARY KEY (job, token)
) STRICT, WITHOUT ROWID;

-- cause says what a document is for, and keeps it from being made twice:
-- 'period/2026-01', 'adjust/2026-01' (a credit note of late corrections), or
-- 'credit/ID' (of a whole invoice). document is the invoice as JSON (package
-- schemas), digest its SHA-256; a final one is never changed. number is given
-- when it becomes final. version is raised by every change of the row.
CREATE TABLE invoices (
    id           TEXT    NOT NULL PRIMARY KEY,
    kind         TEXT    NOT NULL CHECK (kind IN ('invoice', 'credit_note')),
    customer     TEXT    NOT NULL,
    account      TEXT    NOT NULL,
    cause        TEXT    NOT NULL,
    month        TEXT    NOT NULL,
    period_start INTEGER NOT NULL,
    period_end   INTEGER NOT NULL,
    status       TEXT    NOT NULL CHECK (status IN ('draft', 'final', 'void', 'credited')),
    payment      TEXT    NOT NULL CHECK (payment IN ('', 'open', 'paid', 'overdue')),
    series       TEXT    NOT NULL,
    number       INTEGER CHECK ((number IS NULL) = (status = 'draft')),
    currency     TEXT    NOT NULL,
    total        TEXT    NOT NULL,
    document     TEXT    NOT NULL,
    digest       BLOB    NOT NULL,
    version      INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    finalized_at INTEGER,
    UNIQUE (customer, cause),
    UNIQUE (series, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX invoices_account ON invoices (account, id);
CREATE INDEX invoices_period ON invoices (customer, period_end);

-- The last number of each series: raised by the transaction that gives it.
CREATE TABLE invoice_series (
    series TEXT    NOT NULL PRIMARY KEY,
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was billed for an invoice's period in all, adjustments in later documents
-- included, and up to which cut: a JSON object (schemas.Billed).
CREATE TABLE invoice_billed (
    invoice TEXT    NOT NULL PRIMARY KEY,
    billed  TEXT    NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
