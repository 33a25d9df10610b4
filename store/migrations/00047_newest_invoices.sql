-- +goose Up
-- Documents are listed newest first.
CREATE INDEX invoices_made ON invoices (created_at, id);
CREATE INDEX invoices_account_made ON invoices (account, created_at, id);
DROP INDEX invoices_account;
