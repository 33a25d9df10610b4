// Package worker turns partitions of Kafka into rollups and archive files,
// exactly once.
//
//	Workers.Run      member of the consumer group; starts and stops partitions
//	  partition      one goroutine owns it: fetch ► decode ► validate ► dedupe ► fold
//	    checkpointer writes batch N while batch N+1 is folded:
//	                 1 stage Parquet
//	                 2 committer: one SQL transaction for whatever is ready
//	                 3 publish the files
//
// Start and take-over are the same code: raise the epoch (from here on every
// older owner's transaction moves no row), publish what was committed, discard
// what was not, rebuild the dedupe window from the archive, hold the log
// against the hash of the last record, read. A worker that dies anywhere
// leaves either nothing or a committed checkpoint; what it decided about a
// record is visible only with the checkpoint, so deciding afresh does no harm.
//
// A batch is folded with the declared meters of the list that it began with;
// the checkpoint says from which offset on a meter is live. The list is read at
// a take-over and looked at every second. An event of a type without declared
// meters pays a look at the list's length, or one look-up by its type.
//
// Requests are rated when their batch closes, from its columns, and again where
// the store says that the catalog has changed in a way that concerns them: the
// price's version, an amount where it has one per event, and who pays where
// the event does not say (rate.go). Nothing of it is asked of single records.
//
// Corrections wait until their batch closes. By then everything below the batch
// is written, so that their originals are looked up for all of them at once: in
// the batch, in the store where they were corrected before, in the archive. What
// the correction says of the original beyond its identity is not asked. The rows
// in force are taken away by rows of sign -1 that copy them column by column, an
// amendment adds one of sign +1; both go through the fold that events go through.
// A correction that is refused leaves its id unknown to dedupe, so that it can be
// sent again. An original that is sent again after it was retracted is a repeat,
// as long as the dedupe window knows it, and stays retracted; past the window it
// is counted as a new event, as any repeat is, and as that cannot be corrected.
//
// The package does not retry what the store refuses for its data: the batch is
// read again in halves until the one record is found, which becomes an error
// row.
package worker
