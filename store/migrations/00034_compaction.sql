-- +goose Up
-- delete_at is set with retired_at: when the retired file may be deleted.
ALTER TABLE archive_files ADD COLUMN delete_at INTEGER;
CREATE INDEX archive_files_retired ON archive_files (delete_at, name) WHERE retired_at IS NOT NULL;

-- One row: how often live files were replaced by others or removed. Who reads
-- lists of files in pages sees by it that they changed.
CREATE TABLE archive_changes (
    id      INTEGER NOT NULL PRIMARY KEY,
    changes INTEGER NOT NULL
) STRICT;
INSERT INTO archive_changes (id, changes) VALUES (1, 0);

-- What the manifest of a date was written of: what tells its live files from
-- others of before or since.
CREATE TABLE archive_manifests (
    dataset    TEXT    NOT NULL,
    day        INTEGER NOT NULL,
    state      TEXT    NOT NULL,
    written_at INTEGER NOT NULL,
    PRIMARY KEY (dataset, day)
) STRICT, WITHOUT ROWID;
