-- +goose Up
-- Of duplicate: records of accounts that another partition has since the number
-- of partitions was changed. They were sent there, to be counted once.
ALTER TABLE ledger ADD COLUMN handed_on INTEGER NOT NULL DEFAULT 0;
