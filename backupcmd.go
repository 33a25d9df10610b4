package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
	"tallybook/store"
)

func backupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FOLDER",
		Short: "copy the data folder of one machine, also while its process runs",
		Long: `Copies store, archive and the embedded broker's log into a new folder, while events
are counted or while nothing runs. The copy is a data folder: put it in the place
of the lost one and start. What was acknowledged before the backup began is in
it. Archive files are linked where the folder is on the same file system, since
they never change: take the copy away to another machine.`,
		Example: "  tallybook backup /backups/$(date +%F) --data /var/lib/tallybook",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("backup takes the folder to make, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return withConfig(cmd, func(ctx context.Context, c *config) error {
				return (&backup{config: c, to: args[0], out: cmd.OutOrStdout()}).run(ctx)
			})
		},
	}
}

// backup of a data folder. The order makes the copy whole, whatever is written
// meanwhile:
//
//	1 log      from here on until 3 it is not trimmed, so that it has no hole
//	2 store    one snapshot
//	3 log      at least up to the snapshot's positions
//	4 archive  at least what the snapshot names; more is set aside at the start
type backup struct {
	*config
	to  string
	out io.Writer
}

func (b *backup) run(ctx context.Context) (err error) {
	if err := b.possible(); err != nil {
		return usageError{err}
	}
	if _, err := os.Lstat(b.to); !errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("backup: %s is there already; name a new folder", b.to)}
	}
	began := time.Now()
	part := strings.TrimRight(b.to, "/") + ".partial" // no backup until it has its name
	if err := os.Mkdir(part, 0o700); err != nil {
		return usageError{fmt.Errorf("backup: %w", err)}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(part))
		}
	}()
	copied := filepath.Join(part, "tallybook.db")
	for _, step := range []func() error{
		func() error { return b.copyLogAndStore(ctx, part, copied) },
		func() error { return copyArchive(ctx, b.archiveURL(), filepath.Join(part, "archive")) },
		func() error { return syncFolders(part) },
	} {
		if err := step(); err != nil {
			return fmt.Errorf("backup: %w", err)
		}
	}
	files, records, err := checkCopy(ctx, copied, filepath.Join(part, "archive"))
	if err != nil {
		return err
	}
	if err := errors.Join(os.Rename(part, b.to), syncFolder(filepath.Dir(b.to))); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	fmt.Fprintf(b.out, "%s: %d records counted, %d archive files, in %s\n", b.to, records, files, time.Since(began).Round(time.Millisecond))
	return nil
}

// possible: other engines have better ways.
func (b *backup) possible() error {
	elsewhere := func(url string) bool { return strings.Contains(url, "://") && !strings.HasPrefix(url, "sqlite://") }
	if len(b.Brokers) > 0 || elsewhere(b.storeURL()) || elsewhere(b.archiveURL()) {
		return errors.New("backup copies a data folder that has broker, store and archive in it; " +
			"PostgreSQL, a bucket and Kafka are saved by their own tools (docs/operators.md)")
	}
	to, err := filepath.Abs(b.to)
	if err != nil {
		return err
	}
	for _, from := range []string{b.archiveURL(), filepath.Join(b.Data, "kafka")} {
		if from, err = filepath.Abs(from); err != nil {
			return err
		}
		if strings.HasPrefix(to, from+string(filepath.Separator)) {
			return fmt.Errorf("backup: %s is within %s, which is to be copied; name a folder elsewhere", b.to, from)
		}
	}
	return nil
}

// copyLogAndStore keeps the log meanwhile: what was written and trimmed between
// its two copies would be a hole, and a position in it none that is recognised.
func (b *backup) copyLogAndStore(ctx context.Context, part, copied string) (err error) {
	log := filepath.Join(b.Data, "kafka")
	release, err := broker.KeepLog(log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if err := copyLog(log, filepath.Join(part, "kafka")); err != nil {
		return err
	}
	if err := b.copyStore(ctx, copied); err != nil {
		return err
	}
	return copyLog(log, filepath.Join(part, "kafka"))
}

func (b *backup) copyStore(ctx context.Context, to string) error {
	st, err := store.Open(ctx, b.storeURL(), store.Options{ReadOnly: true, Log: b.logger()})
	if err != nil {
		return usageError{err}
	}
	defer st.Close()
	return st.Backup(ctx, to)
}

// copyLog brings a copy of the log up to date.
func copyLog(from, to string) error {
	names, err := broker.LogFiles(from)
	for _, name := range names {
		if err == nil {
			err = copyFile(filepath.Join(from, name), filepath.Join(to, name))
		}
	}
	return err
}

// copyArchive visits _staging first, as the order of names has it: a file that is
// published meanwhile is found in its place.
func copyArchive(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o755); err != nil {
			return err
		}
		if err = os.Link(path, filepath.Join(to, name)); err != nil {
			err = copyFile(path, filepath.Join(to, name))
		}
		return err
	})
}

// copyFile leaves out what was moved or deleted meanwhile; whether all is there
// that must be is looked at in the end.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// syncFolders makes the names in and below a folder durable.
func syncFolders(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = syncFolder(path)
		}
		return err
	})
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

const copyView = time.Minute // nobody else waits for a backup's store

// checkCopy holds the archive's copy against the store's: each file that counts
// must be there, published or staged, with all of its bytes.
func checkCopy(ctx context.Context, path, archive string) (files int, records int64, err error) {
	st, err := store.Open(ctx, path, store.Options{ReadOnly: true, ViewTimeout: copyView})
	if err != nil {
		return 0, 0, err
	}
	defer st.Close()
	var live []store.ArchiveFile
	err = st.View(ctx, func(v *store.View) (err error) {
		for _, topic := range schemas.Topics {
			ofTopic, err := v.Files(store.FileFilter{Dataset: topic})
			if err != nil {
				return err
			}
			live = append(live, ofTopic...)
		}
		positions, err := v.Positions()
		for _, p := range positions {
			records += p.Next
		}
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	for _, f := range live {
		info, err := os.Stat(filepath.Join(archive, f.Name))
		if errors.Is(err, fs.ErrNotExist) {
			info, err = os.Stat(filepath.Join(archive, f.Staged))
		}
		if err == nil && info.Size() != f.Bytes {
			err = fmt.Errorf("%d bytes, not %d", info.Size(), f.Bytes)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("backup: %s, which the store names, is not whole in the copy: %w: was it erased or removed while the backup was made? Then make it again", f.Name, err)
		}
	}
	return len(live), records, nil
}
