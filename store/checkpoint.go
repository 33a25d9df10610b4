package store

import (
	"context"
	"errors"
)

// Checkpoint applies a batch in ONE transaction, each of its checkpoints whole
// or not at all; the results are in the order of the batch. When it returns nil
// every Applied checkpoint is durable. When it returns an error nothing of the
// batch was applied, unless the error is ErrUnknown: then all or nothing was,
// and the caller reads the Position to find out or sends the same batch again.
func (s *Store) Checkpoint(ctx context.Context, batch []*Checkpoint) ([]Result, error) {
	return nil, errors.ErrUnsupported
}
