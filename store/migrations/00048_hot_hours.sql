-- +goose Up
-- A checkpoint rewrites all rows of the hours that it touches, page by page: with
-- half of each page free every row stays in its page, and no index changes.
-- postgres: ALTER TABLE rollup_hours SET (fillfactor = 50);
SELECT 1;
