package archive

import (
	"context"
	"io"
)

// Bucket is where files live: a folder, an object store, or memory. Names are
// slash-separated paths relative to the bucket; a name that would leave it is
// refused. All methods may be called concurrently. None waits for a bucket that
// is away: within a bounded time each fails, and the caller tries again.
type Bucket interface {
	// Put writes a whole object and replaces one of that name. When it returns
	// nil the object and its name are durable; when it fails the object may
	// exist, in whole or not at all. A crash within it may leave a part: read
	// no object before its Put has returned nil.
	Put(ctx context.Context, name string, write func(io.Writer) error) error
	// Move makes the object appear under another name and vanish under the
	// old one, durably; a crash within it may leave both names. Repeating a Move that was applied returns nil. An
	// object that already has the new name is not replaced: fs.ErrExist.
	Move(ctx context.Context, from, to string) error
	// List calls fn for each object whose name begins with prefix and comes
	// behind after, by name. What lies before that costs next to nothing.
	List(ctx context.Context, prefix, after string, fn func(name string, size int64) error) error
	// Open reads an object; fs.ErrNotExist where there is none.
	Open(ctx context.Context, name string) (File, error)
	// Delete removes an object; one that is not there is no error.
	Delete(ctx context.Context, name string) error
}

// File is an open object.
type File interface {
	io.ReaderAt
	io.Closer
	Size() int64
}
