package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"tallybook/archive"
	"tallybook/store"
)

// takeOver makes this process the partition's owner. The order matters: after
// the epoch is raised no older owner can commit, so that what the store and
// the archive say from then on stays true until our own first checkpoint.
func (p *partition) takeOver(ctx context.Context) error {
	p.setState("taking over")
	first, end, err := p.log.bounds(ctx)
	if err != nil {
		return fmt.Errorf("bounds of %s/%d: %w", p.Topic, p.ID, err)
	}
	pos, err := p.cfg.Store.TakeOver(ctx, p.Partition, first)
	if err != nil {
		return fmt.Errorf("take over %s/%d: %w", p.Topic, p.ID, err)
	}
	if err := p.finishFiles(ctx, pos); err != nil {
		return fmt.Errorf("take over %s/%d: %w", p.Topic, p.ID, err)
	}
	if err := p.checkLog(ctx, pos, first, end); err != nil {
		return err
	}
	if p.change, err = readChange(ctx, p.cfg.Store, p.Topic); err != nil {
		return err
	}
	p.setState("rebuilding the dedupe window")
	w, err := p.rebuildWindow(ctx, pos)
	if err != nil {
		return fmt.Errorf("dedupe window of %s/%d: %w", p.Topic, p.ID, err)
	}
	p.pos, p.clock, p.window = pos, pos.Clock, w
	p.nextPos.Store(pos.Next)
	p.epoch.Store(pos.Epoch)
	p.doubt, p.fetchedAt = false, p.cfg.Now()
	return nil
}

// finishFiles does what a dead owner left undone: committed files are
// published, others of older epochs discarded. A published file that the store
// does not know, from the position on, was committed to a store that has since
// been restored from an older copy; its records come again, so it is set aside.
func (p *partition) finishFiles(ctx context.Context, pos store.Position) error {
	staged, err := p.cfg.Archive.Staged(ctx, p.Partition)
	if err != nil {
		return err
	}
	// A file of our epoch or a later one is a newer owner's, who is at work: we
	// were stopped since we took over, and will be fenced.
	staged = slices.DeleteFunc(staged, func(name string) bool {
		_, _, epoch, err := archive.ParseStaged(name)
		return err != nil || epoch >= pos.Epoch
	})
	finals := make([]string, len(staged))
	for i, name := range staged {
		if finals[i], _, _, err = archive.ParseStaged(name); err != nil {
			return err
		}
	}
	committed, err := p.cfg.Store.CommittedFiles(ctx, p.Partition, finals)
	if err != nil {
		return err
	}
	for i, name := range staged {
		if committed[finals[i]] {
			err = p.finishFile(ctx, finals[i])
		} else {
			err = p.cfg.Archive.Discard(ctx, name)
		}
		if err != nil {
			return err
		}
	}
	published, err := p.cfg.Archive.PublishedFrom(ctx, p.Partition, pos.Next)
	if err != nil {
		return err
	}
	if committed, err = p.cfg.Store.CommittedFiles(ctx, p.Partition, published); err != nil {
		return err
	}
	for _, name := range published {
		if !committed[name] {
			p.cfg.Log.Warn("archive file without a checkpoint set aside", "file", name)
			if err := p.cfg.Archive.Quarantine(ctx, name); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishFile publishes a committed file, if it still is what was committed.
func (p *partition) finishFile(ctx context.Context, final string) error {
	var f store.ArchiveFile
	err := p.cfg.Store.View(ctx, func(v *store.View) (err error) {
		f, err = v.File(final)
		return err
	})
	if err == nil {
		err = p.cfg.Archive.Finish(ctx, archive.FileInfo(f))
	}
	if errors.Is(err, archive.ErrDamaged) {
		return &stopError{err.Error()}
	}
	return err
}

// checkLog makes sure that the log still is the one that the position was
// made on: it must reach to the position, and the record before it must be the
// same. Where retention has removed that record and nothing after it, nothing
// was lost, and the worker goes on.
func (p *partition) checkLog(ctx context.Context, pos store.Position, first, end int64) error {
	const help = "if the topic was made anew or the log was cut on purpose, start with an empty data folder or new topics; " +
		"if the log was restored from a copy, restore the store of the same moment"
	switch {
	case pos.Next > end:
		return &stopError{fmt.Sprintf("the log of %s/%d ends at offset %d, but offsets up to %d were counted: "+
			"the log went backwards; %s", p.Topic, p.ID, end, pos.Next, help)}
	case pos.Next < first:
		return &stopError{fmt.Sprintf("the log of %s/%d begins at offset %d, but only offsets up to %d were counted: "+
			"%d records are gone; %s", p.Topic, p.ID, first, pos.Next, first-pos.Next, help)}
	case pos.LastOffset < 0:
		return nil // nothing was read yet
	case pos.LastOffset < first:
		p.cfg.Log.Warn("the record before the position is no longer in the log, it cannot be compared",
			"topic", p.Topic, "partition", p.ID, "offset", pos.LastOffset)
		return nil
	}
	rec, err := p.log.at(ctx, pos.LastOffset)
	if err != nil {
		return fmt.Errorf("record before the position of %s/%d: %w", p.Topic, p.ID, err)
	}
	if rec.hash() != pos.LastHash {
		return &stopError{fmt.Sprintf("the record at offset %d of %s/%d is not the one that was counted: "+
			"the log was replaced; %s", pos.LastOffset, p.Topic, p.ID, help)}
	}
	return nil
}

// sameLog makes sure that what follows the last record read is the log that this
// record was read from: a topic that was made anew, or a leader elected out of
// sync, may by now reach beyond it.
func (p *partition) sameLog(ctx context.Context) error {
	first, end, err := p.log.bounds(ctx)
	if err != nil {
		return err
	}
	pos := p.pos
	pos.Next = p.batch.ledger.Next
	if p.batch.ledger.Records > 0 {
		pos.LastOffset, pos.LastHash = p.log.rec.offset, p.log.rec.hash()
	}
	return p.checkLog(ctx, pos, first, end)
}

// outOfRange explains why the log no longer has the offset we want to read.
func (p *partition) outOfRange(ctx context.Context) error {
	first, end, err := p.log.bounds(ctx)
	if err != nil {
		return err
	}
	pos := p.pos
	pos.Next = p.batch.ledger.Next
	if err := p.checkLog(ctx, pos, first, end); err != nil {
		return err
	}
	return fmt.Errorf("offset %d of %s/%d was out of range of the log [%d, %d)", pos.Next, p.Topic, p.ID, first, end)
}
