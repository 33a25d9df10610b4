-- +goose Up
-- Where a topic's partitions stood when its number of partitions was changed.
-- Accounts moved to other partitions then: the dedupe windows of all of them
-- have the ids below the cuts of the others too, until these are too old.
CREATE TABLE topic_cuts (
    topic       TEXT    NOT NULL,
    partition   INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    clock       INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;
