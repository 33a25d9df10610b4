package store

import (
	"context"
	"errors"
	"time"
)

// Import is the import of one file.
type Import struct {
	ID       string // hash of its content
	Name     string // as it was given, for people
	Format   string
	Account  string
	Bytes    int64            // size of the content
	Offset   int64            // everything before it is in the log, durably
	Counts   map[string]int64 // lines by outcome, up to Offset
	Begun    time.Time
	Finished time.Time // zero while it is not

	Again bool // to ImportBegin: start a finished import afresh
}

// ImportBegin records an import, or returns how far the one of the same ID came:
// a finished one has Finished set, an interrupted one goes on at Offset.
func (s *Store) ImportBegin(ctx context.Context, imp Import) (Import, error) {
	return Import{}, errors.ErrUnsupported
}

// ImportProgress records how far an import came. Offsets never go back.
func (s *Store) ImportProgress(ctx context.Context, id string, offset int64, counts map[string]int64) error {
	return errors.ErrUnsupported
}

// ImportFinish records that all of it is in the log.
func (s *Store) ImportFinish(ctx context.Context, id string) error { return errors.ErrUnsupported }

// Imports are all of them, newest first.
func (s *Store) Imports(ctx context.Context) ([]Import, error) { return nil, errors.ErrUnsupported }
