package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// blobTail is read when an object is opened, by the request that tells whether it
// is there and how large it is: its footer, and all of a small file.
const blobTail = 128 << 10

// Open reads the end of the object, so that a small file is one request.
func (b *Blob) Open(ctx context.Context, name string) (File, error) {
	if err := ready(ctx, name); err != nil {
		return nil, err
	}
	f := &blobFile{bucket: b, name: name, ctx: ctx}
	read, cancel := b.within(ctx, blobTail)
	defer cancel()
	err := f.open(read)
	for try := 1; err != nil && try < readTries && transient(read, err); try++ {
		err = f.open(read)
	}
	if err != nil {
		return nil, b.failed(read, "open", name, err)
	}
	return f, nil
}

// blobFile is an object that is being read. It holds no connection.
type blobFile struct {
	bucket *Blob
	name   string
	ctx    context.Context // of Open: ReaderAt has none of its own
	size   int64
	tail   []byte // the object's last bytes
}

func (f *blobFile) Size() int64 { return f.size }

func (f *blobFile) Close() error { return nil }

// readTries: a connection that breaks within an answer is not tried again by the
// client; whoever reads would begin a whole file anew for it.
const readTries = 3

func (f *blobFile) open(ctx context.Context) error {
	r, err := f.bucket.bucket.NewRangeReader(ctx, f.name, 0, -1, &blob.ReaderOptions{BeforeRead: func(as func(any) bool) error {
		var in *s3.GetObjectInput
		if as(&in) {
			in.Range = aws.String("bytes=-" + strconv.Itoa(blobTail))
		}
		return nil
	}})
	if isOutOfRange(err) {
		return f.openSmall(ctx)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	f.size = r.Size()
	f.tail = make([]byte, min(f.size, blobTail))
	_, err = io.ReadFull(r, f.tail)
	return err
}

// openSmall opens an object without any bytes: the end of it is a range that it
// does not have. Some servers say so of every object that is smaller than the range.
func (f *blobFile) openSmall(ctx context.Context) error {
	object, err := f.bucket.bucket.Attributes(ctx, f.name)
	if err != nil {
		return err
	}
	f.size = object.Size
	f.tail = make([]byte, min(f.size, blobTail))
	if f.size == 0 {
		return nil
	}
	return f.fetchOnce(ctx, f.tail, f.size-int64(len(f.tail)))
}

// ReadAt is one request, or none for the object's last bytes.
func (f *blobFile) ReadAt(p []byte, offset int64) (int, error) {
	if offset < 0 {
		return 0, errors.New("read " + f.name + ": negative offset")
	}
	wanted := len(p)
	if left := f.size - offset; int64(wanted) > left {
		p = p[:max(0, left)]
	}
	if start := f.size - int64(len(f.tail)); len(p) == 0 {
		return 0, eofUnless(wanted == 0)
	} else if offset >= start {
		copy(p, f.tail[offset-start:])
	} else if err := f.fetch(p, offset); err != nil {
		return 0, err
	}
	return len(p), eofUnless(len(p) == wanted)
}

func eofUnless(whole bool) error {
	if whole {
		return nil
	}
	return io.EOF
}

func (f *blobFile) fetch(p []byte, offset int64) error {
	ctx, cancel := f.bucket.within(f.ctx, int64(len(p)))
	defer cancel()
	err := f.fetchOnce(ctx, p, offset)
	for try := 1; err != nil && try < readTries && transient(ctx, err); try++ {
		err = f.fetchOnce(ctx, p, offset)
	}
	if err != nil {
		return f.bucket.failed(ctx, fmt.Sprintf("read %d bytes at %d of", len(p), offset), f.name, err)
	}
	return nil
}

func (f *blobFile) fetchOnce(ctx context.Context, p []byte, offset int64) error {
	r, err := f.bucket.bucket.NewRangeReader(ctx, f.name, offset, int64(len(p)), nil)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.ReadFull(r, p)
	return err
}

// transient: the answer broke off, or the connection did.
func transient(ctx context.Context, err error) bool {
	return ctx.Err() == nil && (errors.Is(err, io.ErrUnexpectedEOF) || strings.Contains(err.Error(), "connection reset"))
}
