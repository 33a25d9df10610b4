-- +goose Up
-- What a customer is billed beside its usage: taxes, a JSON array of {name,
-- percent}; minimum, what a month comes to at least, '' for none.
ALTER TABLE customers ADD COLUMN taxes TEXT NOT NULL DEFAULT '[]';
ALTER TABLE customers ADD COLUMN minimum TEXT NOT NULL DEFAULT '';
