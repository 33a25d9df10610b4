package store

import (
	"time"

	"tallybook/schemas"
)

// Position is where a partition's processing stands.
type Position struct {
	schemas.Partition
	Epoch      int64    // raised by every take-over; the owner's fence
	Next       int64    // the next offset to process
	Clock      int64    // log clock, µs; 0 before the first record
	LastOffset int64    // the record before Next, -1 where there is none
	LastHash   [16]byte // its hash: a log that changed under us is recognised by it
}

// Ledger is what one checkpoint accounts for. Records + Gaps = Next - First,
// and Counted + Duplicate + Rejected = Records.
type Ledger struct {
	First, Next int64 // offsets [First, Next)
	Records     int64
	Gaps        int64 // offsets without a record (transaction markers)
	Counted     int64 // accepted; the archive has Counted + Extra rows of them
	Duplicate   int64
	Rejected    int64
	OtherKey    int64 // records whose key is not their account, of all Records
	HandedOn    int64 // of Duplicate: sent to the partition that has their account, and counted there
	Extra       int64 // archive rows beyond one for each counted record: an amendment makes two
}

// Delta is what a checkpoint adds to one rollup row.
type Delta struct {
	Hour   schemas.Hour
	Series int // index into Checkpoint.Series
	schemas.Measures
	Stale bool // a value was taken away: the row's extremes may be wrong from now on
}

// ArchiveFile is a Parquet file that a checkpoint makes part of the archive.
type ArchiveFile struct {
	Name      string // its place in the archive, e.g. usage/date=2026-01-01/….parquet
	Staged    string // where it waits until it is published
	Dataset   schemas.Topic
	Day       schemas.Day
	Partition schemas.Partition // of the log its rows came from
	First     int64             // least and greatest offset in it
	Last      int64
	Rows      int64
	Bytes     int64
	SHA256    [32]byte
	MinTime   int64 // event time, µs
	MaxTime   int64
	MaxLog    int64 // greatest log_time, µs: what expiry of the dedupe window asks for
}

// ErrorRow is a record that could not be processed, or several of one reason
// above the limit.
type ErrorRow struct {
	ID          string // 32 hex digits, from its address and reason
	Time        int64  // log clock, µs
	Account     string // "_unknown" when undecodable
	Reason      schemas.Reason
	Field       string
	Message     string
	Input       []byte // up to 64 KiB
	InputBytes  int64
	InputSHA256 [32]byte
	Origin      schemas.Partition
	Offset      int64
	LastOffset  int64 // greater than Offset where Records > 1
	Records     int64
	Status      ErrorStatus

	// What sending it again needs: the record as it was.
	Key        []byte // nil: it had none
	Headers    []Header
	RecordTime int64 // its Kafka timestamp, µs
	Whole      bool  // Input, Key and Headers are all of it

	Endpoint string // where a refused request came in; "" for a record of somebody's
	ResendAt int64  // µs; when somebody began to send it again, 0: nobody
	ResentAt int64  // µs; when that was acknowledged
}

// Checkpoint is everything that one transaction writes for one partition.
type Checkpoint struct {
	From   Position // as this owner last knew it: epoch and next offset are compared
	To     Position // Epoch is not changed by a checkpoint
	Ledger Ledger
	Series []schemas.Series // every series that Deltas name
	Deltas []Delta          // one per (hour, series); any order
	Files  []ArchiveFile
	Errors []ErrorRow

	Corrections []Correction // that it applies, in the order of each event's revisions
	AppEvents   []AppEvent   // new ones, and what corrections make of them, in order
	AppErrors   []AppError

	ClosedAt time.Time // when the batch was closed, for the ledger
	Metering Metering
	Sketches []SketchPack // one per account and hour

	Subscribed *SubscribedUse // nil: no request names a customer or a subscription
	Pricing    *Pricing       // nil: it has no request
}

// Outcome of one partition's checkpoint within a transaction.
type Outcome int

const (
	// Applied: the position moved, and all of it is durable.
	Applied Outcome = iota
	// Fenced: another owner is at work; nothing of it was written.
	Fenced
	// Refused: the store refuses the data itself; nothing of it was written,
	// and unchanged it never will be.
	Refused
	// Outdated: the catalog has changed since its requests were rated, in a way
	// that may concern them; nothing of it was written. Rated again, it may be.
	Outdated
)

// Result is a checkpoint's outcome; Err says why it was Refused.
type Result struct {
	Outcome Outcome
	Err     error
}
