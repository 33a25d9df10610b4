package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Mem is a bucket in memory, for tests.
type Mem struct {
	mu      sync.Mutex
	objects map[string][]byte // a value is never changed, only replaced
}

// NewMem is an empty bucket.
func NewMem() *Mem { return &Mem{objects: map[string][]byte{}} }

func (m *Mem) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.objects[name] = b.Bytes()
	return nil
}

func (m *Mem) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(ready(ctx, from), ready(ctx, to)); err != nil {
		return err
	}
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
}

func (m *Mem) List(ctx context.Context, prefix, after string, fn func(name string, size int64) error) error {
	if err := errors.Join(ctx.Err(), checkPrefix(prefix)); err != nil {
		return err
	}
	m.mu.Lock()
	var names []string
	sizes := map[string]int64{}
	for name, object := range m.objects {
		if strings.HasPrefix(name, prefix) && name > after {
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
}

func (m *Mem) Open(ctx context.Context, name string) (File, error) {
	if err := ready(ctx, name); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	object, ok := m.objects[name]
	if !ok {
		return nil, fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	return memFile{bytes.NewReader(object)}, nil
}

func (m *Mem) Delete(ctx context.Context, name string) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, name)
	return nil
}

type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }
