package engine

import (
	"context"
	"errors"
	"io/fs"
	"time"
)

// attempts bounds how often files that moved are looked for again.
const attempts = 5

// Settled runs read again, a few times, while a file that its snapshot names is
// not there: a committed file is renamed into place behind the commit, and one
// that was replaced is gone.
func Settled(ctx context.Context, read func() error) error {
	for n := 1; ; n++ {
		err := read()
		if n == attempts || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Duration(n) * 20 * time.Millisecond):
		}
	}
}
