-- +goose Up
-- For how many records of a partition error rows stood that retention removed:
-- with those that are there they come to what the ledger rejected.
CREATE TABLE errors_removed (
    topic     TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    records   INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

-- What retention looks for.
CREATE INDEX errors_settled ON errors (time, id) WHERE status <> 0;
CREATE INDEX alerts_done ON alerts (created_at, id) WHERE done = 1;
