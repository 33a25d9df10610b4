-- +goose Up
-- One row: how often what prices depend on has changed. The row's lock puts the
-- changes into the order of their commits. An installation with a catalog from
-- before is at 1.
CREATE TABLE price_generation (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO price_generation (one, generation) SELECT 1, CASE WHEN EXISTS (SELECT 1 FROM audit WHERE noun IN ('route', 'customer', 'subscription')) THEN 1 ELSE 0 END;

-- What each of the last changes touched: a customer of an account, a
-- subscription too, or the routes of an API version; '' stands for none.
CREATE TABLE price_changes (
    generation   INTEGER NOT NULL PRIMARY KEY,
    account      TEXT    NOT NULL,
    customer     TEXT    NOT NULL,
    subscription TEXT    NOT NULL,
    api          TEXT    NOT NULL,
    version      TEXT    NOT NULL
) STRICT;
