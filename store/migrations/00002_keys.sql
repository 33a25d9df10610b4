-- +goose Up
-- An account exists once it is named here, or in any event; this table holds what
-- was said of it.
CREATE TABLE accounts (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Only the hash of a key is kept. role: admin, account, ingest. account: '' for
-- administrators, '*' for an ingest key of any account.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    hash       BLOB    NOT NULL UNIQUE,
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'account', 'ingest')),
    account    TEXT    NOT NULL,
    customer   TEXT    NOT NULL DEFAULT '',
    name       TEXT    NOT NULL DEFAULT '',
    rate       REAL    NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_account ON keys (account, id);

CREATE TABLE audit (
    id      INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    noun    TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    account TEXT    NOT NULL,
    before  TEXT, -- JSON; null: there was nothing
    after   TEXT
) STRICT;
CREATE INDEX audit_account ON audit (account, id);

