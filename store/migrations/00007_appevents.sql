-- +goose Up
CREATE TABLE sessions (
    id         TEXT    NOT NULL PRIMARY KEY,
    account    TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_account ON sessions (account, created_at, id);
CREATE INDEX sessions_time ON sessions (created_at, id);

-- Application events as they are now: corrections change a row's revision, data
-- and retracted_at, and nothing removes it. topic_partition and topic_offset are
-- the address of the original on the topic usage. data is a JSON object or array.
CREATE TABLE app_events (
    seq             INTEGER PRIMARY KEY,
    account         TEXT    NOT NULL,
    source          TEXT    NOT NULL,
    id              TEXT    NOT NULL,
    session         TEXT    NOT NULL,
    category        TEXT    NOT NULL,
    name            TEXT    NOT NULL,
    time            INTEGER NOT NULL,
    revision        INTEGER NOT NULL,
    topic_partition INTEGER NOT NULL,
    topic_offset    INTEGER NOT NULL,
    data            TEXT    NOT NULL,
    retracted_at    INTEGER
) STRICT;
CREATE UNIQUE INDEX app_events_id ON app_events (id, account, source);
CREATE INDEX app_events_time ON app_events (time, seq) WHERE retracted_at IS NULL;
CREATE INDEX app_events_account ON app_events (account, time, seq) WHERE retracted_at IS NULL;
CREATE INDEX app_events_session ON app_events (account, session, time, seq) WHERE retracted_at IS NULL;
CREATE INDEX app_events_category ON app_events (account, category, time, seq) WHERE retracted_at IS NULL;
CREATE INDEX app_events_name ON app_events (account, name, time, seq) WHERE retracted_at IS NULL;

-- Which of the errors are failed creations of application events; event is the
-- id that the event would have had, '' where there was none.
CREATE TABLE app_errors (
    error   TEXT    NOT NULL PRIMARY KEY,
    account TEXT    NOT NULL,
    time    INTEGER NOT NULL,
    event   TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX app_errors_time ON app_errors (time, error);
CREATE INDEX app_errors_account ON app_errors (account, time, error);
CREATE INDEX app_errors_event ON app_errors (account, event) WHERE event <> '';

-- What the list of the latest events reads is found from the newest on.
CREATE INDEX archive_files_newest ON archive_files (dataset, max_time, name) WHERE retired_at IS NULL;
