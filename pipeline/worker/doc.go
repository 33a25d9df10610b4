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
// The package does not retry what the store refuses for its data: the batch is
// read again in halves until the one record is found, which becomes an error
// row.
package worker
