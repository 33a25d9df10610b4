-- Tables spread by account over a PostgreSQL-compatible distributed engine, with
-- Citus as the example. UNTESTED: these statements were never run. They go into a
-- database whose tables a Tallybook has made, before the first event.
--
-- Known to be missing, and to be changed before this can work: the list of windows
-- that have rows is a recursive query over all accounts (existingWindows in
-- store/build.go), as is that of accounts (eachAccount in store/sketches.go), which
-- distributed tables do not take; errors and app_errors are found by an id without
-- the account.

-- A unique key must have the account in it. series.id is a hash with the account
-- in it already, so that nothing else changes.
ALTER TABLE series DROP CONSTRAINT series_pkey;
ALTER TABLE series ADD PRIMARY KEY (id, account);
ALTER TABLE sketch_deltas DROP CONSTRAINT sketch_deltas_pkey;
ALTER TABLE sketch_deltas ADD PRIMARY KEY (id, account);
ALTER TABLE app_events DROP CONSTRAINT app_events_pkey;
ALTER TABLE app_events ADD PRIMARY KEY (seq, account);

-- One account's rows lie together, and joins of them stay on one machine.
SELECT create_distributed_table('series', 'account');
SELECT create_distributed_table('rollup_hours', 'account', colocate_with => 'series');
SELECT create_distributed_table('rollup_days', 'account', colocate_with => 'series');
SELECT create_distributed_table('rollup_months', 'account', colocate_with => 'series');
SELECT create_distributed_table('stale_extremes', 'account', colocate_with => 'series');
SELECT create_distributed_table('sketch_deltas', 'account', colocate_with => 'series');
SELECT create_distributed_table('sketches', 'account', colocate_with => 'series');
SELECT create_distributed_table('corrections', 'account', colocate_with => 'series');
SELECT create_distributed_table('corrected_events', 'account', colocate_with => 'series');
SELECT create_distributed_table('app_events', 'account', colocate_with => 'series');

-- Everything else stays on the coordinator: positions, ledger and the list of
-- files are small and have no account; the catalog, keys, mails and invoices are
-- changed by one transaction at a time. A checkpoint is then a transaction over
-- several machines (two-phase commit), with the position on the coordinator.
