package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tallybook/archive"
	"tallybook/store"
)

// writeManifests writes the manifests of dates whose live files changed, each
// from one snapshot. Killed behind one, it writes it again. One that was stopped
// past its lease and woke up may put an old manifest over a new one: it then has
// it written again; where it dies before, verify finds it.
func (r *replacer) writeManifests(ctx context.Context) error {
	var due []store.ManifestState
	err := r.store.View(ctx, func(v *store.View) (err error) {
		due, err = v.DueManifests()
		return err
	})
	if err != nil {
		return fmt.Errorf("list manifests to write: %w", err)
	}
	for _, m := range due {
		if err := r.writeManifest(ctx, m); err != nil {
			return fmt.Errorf("manifest of %s, %s: %w", m.Dataset, m.Day, err)
		}
	}
	return nil
}

func (r *replacer) writeManifest(ctx context.Context, m store.ManifestState) error {
	var files []archive.FileInfo
	positions := map[string]int64{}
	err := r.store.View(ctx, func(v *store.View) (err error) {
		if m.State, err = v.FilesState(m.Dataset, m.Day); err != nil {
			return err
		}
		all, err := v.Positions()
		if err != nil {
			return err
		}
		for _, p := range all {
			positions[fmt.Sprintf("%s/%d", p.Topic, p.ID)] = p.Next
		}
		live, err := v.Files(store.FileFilter{Dataset: m.Dataset, Day: &m.Day})
		for _, f := range live {
			files = append(files, archive.FileInfo(f))
		}
		return err
	})
	if err != nil {
		return err
	}
	if len(files) == 0 {
		err = r.archive.RemoveManifest(ctx, m.Dataset, m.Day)
	} else {
		var there map[string]bool
		if there, err = r.archive.PublishedOn(ctx, m.Dataset, m.Day); err != nil {
			return err
		}
		for i := range files {
			if !there[files[i].Name] {
				return nil // committed and not published yet: the next run
			}
		}
		manifest := archive.NewManifest(m.Dataset, m.Day, files)
		manifest.WrittenAt, manifest.Positions = r.now.UTC(), positions
		err = r.archive.WriteManifest(ctx, m.Day, manifest)
	}
	if err != nil {
		return err
	}
	err = r.store.NoteManifest(ctx, r.lease, m)
	if errors.Is(err, store.ErrLeaseLost) {
		err = errors.Join(err, r.store.DoubtManifest(context.WithoutCancel(ctx), m))
	}
	return err
}

// readManifest is done before the snapshot, which then has what the manifest says
// and perhaps more.
func (c *dayCheck) readManifest(ctx context.Context) (err error) {
	c.manifest, err = c.cfg.Archive.ReadManifest(ctx, c.topic, c.day)
	if errors.Is(err, archive.ErrDamaged) {
		c.badManifest("%v", err)
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // none was written yet
	}
	return err
}

func (c *dayCheck) badManifest(format string, args ...any) {
	c.report(Difference{Kind: DiffManifest, File: archive.ManifestName(c.topic, c.day), Detail: fmt.Sprintf(format, args...)})
}

// checkManifest holds the manifest of a date against the live files of the
// snapshot. Files that came since are not in it; the rows of those below its
// positions must be.
func (c *dayCheck) checkManifest(ctx context.Context, last bool) error {
	m := c.manifest
	if m == nil {
		return nil
	}
	there, err := c.cfg.Archive.PublishedOn(ctx, c.topic, c.day)
	if err != nil {
		return err
	}
	live := map[string]*store.ArchiveFile{}
	rows, below := map[string]int64{}, map[string]int64{} // by partition: of the manifest, and of live files
	for i := range c.files {
		f := &c.files[i]
		live[f.Name] = f
		partition := fmt.Sprintf("%s/%d", f.Partition.Topic, f.Partition.ID)
		if f.First < m.Positions[partition] && f.Last >= m.Positions[partition] {
			return nil // merged over its position since: it will be written again
		}
		if f.Last < m.Positions[partition] {
			below[partition] += f.Rows
		}
	}
	for i := range m.Files {
		f := &m.Files[i]
		full := fmt.Sprintf("%s/date=%s/%s", c.topic, c.day, f.Name)
		if !there[full] && !last {
			return errMoved // the manifest follows in a moment
		}
		if !there[full] {
			c.badManifest("it names %s, which is not there", f.Name)
		}
		if is := live[full]; is != nil && (hexText(is.SHA256) != f.SHA256 || is.Rows != f.Rows || is.First != f.FirstOffset || is.Last != f.LastOffset) {
			c.badManifest("what it says of %s is not what the store says", f.Name)
		}
		rows[fmt.Sprintf("%s/%d", f.Topic, f.Partition)] += f.Rows
	}
	for partition := range m.Positions {
		if rows[partition] != below[partition] {
			c.badManifest("its files have %d rows of %s, those of the store have %d below its position", rows[partition], partition, below[partition])
		}
	}
	return nil
}

func hexText(sum [32]byte) string { return fmt.Sprintf("%x", sum) }
