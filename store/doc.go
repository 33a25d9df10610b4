// Package store keeps what Tallybook decided, in SQL: positions and the ledger,
// series and their rollups, the catalog of archive files, error rows, imports.
// The engine is SQLite in pure Go (one database file, with its write-ahead log
// -wal and index -shm beside it while it is open), or PostgreSQL 13 or later for
// any number of processes. The SQL is one text; dialect has what differs.
//
// # How SQL is written
//
// Both engines run every text, and the tests of this package run on both (build
// tag postgres). So: ? for parameters, none of them in a place without a type
// (CAST(? AS BIGINT) in a SELECT list or VALUES of a WITH); ON CONFLICT, and in
// its SET the table's name before columns that are meant as they were; CASE
// instead of max(a, b); CAST(sum(x) AS BIGINT) where it is calculated with;
// integers for truth values in tables (boolInt), and scanned into bool where a
// condition is selected; columns named, not *, since a later migration may add
// some; one question at a time on a connection (no query within a row callback of
// another); dialect.least and greatest for the extremes of sort keys. A migration
// uses the types TEXT, INTEGER, BLOB, REAL, tables are STRICT, INTEGER PRIMARY KEY
// numbers rows; "-- postgres: " begins a line for PostgreSQL alone.
//
// # Tables
//
//	meta           key → value: the installation's secret
//	topics         the number of partitions that was admitted
//	topic_cuts     where the partitions stood when that number was changed
//	positions      a partition's next offset, owner's epoch, log clock, hash of the last record
//	ledger         what each checkpoint accounted for; checked by constraints
//	series         id → account, family, dims (a JSON array in the family's order)
//	rollup_hours   (hour, account, series) → measures: the only truth of totals
//	rollup_days    built from the hours; same shape, window_start is the first hour
//	rollup_months  built from days where they are built, else hours
//	built_windows  which days and months are built, and which of them late hours made dirty
//	topic_days     the days that files or rollups of a topic were written for
//	archive_files  the files of the archive; live while retired_at is null
//	archive_changes    how often live files were replaced or removed
//	archive_manifests  what the manifest of a date was written of
//	meters         declared meters, each version; meter_generation counts changes of the list
//	price_changes  what the last changes of the catalog touched, by the generation that
//	               price_generation counts; a checkpoint holds them against its requests
//	meter_live     the first offset of a partition that was folded live with a meter
//	meter_backfill the dates of a partition that were filled below it
//	sketch_deltas  what checkpoints append: an account's sketches of the hours of a date
//	sketches       merged from them: an account's of an hour
//	corrected_events  events that were corrected: revision, archive rows in force
//	corrections    every correction that was applied; its key takes each revision once
//	stale_extremes hour rows whose least and greatest value a retraction may have made wrong
//	errors         records that could not be processed, whole where they are not too large
//	errors_removed how many records those stood for that retention removed
//	unknown_keys   requests with keys that nobody has, by hour and prefix of the key's hash
//	routes, prices, customers, subscriptions: the catalog; prices are only added, subscriptions only ended
//	imports        imported files by content hash
//	job_leases     who may run a job until when, by a token that rises; job_runs: its latest runs
//	invoices       invoices and credit notes as JSON with their digest; a final one never changes
//	invoice_series the last number of each series
//	invoice_billed what was billed for an invoice's period in all, and up to which cut
//	mails          a mail and where it stands; its text is in mail_bodies, its file in mail_attachments
//	mail_attempts  calls of providers; mail_keys: first answers by Idempotency-Key
//	mail_seen      providers whose webhooks named a mail
//	mail_suppressions  recipients to whom nothing is sent
//	operator_alerts    what operators should know, the newest 10,000
//	sessions       what application events belong to
//	app_events     application events as corrections left them; nothing removes a row
//	app_errors     which of the errors are failed creations of application events
//
// Windows are whole hours since 1970, times µs since 1970, both UTC. A sum is
// two integers, units + nanos/10⁹ with 0 ≤ nanos < 10⁹. The tables are STRICT,
// so that an integer that overflows into a REAL is refused. Minimum and maximum
// are schemas.Decimal sort keys. The window leads a rollup's key: live traffic
// touches neighbouring pages, and a checkpoint costs the same however long the
// history is. A question about one account goes from window to window.
//
// A pack of sketches is, for each series sorted by id: the id (16 bytes), the
// length of the sketch as a varint, the sketch (schemas.Sketch.Append). A row of
// sketch_deltas has for each hour its number in the day (a byte), the length of
// its pack as a varint, the pack.
//
// # Promises
//
// A checkpoint is applied whole or not at all, and at most once: it begins with
// the position, which moves only from the offset and epoch that its owner knew.
// What one of a batch is refused for, or fenced by, does not touch the others.
//
// What a method wrote is durable when it returned nil: each commit is followed
// by an fsync of the log (SQLite: synchronous=FULL, PostgreSQL:
// synchronous_commit=on or what is stronger). When Checkpoint returns ErrUnknown,
// any of the batch may be there; the same batch sent again finds out, and is
// answered Applied in either case. Any other error: nothing is there. A crash at
// any moment leaves the state of the last commit.
//
// A checkpoint that was folded without a declared meter that is live of its
// partition is fenced, and FillMeter writes a unit once, so that a meter which
// is complete has counted every event once.
//
// A View is one state: positions, rollups and files read through it agree with
// each other. Built days and months are used only while they agree with their
// hours; a checkpoint that touches one marks it dirty in its own transaction.
//
// # Writers beside each other
//
// SQLite has one writer. PostgreSQL has any number, READ COMMITTED: a statement
// sees what was committed before it began. What is relied on there:
//
//	transact          (catalog, keys, audit, meters' list, invoices, errors that are resent, swaps of files, …)
//	                  one at a time in the installation, by an advisory lock: among themselves all is as with
//	                  SQLite. So audit ids are committed in their order, invoice numbers have no gaps, of one key
//	                  there is one. This is the one to use where there is no reason against it
//	transactBeside    (below, and leases, mails, sessions, alerts) each statement holds by itself, by its key or
//	                  its WHERE; tried again on a deadlock
//	Checkpoint        locks its position's row first, then compares and swaps; then tables in one order, each by
//	                  its key, so that two never wait for each other crosswise; a deadlock with something else
//	                  is tried again, up to ten times
//	  meters          the position's lock comes before the generation is read; AdoptIdle and MarkLive take it too,
//	                  so that a meter is live from an offset that no checkpoint is passing
//	  series          insert or nothing, by id
//	  rollup_hours    adds within the upsert, by (hour, account, series)
//	  hour_changes    a row for each writer (partition, job), numbered under the writer's own row: numbers are
//	                  committed in their order, and no partition waits for another
//	  built_windows   the window's advisory lock is shared by those who change its hours, and a build begins with
//	                  it alone: either it sees their rows, or they see that it has begun and mark it dirty
//	  stale_extremes  whoever changes a mark holds its hour row; SetExtremes takes that first
//	  sketch_deltas   appended; one merger at a time, by an advisory lock
//	  corrections     the key takes a revision: the later one waits for the earlier, and is refused
//	  quota_use       rows are locked by key, then read, added to and written; alerts follow their row
//	  audit           read from the last id that is known on; no id below comes later
//	builds            an advisory lock for each window: chunks of two builds do not mix; the last statement finds
//	                  dirty, which a checkpoint that is under way holds the row of
//	job leases        a job's transaction holds the lease's row (checkLease), so that nobody takes the lease
//	                  before it ends, whatever their clocks say
//	series numbers, blocks of rollups, known series, quotas: this process's memory alone; of committed rows
//
// A price or quota that is changed while a checkpoint is under way counts from the
// next one on, as if the checkpoint had come before.
//
// # Limits
//
// With SQLite one writer at a time. Waiting for another's lock for longer than
// BusyTimeout makes ErrBusy; a server that is not there, or ends the connection,
// ErrAway. Nothing here keeps two processes from owning the same data folder: the
// epoch makes that safe, a lock of the caller's clear. A View lasts ViewTimeout at
// most, since the log, or dead rows, grow while one is open. PostgreSQL ends a
// statement that lasts a minute, and a transaction whose process was stopped in it
// after ten seconds. Its texts have no NUL: U+FFFD stands for it. An event whose
// source and id have more than about 2,600 bytes together cannot be corrected
// there: its keys are limited.
//
// The store does not retry but for deadlocks, and starts no goroutine that
// outlives a call.
package store
