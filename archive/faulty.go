package archive

import (
	"context"
	"io"
)

// Faulty is a bucket that fails where a test wants it to.
type Faulty struct {
	Bucket
	// Fault, where set, is asked at each operation (put, move, list, open,
	// delete; for move the name is the old one, for list the prefix). before: it is
	// not applied and answered with that error; after: it is applied and answered
	// with that error. Set it while nobody uses the bucket.
	Fault func(op, name string) (before, after error)
}

// do runs one operation between the answers of Fault.
func (b *Faulty) do(op, name string, apply func() error) error {
	if b.Fault == nil {
		return apply()
	}
	before, after := b.Fault(op, name)
	if before != nil {
		return before
	}
	if err := apply(); err != nil {
		return err
	}
	return after
}

func (b *Faulty) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	return b.do("put", name, func() error { return b.Bucket.Put(ctx, name, write) })
}

func (b *Faulty) Move(ctx context.Context, from, to string) error {
	return b.do("move", from, func() error { return b.Bucket.Move(ctx, from, to) })
}

func (b *Faulty) List(ctx context.Context, prefix, after string, fn func(name string, size int64) error) error {
	return b.do("list", prefix, func() error { return b.Bucket.List(ctx, prefix, after, fn) })
}

func (b *Faulty) Open(ctx context.Context, name string) (f File, err error) {
	err = b.do("open", name, func() (err error) {
		f, err = b.Bucket.Open(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (b *Faulty) Delete(ctx context.Context, name string) error {
	return b.do("delete", name, func() error { return b.Bucket.Delete(ctx, name) })
}
