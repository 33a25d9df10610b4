package archive

import (
	"cmp"
	"context"

	"golang.org/x/sync/errgroup"
)

// InTurn calls read for each of n files, several at a time: a file in an object
// store is waited for longer than it is worked on. What a read has got it uses in
// its turn: turn returns when all files before are done. So what uses them needs
// no lock, and sees them in order. limit is how many are read at a time, by all
// who share it. The first error ends the others and is returned when they have; nil
// says that all files were read.
func InTurn(ctx context.Context, limit chan struct{}, n int, read func(ctx context.Context, i int, turn func() error) error) error {
	group, reading := errgroup.WithContext(ctx)
	done := make(chan struct{})
	close(done)
	for i := range n {
		// Here, not by the reads, who might be overtaken: the first that is not done
		// has a place, so that nobody who has one waits for somebody who waits for one.
		select {
		case limit <- struct{}{}:
		case <-reading.Done():
			return cmp.Or(group.Wait(), ctx.Err())
		}
		before, mine := done, make(chan struct{})
		done = mine
		group.Go(func() error {
			defer func() { <-limit }()
			turn := func() error {
				select {
				case <-before:
					return nil
				case <-reading.Done():
					return reading.Err()
				}
			}
			if err := read(reading, i, turn); err != nil {
				return err
			}
			if err := turn(); err != nil { // it may have had nothing to use
				return err
			}
			close(mine)
			return nil
		})
	}
	return group.Wait()
}
