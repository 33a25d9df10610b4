package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	// DefaultCompactAfter is how long behind its end a date, and behind its
	// checkpoint a file, is left alone.
	DefaultCompactAfter = 2 * time.Hour
	// DefaultRetiredKeep is how long a file that was replaced can still be read.
	DefaultRetiredKeep = 24 * time.Hour
)

// CompactConfig of a Compact. Store, Archive and Lease are required.
type CompactConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Lease    store.Lease
	Now      time.Time
	After    time.Duration // dates that ended, and files that were written, so long ago are compacted
	Keep     time.Duration // how long the files that were replaced stay
	Limits   archive.MergeLimits
	Progress func(string) // nil: none
}

// Compact makes large files of the small ones of closed dates, with the same
// rows, and deletes those that were replaced when their time has come. Files are
// merged within a dataset, date and partition, neighbours in the log: so each
// still stands for a range of its partition's offsets. Dates that got late files
// are compacted again.
//
// Then it writes the manifests of the dates whose files changed.
//
// It may die at any step: a merge is done or not, and the next run finishes it.
// One that cannot be done keeps no other from being done.
func Compact(ctx context.Context, cfg CompactConfig) error {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	c := &compaction{CompactConfig: cfg, replacer: &replacer{cfg.Store, cfg.Archive, cfg.Lease, cfg.Now, cfg.Progress}}
	if err := c.settle(ctx); err != nil {
		return err
	}
	if err := c.deleteRetired(ctx); err != nil {
		return err
	}
	faults := c.mergeAll(ctx)
	if cfg.Keep == 0 {
		faults = errors.Join(faults, c.deleteRetired(ctx))
	}
	return errors.Join(faults, c.writeManifests(ctx))
}

// CompactJob compacts every quarter of an hour; Lease, Now and Progress are the run's.
func CompactJob(cfg CompactConfig) Job {
	return Job{Name: compactJob, Schedule: "*/15 * * * *", Leased: func(ctx context.Context, l store.Lease, now time.Time, progress func(string)) error {
		run := cfg
		run.Lease, run.Now, run.Progress = l, now, progress
		return Compact(ctx, run)
	}}
}

type compaction struct {
	CompactConfig
	*replacer
}

// mergeAll goes on where a group fails, but not without the lease.
func (c *compaction) mergeAll(ctx context.Context) error {
	var groups []store.FileGroup
	err := c.Store.View(ctx, func(v *store.View) (err error) {
		groups, err = v.FileGroups(schemas.DayOf(c.Now.Add(-c.After).UnixMicro()), 2)
		return err
	})
	if err != nil {
		return fmt.Errorf("list files to merge: %w", err)
	}
	var faults []error
	for _, g := range groups {
		err := c.mergeGroup(ctx, g)
		if err != nil {
			faults = append(faults, fmt.Errorf("compact %s of %s/%d, %s: %w", g.Dataset, g.Partition.Topic, g.Partition.ID, g.Day, err))
		}
		if errors.Is(err, store.ErrLeaseLost) || errors.Is(err, store.ErrUnknown) || ctx.Err() != nil || len(faults) == maxFaults {
			break
		}
	}
	return errors.Join(faults...)
}

// maxFaults is how many groups may fail before a run gives up: an archive that
// is away fails them all.
const maxFaults = 10

func (c *compaction) mergeGroup(ctx context.Context, g store.FileGroup) error {
	var files []store.ArchiveFile
	var fresh []string
	err := c.Store.View(ctx, func(v *store.View) (err error) {
		if fresh, err = v.FreshFiles(g, c.Now.Add(-c.After)); err != nil {
			return err
		}
		files, err = v.Files(store.FileFilter{Dataset: g.Dataset, Day: &g.Day, Partition: &g.Partition}) // by name, so by first offset
		return err
	})
	if err != nil {
		return err
	}
	// What an import or late events wrote a moment ago is not alone for long, and
	// may be about to be read.
	tooNew := map[string]bool{}
	for _, name := range fresh {
		tooNew[name] = !archive.IsMerged(name)
	}
	var infos []archive.FileInfo
	for i := range files {
		if !tooNew[files[i].Name] {
			infos = append(infos, archive.FileInfo(files[i]))
		}
	}
	for _, run := range archive.PlanMerges(infos, c.Limits) {
		if err := c.mergeRun(ctx, run); err != nil {
			return err
		}
	}
	return nil
}

func (c *compaction) mergeRun(ctx context.Context, run []archive.FileInfo) error {
	files := make([]store.ArchiveFile, len(run))
	for i := range run {
		files[i] = store.ArchiveFile(run[i])
	}
	for len(files) > 1 {
		m := archive.NewMerger(files[0].Dataset, files[0].Partition.ID)
		n, err := c.read(ctx, m, files)
		if errors.Is(err, fs.ErrNotExist) {
			return c.notThere(ctx, files, err)
		}
		if err != nil {
			return err
		}
		if n > 1 {
			if err := c.replace(ctx, files[:n], m, c.Now.Add(c.Keep)); err != nil {
				return err
			}
			c.Progress(fmt.Sprintf("compacted %d files of %s, %s, to one of %d rows", n, files[0].Dataset, files[0].Day, m.Len()))
		}
		files = files[n:]
	}
	return nil
}

// notThere: a file that its owner has yet to publish is left to the next run.
func (c *compaction) notThere(ctx context.Context, files []store.ArchiveFile, missing error) error {
	for i := range files {
		if there, err := c.Archive.Exists(ctx, files[i].Staged); err != nil || there {
			return err
		}
	}
	return missing
}
