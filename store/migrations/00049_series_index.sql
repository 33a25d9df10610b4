-- +goose Up
-- With the id in it, as SQLite has it there, a row of series is found by either
-- index at once: without statistics, which a new table has none of, PostgreSQL
-- went through all series of an account for each.
-- postgres: DROP INDEX series_account;
-- postgres: CREATE INDEX series_account ON series (account, family, id);
SELECT 1;
