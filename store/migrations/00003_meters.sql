-- +goose Up
-- Declared meters. A changed or re-created slug is the next version; of one slug
-- at most one version is not deleted. complete_at: its rollups hold all of the
-- past, so that they may answer.
CREATE TABLE meters (
    slug        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    definition  TEXT    NOT NULL, -- a JSON object
    topic       TEXT    NOT NULL,
    origin      TEXT    NOT NULL, -- api or config
    created_at  INTEGER NOT NULL,
    complete_at INTEGER,
    deleted_at  INTEGER,
    PRIMARY KEY (slug, version)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX meters_active ON meters (slug) WHERE deleted_at IS NULL;

-- One row: how often the list of meters changed. A batch that was folded with
-- this generation of it was folded with every meter there is.
CREATE TABLE meter_generation (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO meter_generation (one, generation) VALUES (1, 0);

-- The first offset of a partition that was folded live with a meter; from it on
-- every offset is. Backfill folds what lies before.
CREATE TABLE meter_live (
    slug        TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    from_offset INTEGER NOT NULL,
    PRIMARY KEY (slug, version, topic, partition)
) STRICT, WITHOUT ROWID;

-- What backfill has folded: of a meter and partition the archive rows of a date
-- below from_offset, written with this row in one transaction.
CREATE TABLE meter_backfill (
    slug      TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    rows      INTEGER NOT NULL,
    done_at   INTEGER NOT NULL,
    PRIMARY KEY (slug, version, topic, partition, day)
) STRICT, WITHOUT ROWID;

-- Sketches of accounts' series. A checkpoint appends a row for each account and
-- date that it touches: the packs of the date's hours. Rows go to the table's
-- end, and the index is small, so that history costs no more than live traffic.
CREATE TABLE sketch_deltas (
    id      INTEGER PRIMARY KEY,
    account TEXT    NOT NULL,
    day     INTEGER NOT NULL,
    packs   BLOB    NOT NULL
) STRICT;
CREATE INDEX sketch_deltas_account ON sketch_deltas (account, day);

-- What a job has merged of them: a row for each account and hour. The account
-- leads the key: questions about one account over months read one range.
CREATE TABLE sketches (
    account      TEXT    NOT NULL,
    window_start INTEGER NOT NULL,
    pack         BLOB    NOT NULL,
    PRIMARY KEY (account, window_start)
) STRICT, WITHOUT ROWID;
