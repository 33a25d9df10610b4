-- +goose Up
-- What was used of a quota in a period (µs, half-open; period_end null: it never
-- ends). quota is a subscription's id and a hash of the quota's period and route.
-- told is the greatest threshold, in percent, of which an alert is in the outbox.
CREATE TABLE quota_use (
    quota        TEXT    NOT NULL,
    period_start INTEGER NOT NULL,
    period_end   INTEGER,
    used_units   INTEGER NOT NULL,
    used_nanos   INTEGER NOT NULL,
    told         INTEGER NOT NULL,
    PRIMARY KEY (quota, period_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_quota ON subscriptions (id) WHERE quota IS NOT NULL;

-- The outbox of alerts: a row for each thing to be told once, written by the
-- transaction that found it. key says what it is of; count is how often it
-- happened, which rises until the alert goes out at due_at. details is a JSON
-- object. mailed_at and posted_at are when mail and webhook had it; done says that
-- neither is tried any more. An attempt moves due_at first, so that of several
-- processes one makes it.
CREATE TABLE alerts (
    id         TEXT    NOT NULL PRIMARY KEY,
    kind       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    customer   TEXT    NOT NULL,
    details    TEXT    NOT NULL,
    count      INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    due_at     INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    mailed_at  INTEGER,
    posted_at  INTEGER,
    error      TEXT    NOT NULL DEFAULT '',
    done       INTEGER NOT NULL DEFAULT 0,
    UNIQUE (kind, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX alerts_due ON alerts (due_at) WHERE done = 0;
-- A route is also looked for without its API.
CREATE INDEX routes_endpoint ON routes (version, endpoint, api);
