-- +goose Up
-- Which hours of rollups changed, so that a copy in memory is known to be good:
-- each writer (a partition, or what a job does) numbers its transactions, and an
-- hour has the number of the last that changed it. One number for all writers
-- would make their transactions wait for each other.
CREATE TABLE hour_writers (
    writer TEXT    NOT NULL PRIMARY KEY,
    last   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE hour_changes (
    writer       TEXT    NOT NULL,
    window_start INTEGER NOT NULL,
    version      INTEGER NOT NULL,
    PRIMARY KEY (writer, window_start)
) STRICT, WITHOUT ROWID;
CREATE INDEX hour_changes_version ON hour_changes (writer, version);

-- What was there before is of a writer that writes no more. A program that still
-- looks at hour_versions must not go on: it would not see what others change.
INSERT INTO hour_changes (writer, window_start, version) SELECT '', window_start, 1 FROM hour_versions;
INSERT INTO hour_writers (writer, last) VALUES ('', 1);
DROP TABLE hour_versions;
