package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tallybook/archive"
	"tallybook/store"
)

const (
	moveTries = 5
	moveWait  = 200 * time.Millisecond
)

// errMoved: a live file was at neither of its names. It is being moved, or it
// is lost: a new snapshot tells.
var errMoved = errors.New("the file is at neither of its places")

// withFile calls use with the name under which a live file is found: its place,
// or, committed and not yet published, where it was staged; then its place
// again, since it may have been published in between. use must be ready to
// begin anew when it was called and failed with fs.ErrNotExist.
func withFile(f *store.ArchiveFile, use func(name string) error) error {
	err := archive.AnyPlace(f.Name, f.Staged, use)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", f.Name, errMoved)
	}
	return err
}

// retryMoved runs fn until it no longer ends in errMoved, a bounded number of
// times with a pause; last tells fn that there is no further try.
func retryMoved(ctx context.Context, fn func(last bool) error) error {
	for try := 1; ; try++ {
		err := fn(try == moveTries)
		if !errors.Is(err, errMoved) || try == moveTries {
			return err
		}
		select {
		case <-time.After(moveWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
