-- +goose Up
-- Sending domains, lower case and without a dot at the end. Of one account each.
CREATE TABLE domains (
    domain     TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX domains_account ON domains (account, domain);

-- Keys that a provider signs its webhooks to the account with. They stand here as
-- they are, since a signature cannot be checked with a hash of its key.
CREATE TABLE webhook_keys (
    account    TEXT    NOT NULL,
    provider   TEXT    NOT NULL CHECK (provider IN ('mailgun', 'mandrill')),
    secret     TEXT    NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (account, provider)
) STRICT, WITHOUT ROWID;

-- One-time tokens of webhooks whose event is durable, by SHA-256 of account and
-- token, with that of the body. A token is good for a day, and so is its row.
CREATE TABLE webhook_tokens (
    token      BLOB    NOT NULL PRIMARY KEY,
    body       BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX webhook_tokens_expiry ON webhook_tokens (expires_at);
