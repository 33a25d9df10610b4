package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"tallybook/archive"
	"tallybook/schemas"
)

func (d *doctor) examineArchive(ctx context.Context) {
	url := d.archiveURL()
	if !strings.Contains(url, "://") {
		if _, err := os.Stat(url); errors.Is(err, fs.ErrNotExist) {
			d.note("archive folder %s does not exist yet", url)
			return
		}
		if err := writable(url); err != nil {
			d.bad("archive folder %s is not writable: %v; nothing can be counted", url, err)
			return
		}
		d.good("archive folder %s is writable", url)
	}
	b, err := archive.OpenBucket(url)
	if err != nil {
		d.bad("%v", err)
		return
	}
	if store, ok := b.(*archive.Blob); ok && !d.objectStore(ctx, store) {
		return
	}
	d.archive = b
	d.staged(ctx)
}

// objectStore does what a worker does, with a name that no worker uses.
func (d *doctor) objectStore(ctx context.Context, b *archive.Blob) (usable bool) {
	if err := tryBucket(ctx, b); err != nil {
		d.bad("archive %s is not usable: %v; nothing can be counted", b, err)
		return false
	}
	d.good("archive %s takes, gives, lists, moves and deletes files", b)
	name := "_doctor/" + rand.Text()
	defer b.Delete(ctx, name)
	err := putText(ctx, b, name, name)
	refuses := false
	if err == nil {
		refuses, err = b.RefusesTaken(ctx, name)
	}
	switch {
	case err != nil:
		d.note("whether the object store refuses names that are taken is not known: %v", err)
	case refuses:
		d.good("the object store refuses a copy onto a name that is taken")
	default:
		d.note("the object store copies onto names that are taken (it does not know If-None-Match): one guard less, but the names of files never recur")
	}
	return true
}

// tryBucket leaves nothing behind, unless deleting is what fails.
func tryBucket(ctx context.Context, b archive.Bucket) (err error) {
	name := "_doctor/" + rand.Text()
	moved := name + "-moved"
	if err := putText(ctx, b, name, name); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Delete(ctx, name), b.Delete(ctx, moved)) }()
	if err := b.Move(ctx, name, moved); err != nil {
		return err
	}
	f, err := b.Open(ctx, moved)
	if err != nil {
		return err
	}
	defer f.Close()
	if text, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size())); err != nil || string(text) != name {
		return errors.Join(fmt.Errorf("%s holds %q, %q was written", moved, text, name), err)
	}
	listed := 0
	if err := b.List(ctx, name, "", func(string, int64) error { listed++; return nil }); err != nil || listed != 1 {
		return errors.Join(fmt.Errorf("%d files of that name are listed, there is 1", listed), err)
	}
	return nil
}

func putText(ctx context.Context, b archive.Bucket, name, text string) error {
	return b.Put(ctx, name, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

const leftoversMax = 100_000 // names that are counted

// staged are what crashes leave in the archive.
func (d *doctor) staged(ctx context.Context) {
	n := 0
	d.parquetFiles(ctx, d.archive, "_staging/", func(string) { n++ })
	switch {
	case n > 0 && (d.holder != "" || len(d.Brokers) > 0):
		d.note("%d files are staged: checkpoints on their way, or left by a process that was killed", n)
	case n > 0:
		d.note("%d files were left staged by a process that was killed; the next start publishes or removes each, by the store's word", n)
	}
}

// quarantine tells what a restored store has left in the archive, and whether it
// is counted again: by the positions, since a file's name has its first offset.
func (d *doctor) quarantine(ctx context.Context) {
	if d.archive == nil {
		return
	}
	const folder = "_quarantine/"
	next := map[schemas.Partition]int64{}
	for _, pos := range d.positions(ctx) {
		next[pos.Partition] = pos.Next
	}
	var files, ahead int
	d.parquetFiles(ctx, d.archive, folder, func(name string) {
		files++
		_, _, tp, _, err := archive.ParseFinal(strings.TrimPrefix(name, folder))
		if err != nil {
			return
		}
		if first, err := archive.FirstOffset(strings.TrimPrefix(name, folder)); err == nil && first >= next[tp] {
			ahead++
		}
	})
	const are = "%d files in _quarantine/ of the archive were published once but are in no checkpoint (a store restored from a backup?); "
	switch {
	case ahead > 0:
		d.bad(are+"the records of %d of them are not counted again yet: let workers read the log to its end; keep the files where the log no longer has the records", files, ahead)
	case files > 0:
		d.bad(are+"their partitions have read on past their beginnings: once there is no lag, and verify and balance are good, all in them is counted again; delete them then", files)
	}
}

func (d *doctor) parquetFiles(ctx context.Context, b archive.Bucket, prefix string, each func(name string)) {
	n := 0
	enough := errors.New("enough")
	err := b.List(ctx, prefix, "", func(name string, _ int64) error {
		if strings.HasSuffix(name, ".parquet") {
			each(name)
			n++
		}
		if n == leftoversMax {
			return enough
		}
		return nil
	})
	if err != nil && err != enough {
		d.bad("%v", err)
	}
}
