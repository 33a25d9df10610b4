package store

import (
	"errors"
	"time"

	"tallybook/schemas"
)

// LedgerRow is what one checkpoint accounted for.
type LedgerRow struct {
	schemas.Partition
	Ledger
	Clock int64 // log clock behind it, µs
	Epoch int64
	At    time.Time // when its batch was closed
}

// Ledger are a partition's rows with First >= after, in order; at most limit
// where limit > 0.
func (v *View) Ledger(tp schemas.Partition, after int64, limit int) ([]LedgerRow, error) {
	return nil, errors.ErrUnsupported
}

// ErrorCounts is the sum of Records of the error rows by origin partition.
func (v *View) ErrorCounts() (map[schemas.Partition]int64, error) {
	return nil, errors.ErrUnsupported
}

// ErrorFilter narrows Errors; zero fields do not.
type ErrorFilter struct {
	Account     string
	Reason      schemas.Reason
	Origin      *schemas.Partition
	First, Last int64 // log clock, µs: First <= Time < Last; Last 0: no end
	Limit       int
}

// Errors are error rows, newest first.
func (v *View) Errors(f ErrorFilter) ([]ErrorRow, error) { return nil, errors.ErrUnsupported }
