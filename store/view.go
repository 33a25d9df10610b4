package store

import (
	"context"
	"database/sql"
	"errors"
)

// View is one snapshot of the store: all that is read through it is of one
// state. It is valid within the function it was given to, on its goroutine.
type View struct {
	ctx context.Context
	tx  *sql.Tx
}

// View calls fn with a snapshot. It is a read transaction, which must be short
// (5 s, then its reads fail), since an old snapshot keeps the log from being
// cleared.
func (s *Store) View(ctx context.Context, fn func(v *View) error) error {
	return errors.ErrUnsupported
}
