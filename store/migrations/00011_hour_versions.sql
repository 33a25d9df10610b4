-- +goose Up
-- The hours that have rollups, each with the number of the last transaction that
-- changed any of them: a copy in memory is good while its version is.
CREATE TABLE hour_versions (
    window_start INTEGER NOT NULL PRIMARY KEY,
    version      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX hour_versions_version ON hour_versions (version);
INSERT INTO hour_versions (window_start, version) SELECT DISTINCT window_start, 1 FROM rollup_hours;
