package store

import (
	"context"
	"errors"

	"tallybook/schemas"
)

// BuildRollups builds the day or month rows of a closed window, or builds them
// again, in bounded transactions. Readers use them from the moment at which
// they agree with the hours, also while checkpoints touch the same window.
// window is the day, or any day of the month.
func (s *Store) BuildRollups(ctx context.Context, res Resolution, window schemas.Day) error {
	return errors.ErrUnsupported
}

// Unbuilt are windows that end at or before the given day, have hour rows and
// are not built, or no longer agree with their hours; oldest first. A month is
// named by its first day.
func (v *View) Unbuilt(res Resolution, before schemas.Day, limit int) ([]schemas.Day, error) {
	return nil, errors.ErrUnsupported
}
