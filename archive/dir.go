package archive

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Dir is a bucket in a folder of a POSIX file system that honours fsync. The
// operating system keeps every name inside the folder, also through symbolic
// links.
type Dir struct {
	root  *os.Root
	known sync.Map // folders whose names this process has made durable
}

// OpenDir is the bucket in a folder, which is created where it is missing.
func OpenDir(folder string) (*Dir, error) {
	if folder == "" {
		return nil, errors.New("archive: the folder has no name")
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, fmt.Errorf("archive: %w", err)
	}
	return &Dir{root: root}, nil
}

// Put writes a staged object in place: a crash within it leaves a part under the
// name, which the next Put of that name replaces. Others have readers, and are
// written beside and renamed; a crash leaves a part in staging.
func (d *Dir) Put(ctx context.Context, name string, write func(io.Writer) error) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	if err := d.mkdir(path.Dir(name)); err != nil {
		return fmt.Errorf("put %s: %w", name, err)
	}
	at := name
	if !strings.HasPrefix(name, stagingFolder) {
		at = stagingFolder + "put-" + rand.Text()
		if err := d.mkdir(path.Dir(at)); err != nil {
			return fmt.Errorf("put %s: %w", name, err)
		}
	}
	f, err := d.root.OpenFile(at, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("put: %w", err)
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil && at != name {
		err = d.root.Rename(at, name)
	}
	if err == nil {
		err = d.sync(path.Dir(name))
	}
	if err != nil {
		d.root.Remove(at) // what is left of it is of no use; Put is repeated or the name discarded
		return fmt.Errorf("put %s: %w", name, err)
	}
	return nil
}

// Move renames. Dead before the rename: nothing happened. Dead behind it: the
// name is new, perhaps not yet durably; the repeated Move syncs the folders.
func (d *Dir) Move(ctx context.Context, from, to string) error {
	if err := errors.Join(ready(ctx, from), ready(ctx, to)); err != nil {
		return err
	}
	_, fromErr := d.root.Lstat(from)
	_, toErr := d.root.Lstat(to)
	switch {
	case fromErr == nil && toErr == nil:
		return fmt.Errorf("move %s: %s: %w", from, to, fs.ErrExist)
	case fromErr == nil && errors.Is(toErr, fs.ErrNotExist):
		if err := d.mkdir(path.Dir(to)); err != nil {
			return fmt.Errorf("move: %w", err)
		}
		if err := d.root.Rename(from, to); err != nil {
			return fmt.Errorf("move: %w", err)
		}
	case toErr == nil && errors.Is(fromErr, fs.ErrNotExist): // an earlier Move
	case errors.Is(fromErr, fs.ErrNotExist) && errors.Is(toErr, fs.ErrNotExist):
		return fmt.Errorf("move: %w", fromErr)
	default:
		return fmt.Errorf("move %s to %s: %w", from, to, errors.Join(fromErr, toErr))
	}
	// The new name first: a crash between the two leaves both names, or one,
	// never none.
	if err := d.sync(path.Dir(to)); err != nil {
		return fmt.Errorf("move to %s: %w", to, err)
	}
	if err := d.sync(path.Dir(from)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("move from %s: %w", from, err)
	}
	return nil
}

// mkdir makes a folder and those above it, each durable in the one above. One
// that is there already is synced once too: who made it may have died between.
func (d *Dir) mkdir(folder string) error {
	if _, ok := d.known.Load(folder); ok || folder == "." {
		return nil
	}
	if err := d.mkdir(path.Dir(folder)); err != nil {
		return err
	}
	if err := d.root.Mkdir(folder, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.sync(path.Dir(folder)); err != nil {
		return err
	}
	d.known.Store(folder, true)
	return nil
}

func (d *Dir) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	err = f.Sync()
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (d *Dir) List(ctx context.Context, prefix, after string, fn func(name string, size int64) error) error {
	if err := errors.Join(ctx.Err(), checkPrefix(prefix)); err != nil {
		return err
	}
	folder := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		folder = prefix[:i]
	}
	return (&walk{d, prefix, after, fn}).folder(ctx, folder)
}

// walk visits files in the order of their whole names.
type walk struct {
	*Dir
	prefix, after string
	fn            func(name string, size int64) error
}

// folder visits what is below a folder, whose place in the order is that of its
// name with a slash.
func (w *walk) folder(ctx context.Context, folder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := fs.ReadDir(w.root.FS(), folder)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil // not yet there, gone since its parent was read, or a file
	}
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	slashed := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(slashed(a), slashed(b)) })
	for _, e := range entries {
		name := path.Join(folder, e.Name())
		switch {
		case e.IsDir() && w.enters(name+"/"):
			err = w.folder(ctx, name)
		case e.Type().IsRegular() && strings.HasPrefix(name, w.prefix) && name > w.after:
			var info fs.FileInfo
			if info, err = e.Info(); errors.Is(err, fs.ErrNotExist) {
				err = nil // moved or deleted meanwhile
			} else if err == nil {
				err = w.fn(name, info.Size())
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// enters: something below the folder may be asked for.
func (w *walk) enters(folder string) bool {
	return (strings.HasPrefix(folder, w.prefix) || strings.HasPrefix(w.prefix, folder)) &&
		(folder > w.after || strings.HasPrefix(w.after, folder))
}

func (d *Dir) Open(ctx context.Context, name string) (File, error) {
	if err := ready(ctx, name); err != nil {
		return nil, err
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return dirFile{f, info.Size()}, nil
}

// Delete does not sync: a file that is back after a power cut is deleted again.
func (d *Dir) Delete(ctx context.Context, name string) error {
	if err := ready(ctx, name); err != nil {
		return err
	}
	if err := d.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

func ready(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return checkName(name)
}

type dirFile struct {
	*os.File
	size int64
}

func (f dirFile) Size() int64 { return f.size }
