// Package store keeps what Tallybook decided, in SQL: positions and the ledger,
// series and their rollups, the catalog of archive files, error rows, imports.
// The engine is SQLite in pure Go; one database file, with its write-ahead log
// (-wal) and index (-shm) beside it while it is open.
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
// A checkpoint is applied whole or not at all, and at most once: its first
// statement moves the position only from the offset and epoch that its owner
// knew. Checkpoint commits a batch of them in one transaction, a savepoint each:
// what one of them is refused for, or fenced by, does not touch the others.
//
// What a method wrote is durable when it returned nil: each commit is followed
// by an fsync of the log (synchronous=FULL). When Checkpoint returns ErrUnknown,
// all of the batch may be there or nothing; the same batch sent again finds out,
// and is answered Applied in either case. Any other error: nothing is there. A
// crash at any moment leaves the state of the last commit.
//
// A checkpoint that was folded without a declared meter that is live of its
// partition is fenced, and FillMeter writes a unit once, so that a meter which
// is complete has counted every event once.
//
// A View is one state: positions, rollups and files read through it agree with
// each other. Built days and months are used only while they agree with their
// hours; a checkpoint that touches one marks it dirty in its own transaction.
//
// # Limits
//
// One writer at a time; another process that holds the write lock for longer
// than BusyTimeout makes ErrBusy. Nothing here keeps two processes from owning
// the same data folder: the epoch makes that safe, a lock of the caller's clear.
// A View lasts ViewTimeout at most, since the log grows while one is open.
//
// The store does not retry, and starts no goroutine of its own.
package store
