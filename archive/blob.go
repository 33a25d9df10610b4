package archive

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"
)

// Blob is a bucket in an object store. An object appears whole or not at all.
//
// A Move is a copy within the store and a delete, so that a crash between leaves
// both names. Each object therefore carries an identity, which a copy keeps: by it
// the next Move tells its own copy, which it completes, from another object,
// which it does not replace. The copy asks the store to make no name anew that is
// there; a store that does not know that condition could replace an object that
// came into being between our look and our copy. The archive has no such names:
// each holds its owner's epoch and a random part, and one process alone makes it.
type Blob struct {
	bucket  *blob.Bucket
	where   string        // the bucket's name, for messages
	folder  string        // what objects' names begin with there, in the archive's place
	timeout time.Duration // of a request, besides what its bytes may take
}

const (
	identityKey = "tallybook-object" // among an object's metadata

	// slowestRate is what a request may take for its bytes: 256 KiB/s.
	slowestRate = 256 << 10
	// partBytes are sent at a time of an object that is larger, two at once: an
	// upload holds at most about 40 MiB.
	partBytes = 8 << 20
	// listPage is how many names a request lists: S3's limit.
	listPage = 1000
)

// within limits a request that moves that many bytes.
func (b *Blob) within(ctx context.Context, bytes int64) (context.Context, context.CancelFunc) {
	limit := b.timeout + time.Duration(bytes)*time.Second/slowestRate
	return context.WithTimeoutCause(ctx, limit, errNoAnswer)
}

// Put uploads; the object is there when the upload is complete. A process that
// dies within leaves, of an object of several parts, parts that nobody sees:
// a lifecycle rule of the bucket (AbortIncompleteMultipartUpload) removes these.
func (b *Blob) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	up := &upload{bucket: b}
	ctx, up.cancel = context.WithCancelCause(ctx)
	defer up.cancel(nil) // an upload that is not complete by now is given up
	up.watch = time.AfterFunc(b.patience(), up.giveUp)
	defer up.watch.Stop()
	w, err := b.bucket.NewWriter(ctx, name, &blob.WriterOptions{ContentType: "application/octet-stream",
		Metadata: map[string]string{identityKey: rand.Text()}, BufferSize: partBytes, MaxConcurrency: 2})
	if err != nil {
		return b.failed(ctx, "put", name, err)
	}
	up.to = w
	if err := write(up); err != nil {
		up.cancel(err)
		w.Close() // reports the cancellation
		return fmt.Errorf("put %s: %w", name, err)
	}
	up.watch.Reset(b.patience())
	if err := w.Close(); err != nil {
		return b.failed(ctx, "put", name, err)
	}
	return nil
}

// patience is how long an upload may stand still: what it has taken and not yet
// sent is at most a few parts.
func (b *Blob) patience() time.Duration {
	return b.timeout + 4*partBytes*time.Second/slowestRate
}

// upload gives up where the store takes no more.
type upload struct {
	bucket *Blob
	to     io.Writer
	watch  *time.Timer
	cancel context.CancelCauseFunc
}

func (u *upload) giveUp() { u.cancel(errNoAnswer) }

func (u *upload) Write(p []byte) (int, error) {
	u.watch.Reset(u.bucket.patience())
	return u.to.Write(p)
}

// Move copies and deletes. Dead before the copy: nothing happened. Dead behind
// it: both names are there, and the next Move deletes the old one.
func (b *Blob) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(ready(ctx, from), ready(ctx, to)); err != nil {
		return err
	}
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	there, err := b.bucket.Attributes(ctx, to)
	if gcerrors.Code(err) == gcerrors.NotFound {
		if err = b.copy(ctx, from, to); err == nil {
			return b.remove(ctx, from)
		}
		// Moved by another process meanwhile, or by our own try before this one,
		// whose answer was lost; else the error stands.
		if code := gcerrors.Code(err); code == gcerrors.NotFound || code == gcerrors.FailedPrecondition {
			copyErr := err
			if there, err = b.bucket.Attributes(ctx, to); gcerrors.Code(err) == gcerrors.NotFound {
				err = copyErr
			}
		}
	}
	if err != nil {
		return b.failed(ctx, "move "+from+" to", to, err)
	}
	old, err := b.bucket.Attributes(ctx, from)
	switch {
	case gcerrors.Code(err) == gcerrors.NotFound:
		return nil // moved
	case err != nil:
		return b.failed(ctx, "move", from, err)
	case !same(old, there):
		return fmt.Errorf("move %s: %s: %w", from, to, fs.ErrExist)
	}
	return b.remove(ctx, from)
}

// same tells whether one object is a copy of the other: by the identity that a
// copy keeps or, where somebody else put the objects there, by their content.
func same(a, b *blob.Attributes) bool {
	if id := a.Metadata[identityKey]; id != "" && id == b.Metadata[identityKey] {
		return true
	}
	return a.Size == b.Size && a.ETag != "" && a.ETag == b.ETag
}

// copy makes a new name for an object, on condition that it is new.
func (b *Blob) copy(ctx context.Context, from, to string) error {
	return b.bucket.Copy(ctx, to, from, &blob.CopyOptions{BeforeCopy: func(as func(any) bool) error {
		var in *s3.CopyObjectInput
		if as(&in) {
			in.IfNoneMatch = aws.String("*")
		}
		return nil
	}})
}

// RefusesTaken tells whether the store refuses a copy onto a name that is taken;
// it tries that with a copy of the object, which it removes.
func (b *Blob) RefusesTaken(ctx context.Context, name string) (bool, error) {
	if err := ready(ctx, name); err != nil {
		return false, err
	}
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	err := b.copy(ctx, name, name+"-copy")
	if err == nil {
		defer b.remove(ctx, name+"-copy")
		err = b.copy(ctx, name, name+"-copy")
	}
	if gcerrors.Code(err) == gcerrors.FailedPrecondition {
		return true, nil
	}
	if err != nil {
		return false, b.failed(ctx, "copy", name, err)
	}
	return false, nil
}

// String is the bucket's address, without parameters.
func (b *Blob) String() string { return b.where }

func (b *Blob) List(ctx context.Context, prefix, after string, fn func(name string, size int64) error) error {
	if err := errors.Join(ctx.Err(), checkPrefix(prefix)); err != nil {
		return err
	}
	for page := blob.FirstPageToken; page != nil; {
		objects, next, err := b.listPage(ctx, prefix, after, page)
		if err != nil {
			return b.failed(ctx, "list", prefix+"*", err)
		}
		for _, o := range objects {
			if checkName(o.Key) != nil || o.Key <= after {
				continue // what a console makes to show an empty folder; a store that knows no StartAfter
			}
			if err := fn(o.Key, o.Size); err != nil {
				return err
			}
		}
		page = next
	}
	return nil
}

func (b *Blob) listPage(ctx context.Context, prefix, after string, page []byte) ([]*blob.ListObject, []byte, error) {
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.bucket.ListPage(ctx, page, listPage, &blob.ListOptions{Prefix: prefix, BeforeList: func(as func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if after != "" && as(&in) {
			in.StartAfter = aws.String(b.folder + after)
		}
		return nil
	}})
}

func (b *Blob) Delete(ctx context.Context, name string) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	ctx, cancel := b.within(ctx, 0)
	defer cancel()
	return b.remove(ctx, name)
}

func (b *Blob) remove(ctx context.Context, name string) error {
	if err := b.bucket.Delete(ctx, name); err != nil && gcerrors.Code(err) != gcerrors.NotFound {
		return b.failed(ctx, "delete", name, err)
	}
	return nil
}
