package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Mem is a bucket in memory, for tests.
type Mem struct {
	// Fault, where set, is asked at each operation (put, move, list, open,
	// delete; for move the name is the old one). before: it is not applied and
	// answered with that error; after: it is applied and answered with that
	// error. Set it before the bucket is used. Called outside the lock.
	Fault func(op, name string) (before, after error)

	mu      sync.Mutex
	objects map[string][]byte // a value is never changed, only replaced
}

// NewMem is an empty bucket.
func NewMem() *Mem { return &Mem{objects: map[string][]byte{}} }

// do runs one operation between the answers of Fault.
func (m *Mem) do(ctx context.Context, op, name string, apply func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := checkName(name); err != nil && op != "list" {
		return err
	}
	var after error
	if m.Fault != nil {
		before, a := m.Fault(op, name)
		if before != nil {
			return before
		}
		after = a
	}
	if err := apply(); err != nil {
		return err
	}
	return after
}

func (m *Mem) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	return m.do(ctx, "put", name, func() error {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.objects[name] = b.Bytes()
		return nil
	})
}

func (m *Mem) Move(ctx context.Context, from, to string) error {
	if err := checkName(to); err != nil {
		return err
	}
	return m.do(ctx, "move", from, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		object, ok := m.objects[from]
		_, done := m.objects[to]
		switch {
		case !ok && done:
			return nil
		case !ok:
			return fmt.Errorf("move %s: %w", from, fs.ErrNotExist)
		case done:
			return fmt.Errorf("move %s: %s: %w", from, to, fs.ErrExist)
		}
		delete(m.objects, from)
		m.objects[to] = object
		return nil
	})
}

func (m *Mem) List(ctx context.Context, prefix string, fn func(name string, size int64) error) error {
	return m.do(ctx, "list", prefix, func() error {
		if err := checkPrefix(prefix); err != nil {
			return err
		}
		m.mu.Lock()
		var names []string
		sizes := map[string]int64{}
		for name, object := range m.objects {
			if strings.HasPrefix(name, prefix) {
				names = append(names, name)
				sizes[name] = int64(len(object))
			}
		}
		m.mu.Unlock()
		slices.Sort(names)
		for _, name := range names {
			if err := fn(name, sizes[name]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *Mem) Open(ctx context.Context, name string) (File, error) {
	var f File
	err := m.do(ctx, "open", name, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		object, ok := m.objects[name]
		if !ok {
			return fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
		}
		f = memFile{bytes.NewReader(object)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (m *Mem) Delete(ctx context.Context, name string) error {
	return m.do(ctx, "delete", name, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.objects, name)
		return nil
	})
}

type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }
