-- +goose Up
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE topics (
    topic      TEXT    NOT NULL PRIMARY KEY,
    partitions INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- clock is the log clock in µs; last_hash the hash of the record before next_offset.
CREATE TABLE positions (
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    clock       INTEGER NOT NULL,
    last_offset INTEGER NOT NULL,
    last_hash   BLOB    NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE ledger (
    topic        TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    next_offset  INTEGER NOT NULL,
    records      INTEGER NOT NULL,
    gaps         INTEGER NOT NULL,
    counted      INTEGER NOT NULL,
    duplicate    INTEGER NOT NULL,
    rejected     INTEGER NOT NULL,
    other_key    INTEGER NOT NULL,
    clock        INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    closed_at    INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, first_offset),
    CHECK (next_offset > first_offset),
    CHECK (records + gaps = next_offset - first_offset),
    CHECK (counted + duplicate + rejected = records)
) STRICT, WITHOUT ROWID;

CREATE TABLE series (
    id      BLOB NOT NULL PRIMARY KEY,
    account TEXT NOT NULL,
    family  TEXT NOT NULL,
    dims    TEXT NOT NULL -- a JSON array of strings
) STRICT, WITHOUT ROWID;
CREATE INDEX series_account ON series (account, family);

-- window_start counts hours since 1970 in all three. It leads the key, so that
-- live traffic touches neighbouring pages however long the history is.
-- A sum is units + nanos / 10^9 with 0 <= nanos < 10^9.
CREATE TABLE rollup_hours (
    window_start   INTEGER NOT NULL,
    account        TEXT    NOT NULL,
    series         BLOB    NOT NULL,
    count          INTEGER NOT NULL DEFAULT 0,
    quantity_units INTEGER NOT NULL DEFAULT 0,
    quantity_nanos INTEGER NOT NULL DEFAULT 0,
    value_count    INTEGER NOT NULL DEFAULT 0,
    value_units    INTEGER NOT NULL DEFAULT 0,
    value_nanos    INTEGER NOT NULL DEFAULT 0,
    value_min      BLOB, -- sort keys; null where no value was added
    value_max      BLOB,
    bytes          INTEGER NOT NULL DEFAULT 0,
    amount_units   INTEGER NOT NULL DEFAULT 0,
    amount_nanos   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (window_start, account, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_days (
    window_start   INTEGER NOT NULL,
    account        TEXT    NOT NULL,
    series         BLOB    NOT NULL,
    count          INTEGER NOT NULL,
    quantity_units INTEGER NOT NULL,
    quantity_nanos INTEGER NOT NULL,
    value_count    INTEGER NOT NULL,
    value_units    INTEGER NOT NULL,
    value_nanos    INTEGER NOT NULL,
    value_min      BLOB,
    value_max      BLOB,
    bytes          INTEGER NOT NULL,
    amount_units   INTEGER NOT NULL,
    amount_nanos   INTEGER NOT NULL,
    PRIMARY KEY (window_start, account, series)
) STRICT, WITHOUT ROWID;

CREATE TABLE rollup_months (
    window_start   INTEGER NOT NULL,
    account        TEXT    NOT NULL,
    series         BLOB    NOT NULL,
    count          INTEGER NOT NULL,
    quantity_units INTEGER NOT NULL,
    quantity_nanos INTEGER NOT NULL,
    value_count    INTEGER NOT NULL,
    value_units    INTEGER NOT NULL,
    value_nanos    INTEGER NOT NULL,
    value_min      BLOB,
    value_max      BLOB,
    bytes          INTEGER NOT NULL,
    amount_units   INTEGER NOT NULL,
    amount_nanos   INTEGER NOT NULL,
    PRIMARY KEY (window_start, account, series)
) STRICT, WITHOUT ROWID;

-- resolution 1: days, 2: months. state 0: building, 1: built. A checkpoint that
-- touches the window sets dirty; build counts the attempts, so that of two
-- builders the later one alone can finish.
CREATE TABLE built_windows (
    resolution   INTEGER NOT NULL,
    window_start INTEGER NOT NULL,
    state        INTEGER NOT NULL,
    dirty        INTEGER NOT NULL,
    build        INTEGER NOT NULL,
    PRIMARY KEY (resolution, window_start)
) STRICT, WITHOUT ROWID;

-- Days that archive files or hour rollups of a topic were ever written for.
CREATE TABLE topic_days (
    topic TEXT    NOT NULL,
    day   INTEGER NOT NULL,
    PRIMARY KEY (topic, day)
) STRICT, WITHOUT ROWID;

-- topic, partition, first_offset, last_offset and epoch are the address in the
-- log and the owner that wrote it; dataset is the archive folder.
CREATE TABLE archive_files (
    name         TEXT    NOT NULL PRIMARY KEY,
    staged       TEXT    NOT NULL,
    dataset      TEXT    NOT NULL,
    day          INTEGER NOT NULL,
    topic        TEXT    NOT NULL,
    partition    INTEGER NOT NULL,
    first_offset INTEGER NOT NULL,
    last_offset  INTEGER NOT NULL,
    epoch        INTEGER NOT NULL,
    rows         INTEGER NOT NULL,
    bytes        INTEGER NOT NULL,
    sha256       BLOB    NOT NULL,
    min_time     INTEGER NOT NULL,
    max_time     INTEGER NOT NULL,
    max_log      INTEGER NOT NULL,
    live_at      INTEGER NOT NULL,
    retired_at   INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX archive_files_window ON archive_files (topic, partition, dataset, max_log) WHERE retired_at IS NULL;
CREATE INDEX archive_files_day ON archive_files (dataset, day, name) WHERE retired_at IS NULL;

CREATE TABLE errors (
    id               TEXT    NOT NULL PRIMARY KEY,
    time             INTEGER NOT NULL,
    account          TEXT    NOT NULL,
    reason           TEXT    NOT NULL,
    field            TEXT    NOT NULL,
    message          TEXT    NOT NULL,
    input            BLOB,
    input_bytes      INTEGER NOT NULL,
    input_sha256     BLOB    NOT NULL,
    origin_topic     TEXT    NOT NULL,
    origin_partition INTEGER NOT NULL,
    origin_offset    INTEGER NOT NULL,
    last_offset      INTEGER NOT NULL,
    records          INTEGER NOT NULL,
    status           INTEGER NOT NULL
) STRICT;
-- records is in the index so that the sum by origin does not read the inputs.
CREATE INDEX errors_origin ON errors (origin_topic, origin_partition, origin_offset, records);
CREATE INDEX errors_time ON errors (time);
CREATE INDEX errors_account ON errors (account, time);

CREATE TABLE imports (
    id          TEXT    NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL,
    format      TEXT    NOT NULL,
    account     TEXT    NOT NULL,
    bytes       INTEGER NOT NULL,
    read_offset INTEGER NOT NULL,
    counts      TEXT    NOT NULL, -- a JSON object
    begun_at    INTEGER NOT NULL,
    finished_at INTEGER
) STRICT, WITHOUT ROWID;
