-- +goose Up
-- Events that were corrected. archive_rows are those in force, as a JSON array of
-- their columns; null: the event was retracted.
CREATE TABLE corrected_events (
    account      TEXT    NOT NULL,
    topic        TEXT    NOT NULL,
    source       TEXT    NOT NULL,
    id           TEXT    NOT NULL,
    revision     INTEGER NOT NULL,
    archive_rows TEXT,
    PRIMARY KEY (account, topic, source, id)
) STRICT, WITHOUT ROWID;

-- Every correction that was applied. The key is the compare-and-swap: of two
-- partitions that correct one event at once, the later finds its revision taken.
-- by_source and by_id are the correction's own.
CREATE TABLE corrections (
    account   TEXT    NOT NULL,
    topic     TEXT    NOT NULL,
    source    TEXT    NOT NULL,
    id        TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    by_source TEXT    NOT NULL,
    by_id     TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    log_time  INTEGER NOT NULL,
    PRIMARY KEY (account, topic, source, id, revision)
) STRICT, WITHOUT ROWID;
CREATE INDEX corrections_by ON corrections (account, by_source, by_id);

-- Hour rows whose value_min and value_max a retraction may have made wrong.
-- version names the checkpoint that last did so; it never recurs.
CREATE TABLE stale_extremes (
    window_start INTEGER NOT NULL,
    account      TEXT    NOT NULL,
    series       BLOB    NOT NULL,
    version      TEXT    NOT NULL,
    PRIMARY KEY (window_start, account, series)
) STRICT, WITHOUT ROWID;

-- Archive rows beyond one per counted record: an amendment makes two.
ALTER TABLE ledger ADD COLUMN extra_rows INTEGER NOT NULL DEFAULT 0;
