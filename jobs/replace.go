package jobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// compactJob names the lease under which archive files are replaced: whoever
// does that, compaction, erasing or retention, does it alone.
const compactJob = "compact"

// publishTimeout is how long a file that was committed may take to be published
// when the job is being stopped; what is left the next run does.
const publishTimeout = 30 * time.Second

// replacer replaces live files by others with the same rows. The steps are a
// checkpoint's: stage, one transaction, publish. Its names hold the token of the
// lease, so that the next one to have it knows what was left: staged files of
// lower tokens are published where the transaction was committed, and discarded
// where it was not. One that was stopped past its lease changes nothing: its
// transaction is refused.
type replacer struct {
	store    *store.Store
	archive  *archive.Archive
	lease    store.Lease
	now      time.Time
	progress func(string)
}

// settle finishes what those before left undone. A published file that the store
// has no row of was merged for a store that has since been restored from an older
// copy: it is set aside.
func (r *replacer) settle(ctx context.Context) error {
	staged, err := r.archive.StagedMerged(ctx)
	if err != nil {
		return err
	}
	for _, name := range staged {
		final, token, err := archive.ParseMerged(name)
		if err != nil {
			return err
		}
		if token >= r.lease.Token {
			continue // another has the lease by now
		}
		if err := r.settleFile(ctx, final, name); err != nil {
			return fmt.Errorf("settle %s: %w", name, err)
		}
	}
	for _, dataset := range schemas.Topics {
		published, err := r.archive.PublishedMerged(ctx, dataset)
		if err != nil {
			return err
		}
		// A row comes before its file and goes behind it.
		known, err := r.store.KnownFiles(ctx, published)
		if err != nil {
			return err
		}
		for _, name := range published {
			if known[name] {
				continue
			}
			r.progress("set aside " + name + ", which the store does not know")
			if err := r.archive.Quarantine(ctx, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (r *replacer) settleFile(ctx context.Context, final, staged string) error {
	var f store.ArchiveFile
	err := r.store.View(ctx, func(v *store.View) (err error) {
		f, err = v.File(final)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return r.archive.Discard(ctx, staged)
	}
	if err != nil {
		return err
	}
	return r.archive.Finish(ctx, archive.FileInfo(f))
}

// read adds the rows of files to a merger, as long as its texts leave room, and
// returns how many files it took. A file must be what the store says of it: one
// that was tampered with must not get a new hash by being merged.
func (r *replacer) read(ctx context.Context, m *archive.Merger, files []store.ArchiveFile) (n int, err error) {
	for n < len(files) && (n == 0 || m.TextBytes() < maxMergeText) {
		f, before := &files[n], m.Len()
		sum, _, err := r.archive.Hash(ctx, f.Name)
		if err == nil && sum != f.SHA256 {
			err = fmt.Errorf("%w: its SHA-256 is not what the store says", archive.ErrDamaged)
		}
		if err == nil {
			err = m.ReadFile(ctx, r.archive, f.Name)
		}
		if err == nil && m.Len()-before != f.Rows {
			err = fmt.Errorf("%w: it has %d rows, the store says %d", archive.ErrDamaged, m.Len()-before, f.Rows)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f.Name, err)
		}
		n++
	}
	return n, nil
}

// maxMergeText bounds the long texts that are held in memory.
const maxMergeText = 256 << 20

// replace puts the rows of a merger in place of the files that they were read
// from, which may be deleted from deleteAt on.
func (r *replacer) replace(ctx context.Context, files []store.ArchiveFile, m *archive.Merger, deleteAt time.Time) error {
	info, err := m.Stage(ctx, r.archive, archive.StageFile{Day: archive.DayRows{Day: files[0].Day}, Source: files[0].Partition,
		Epoch: r.lease.Token, Random: strings.ToLower(rand.Text()[:8])})
	if err != nil {
		return err // a part may be left in staging; the next run discards it
	}
	same, err := m.Holds(ctx, r.archive, info.Staged)
	if err == nil && !same {
		err = fmt.Errorf("%s does not hold the rows of the files that it was made of", info.Staged)
	}
	// If we die here, the staged file is in no transaction: the next run discards it.
	if err == nil {
		err = r.store.SwapFiles(ctx, r.lease, store.Swap{Retire: files, Add: []store.ArchiveFile{store.ArchiveFile(info)}, DeleteAt: deleteAt})
	}
	if errors.Is(err, store.ErrUnknown) {
		return err // committed or not: who has the lease next waits for it and knows
	}
	if err != nil {
		return errors.Join(err, r.archive.Discard(context.WithoutCancel(ctx), info.Staged))
	}
	// If we die here, the swap holds. Readers find the file where it is staged, and
	// the next run publishes it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	return r.archive.Publish(ctx, info)
}

// deleteBatch is how many retired files are deleted before their rows are.
const deleteBatch = 500

// deleteRetired deletes the retired files whose time has come, then their rows.
// Killed between the two, it deletes what is gone once more.
func (r *replacer) deleteRetired(ctx context.Context) error {
	for deleted := 0; ; {
		var names []string
		err := r.store.View(ctx, func(v *store.View) (err error) {
			names, err = v.DeletableFiles(r.now, deleteBatch)
			return err
		})
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := r.archive.RemovePublished(ctx, name); err != nil {
				return err
			}
		}
		if len(names) > 0 {
			if err := r.store.ForgetFiles(ctx, r.lease, names); err != nil {
				return err
			}
		}
		if deleted += len(names); len(names) < deleteBatch {
			if deleted > 0 {
				r.progress(fmt.Sprintf("deleted %d retired files", deleted))
			}
			return nil
		}
	}
}
