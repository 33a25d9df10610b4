package worker

import (
	"cmp"
	"context"
	"slices"

	"tallybook/archive"
	"tallybook/store"
)

// windowColumns are what the dedupe window is made of.
var windowColumns = []string{"id", "source", "account", "row", "log_time", "topic_offset"}

// windowPart are ids of a file that the dedupe window must hold.
type windowPart struct {
	file  store.ArchiveFile
	since int64 // log clock, µs
	below int64 // offset
	moved bool  // of the accounts alone that have their home here since
}

// rebuildWindow reads the ids that the dedupe window must hold at the position
// from the archive, oldest files first. A merged file has rows of a longer time,
// sorted by account.
func (p *partition) rebuildWindow(ctx context.Context, pos store.Position) (*window, error) {
	w := newWindow(p.cfg.DedupeWindow, p.cfg.budget)
	parts, err := p.windowParts(ctx, pos, w.span)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(parts, func(a, b windowPart) int { return cmp.Compare(a.file.MaxLog, b.file.MaxLog) })
	err = archive.InTurn(ctx, p.cfg.reads, len(parts), func(ctx context.Context, i int, turn func() error) error {
		part := &parts[i]
		recall := func(r *archive.Rows) error {
			if err := turn(); err != nil {
				return err
			}
			p.recall(w, part, r)
			return nil
		}
		// Our own files are published by now; one that a job merged, or that another
		// partition has committed this moment, may be staged.
		return archive.AnyPlace(part.file.Name, part.file.Staged, func(name string) error { return p.cfg.Archive.Read(ctx, name, windowColumns, recall) })
	})
	if err != nil {
		w.close()
		return nil, err
	}
	return w, nil
}

// recall puts those ids into the window that it must hold of a part.
func (p *partition) recall(w *window, part *windowPart, r *archive.Rows) {
	for i, log := range r.LogTime {
		if log < part.since || r.Row[i] != 0 || r.Offset[i] >= part.below {
			continue
		}
		account := []byte(r.String(r.Account[i]))
		if part.moved && p.change.home(account) != p.ID {
			continue
		}
		id := p.hasher.hash(account, []byte(r.String(r.Source[i])), r.ID.At(i))
		w.recall(id, idTag(id), log)
	}
}

// windowParts are the partition's own files and, where the number of partitions
// was changed, what the others had counted until then of the accounts that came
// from there: these ids are as old as the clock of their own partition says.
func (p *partition) windowParts(ctx context.Context, pos store.Position, span int64) ([]windowPart, error) {
	own, err := p.cfg.Store.WindowFiles(ctx, p.Partition, pos.Clock-span)
	if err != nil {
		return nil, err
	}
	parts := make([]windowPart, 0, len(own))
	for _, f := range own {
		parts = append(parts, windowPart{file: f, since: pos.Clock - span, below: pos.Next})
	}
	if p.change == nil {
		return parts, nil
	}
	for _, cut := range p.change.cuts {
		if cut.Partition == p.Partition {
			continue
		}
		since := max(pos.Clock, cut.Clock) - span
		files, err := p.cfg.Store.WindowFiles(ctx, cut.Partition, since)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if f.First < cut.Next {
				parts = append(parts, windowPart{file: f, since: since, below: cut.Next, moved: true})
			}
		}
	}
	return parts, nil
}
