-- +goose Up
-- endpoint '' stands for every endpoint of the API version.
CREATE TABLE routes (
    id         TEXT    NOT NULL PRIMARY KEY,
    api        TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    endpoint   TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (api, version, endpoint)
) STRICT, WITHOUT ROWID;

-- Prices are only ever added: one holds from effective_from (µs) until the next
-- of its route and pricing model. version is unique in the installation; it is
-- what archive rows name. params is a JSON object.
CREATE TABLE prices (
    version        INTEGER NOT NULL PRIMARY KEY,
    route          TEXT    NOT NULL,
    pricing_model  TEXT    NOT NULL,
    model          TEXT    NOT NULL,
    params         TEXT    NOT NULL,
    effective_from INTEGER NOT NULL,
    created_at     INTEGER NOT NULL,
    UNIQUE (route, pricing_model, effective_from)
) STRICT;
CREATE INDEX prices_model ON prices (pricing_model, route);

CREATE TABLE customers (
    id            TEXT    NOT NULL PRIMARY KEY,
    account       TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    email         TEXT    NOT NULL,
    pricing_model TEXT    NOT NULL,
    timezone      TEXT    NOT NULL,
    currency      TEXT    NOT NULL,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX customers_account ON customers (account, id);

-- A subscription holds in [starts_at, ends_at); ends_at null: until it is ended.
-- quota is a JSON object.
CREATE TABLE subscriptions (
    id            TEXT    NOT NULL PRIMARY KEY,
    customer      TEXT    NOT NULL,
    api           TEXT    NOT NULL,
    version       TEXT    NOT NULL,
    pricing_model TEXT    NOT NULL,
    quota         TEXT,
    starts_at     INTEGER NOT NULL,
    ends_at       INTEGER,
    created_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX subscriptions_customer ON subscriptions (customer, api, version);

-- What a refused record needs to be sent again as it was. record_time is its
-- Kafka timestamp in µs, whole says that nothing of it was left out. endpoint names where a refused request came in that
-- never was a record of its own. resend_at: when sending it again was begun;
-- resend_claim: when somebody last set about it, who then has it for a while;
-- resent_at: when Kafka had acknowledged it.
ALTER TABLE errors ADD COLUMN record_key BLOB;
ALTER TABLE errors ADD COLUMN headers TEXT; -- a JSON array of [name, base64 value]
ALTER TABLE errors ADD COLUMN record_time INTEGER NOT NULL DEFAULT 0;
ALTER TABLE errors ADD COLUMN whole INTEGER NOT NULL DEFAULT 0;
ALTER TABLE errors ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';
ALTER TABLE errors ADD COLUMN resend_at INTEGER;
ALTER TABLE errors ADD COLUMN resend_claim INTEGER;
ALTER TABLE errors ADD COLUMN resent_at INTEGER;
-- The lists go by time and id.
DROP INDEX errors_time;
DROP INDEX errors_account;
CREATE INDEX errors_time ON errors (time, id);
CREATE INDEX errors_account ON errors (account, time, id);

-- Requests with a key that nobody has, by hour and prefix of the key's hash; ''
-- stands for those of keys beyond the limit of an hour. reported: an internal
-- error says so.
CREATE TABLE unknown_keys (
    hour     INTEGER NOT NULL,
    prefix   TEXT    NOT NULL,
    requests INTEGER NOT NULL,
    reported INTEGER NOT NULL,
    PRIMARY KEY (hour, prefix)
) STRICT, WITHOUT ROWID;
