-- +goose Up
-- A mail and where it stands; its text lies apart, so that a change of state
-- writes a short row. status: sending, sent, deferred, rejected, unknown.
-- asking is the provider that is being called while status is sending, so that a
-- crash leaves word of who may have the mail; lease_until is when somebody else
-- may conclude that the sender died. event_due is the e-mail event that is still
-- to be put on the topic.
CREATE TABLE mails (
    id                  TEXT    NOT NULL PRIMARY KEY,
    account             TEXT    NOT NULL,
    to_address          TEXT    NOT NULL,
    to_name             TEXT    NOT NULL,
    from_address        TEXT    NOT NULL,
    from_name           TEXT    NOT NULL,
    subject             TEXT    NOT NULL,
    tags                TEXT    NOT NULL, -- a JSON array of strings
    on_ambiguous        TEXT    NOT NULL,
    header_id           TEXT    NOT NULL, -- our Message-ID
    created_at          INTEGER NOT NULL,
    status              TEXT    NOT NULL CHECK (status IN ('sending', 'sent', 'deferred', 'rejected', 'unknown')),
    provider            TEXT    NOT NULL DEFAULT '',
    message_id          TEXT    NOT NULL DEFAULT '',
    error               TEXT    NOT NULL DEFAULT '',
    possible_duplicate  INTEGER NOT NULL DEFAULT 0,
    duplicate_confirmed INTEGER NOT NULL DEFAULT 0,
    rounds              INTEGER NOT NULL DEFAULT 0,
    next_attempt_at     INTEGER,
    asking              TEXT    NOT NULL DEFAULT '',
    asked_at            INTEGER NOT NULL DEFAULT 0,
    lease_until         INTEGER,
    event_due           TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX mails_time ON mails (created_at, id);
CREATE INDEX mails_account ON mails (account, created_at, id);
CREATE INDEX mails_due ON mails (next_attempt_at) WHERE status = 'deferred';
CREATE INDEX mails_sending ON mails (lease_until) WHERE status = 'sending';
CREATE INDEX mails_event ON mails (id) WHERE event_due IS NOT NULL;

CREATE TABLE mail_bodies (
    mail TEXT NOT NULL PRIMARY KEY,
    html TEXT NOT NULL
) STRICT;

CREATE TABLE mail_attempts (
    mail        TEXT    NOT NULL,
    n           INTEGER NOT NULL,
    provider    TEXT    NOT NULL,
    class       TEXT    NOT NULL,
    status_code INTEGER NOT NULL, -- 0: none was seen
    message     TEXT    NOT NULL,
    duration_ms INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    PRIMARY KEY (mail, n)
) STRICT, WITHOUT ROWID;

-- The first answer to each Idempotency-Key. answer is null while it is not known.
CREATE TABLE mail_keys (
    account       TEXT    NOT NULL,
    key           TEXT    NOT NULL,
    request_hash  BLOB    NOT NULL,
    mail          TEXT    NOT NULL,
    answer_status INTEGER,
    answer        TEXT,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX mail_keys_mail ON mail_keys (mail);

-- Providers whose webhooks named a mail as theirs.
CREATE TABLE mail_seen (
    mail     TEXT    NOT NULL,
    provider TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (mail, provider)
) STRICT, WITHOUT ROWID;

-- Recipients who bounced hard or complained; lower case.
CREATE TABLE mail_suppressions (
    address  TEXT    NOT NULL PRIMARY KEY,
    reason   TEXT    NOT NULL,
    provider TEXT    NOT NULL,
    at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What operators should know, the newest thousands.
CREATE TABLE operator_alerts (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    kind    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    message TEXT    NOT NULL
) STRICT;
