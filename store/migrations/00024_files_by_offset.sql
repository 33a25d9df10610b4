-- +goose Up
-- balance goes through a partition's files beside its ledger, page by page.
CREATE INDEX archive_files_offset ON archive_files (topic, partition, dataset, first_offset, name) WHERE retired_at IS NULL;
