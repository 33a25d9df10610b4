package store

import (
	"context"
	"errors"

	"tallybook/schemas"
)

// AdmitTopic records a topic's number of partitions when it is first seen, and
// refuses another one ever after with ErrPartitionsChanged.
func (s *Store) AdmitTopic(ctx context.Context, topic schemas.Topic, partitions int) error {
	return errors.ErrUnsupported
}

// TakeOver makes the caller the owner of a partition: it raises the epoch, so
// that every checkpoint of an earlier owner is Fenced from here on, and returns
// the position. A partition that was never seen starts at offset first.
func (s *Store) TakeOver(ctx context.Context, tp schemas.Partition, first int64) (Position, error) {
	return Position{}, errors.ErrUnsupported
}

// Position reads where a partition stands; ErrNotFound before its first TakeOver.
func (s *Store) Position(ctx context.Context, tp schemas.Partition) (Position, error) {
	return Position{}, errors.ErrUnsupported
}

// Positions are those of the topics, of all where none is named, sorted by
// topic and partition.
func (v *View) Positions(topics ...schemas.Topic) ([]Position, error) {
	return nil, errors.ErrUnsupported
}
