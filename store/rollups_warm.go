package store

import (
	"context"
	"errors"
	"fmt"

	"tallybook/schemas"
)

// WarmBlocks reads rollups of every account into memory, range by range, so
// that the first to ask for them after a start does not wait for it. It ends
// when half of the memory for rollups is used.
func (s *Store) WarmBlocks(ctx context.Context, columns Columns, ranges ...HourRange) error {
	for _, r := range ranges {
		// A window holds every family, so that it does not matter which is asked for.
		q := BlockQuery{Family: schemas.FamilyRequest, Columns: columns, Ranges: []HourRange{r}}
		held := &Held{}
		for {
			err := s.View(ctx, func(v *View) error {
				_, err := v.Blocks(q, held)
				return err
			})
			if s.blocks.halfFull() || errors.Is(err, ErrTooManyRollups) {
				return nil
			}
			if err == nil {
				break
			}
			if !errors.Is(err, ErrViewSpent) {
				return fmt.Errorf("read rollups ahead: %w", err)
			}
		}
	}
	return nil
}

func (c *blockCache) halfFull() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes > c.max/2
}
