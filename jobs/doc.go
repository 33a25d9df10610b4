// Package jobs is what runs on a schedule, and the two checks that people run
// by hand as well.
//
//	rollups  builds day and month rows of windows that have closed
//	sketches merges the sketches that checkpoints appended, by account and hour
//	backfill folds into declared meters what the archive has from before they were live
//	quota-reset opens the periods of quotas that have begun
//	alerts   delivers the outbox of alerts by mail and webhook
//	extremes least and greatest values of hours that a correction took one from
//	reconcile runs the checks every night, and tells operators of what they find
//	compact  large archive files of small ones; deletes those that were replaced
//	retention removes what is older than it is to be kept
//	invoices an invoice for each customer and month, and adjustments of those before
//
// A Job does its work in bounded batches and may be stopped and run again at
// any moment: what it has done stays done, and doing it again changes nothing.
// A Runner never lets a job overlap itself, in its process or, by a lease in the
// store, in any other; each time of a schedule is served by one process. A job
// that was stopped past its lease is told by its context, and what it writes
// under the lease (Job.Leased) is refused.
//
// Verify and Balance only read: the store through Views, the archive file by
// file. They work on a stopped data folder and beside a running process. Verify
// is the oracle of the workers' fold and shares no code with it; it recomputes
// from archive rows in plain maps, a day at a time, and compares exactly.
// Memory is bounded by the rollup rows of one day (about 300 bytes each) and
// the row addresses of one day (1 bit per offset of the range it touches). Of
// declared meters it compares those that are complete; of sketches it compares
// checksums over their buckets, 16 bytes each. Built days and months, which
// answers use, it compares with the rows that they are built from, some thousand
// rows in a View; one that changes meanwhile is counted as skipped. It looks into
// every day that has files or hours, whether the store's list of days names it or
// not, and reports where the list is wrong.
//
// Balance goes through ledger and files of a partition side by side, so that what
// is lost in one checkpoint and too much in another is found in both.
//
// Invoices are made from archive rows: what a customer's prices come to, with the
// cut of the log up to which it was read and a sum of the rows' hashes for each
// line. Rollups of the same snapshot must agree, or nothing is billed. Prove does
// it all again from the document and the files.
//
// Compact replaces small files by large ones with the same rows; whoever holds a
// snapshot can still read what was replaced, for a while. A file that is gone all
// the same is looked for again in a new snapshot.
package jobs
