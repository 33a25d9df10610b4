package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// ledgerPage is how many ledger rows one View reads.
const ledgerPage = 5000

// BalanceConfig says what Balance checks. Store and Archive are required.
type BalanceConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Topics   []schemas.Topic // nil: all
	Progress func(string)    // nil: none
}

// Balance checks, per partition, that the ledger's ranges join without hole or
// overlap up to the position, that each adds up, that what it counted is what
// the archive holds, and what it rejected is what the error rows stand for. The
// error says that the check itself could not be done.
func Balance(ctx context.Context, cfg BalanceConfig) (BalanceReport, error) {
	if cfg.Topics == nil {
		cfg.Topics = schemas.Topics
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	var report BalanceReport
	err := retryMoved(ctx, func(last bool) error {
		b := &balance{cfg: &cfg, lines: make(map[schemas.Partition]*BalanceLine)}
		err := b.run(ctx, last)
		report = b.report
		return err
	})
	if err != nil {
		return report, fmt.Errorf("balance: %w", err)
	}
	return report, nil
}

// balance is one try, from one snapshot.
type balance struct {
	cfg    *BalanceConfig
	report BalanceReport
	lines  map[schemas.Partition]*BalanceLine
	mixed  []store.ArchiveFile // of errors partitions: own events and refused records
}

func (b *balance) run(ctx context.Context, last bool) error {
	if err := b.cfg.Store.View(ctx, b.snapshot); err != nil {
		return err
	}
	for i := range b.mixed {
		if err := b.countMixed(ctx, &b.mixed[i], last); err != nil {
			return err
		}
	}
	for i := range b.report.Partitions {
		line := &b.report.Partitions[i]
		b.cfg.Progress(fmt.Sprintf("balance %s/%d", line.Topic, line.Partition))
		if err := b.walkLedger(ctx, line); err != nil {
			return fmt.Errorf("%s/%d: %w", line.Topic, line.Partition, err)
		}
		line.close()
		b.report.Total.add(line)
	}
	return nil
}

// snapshot reads positions, files and errors of one state. The ledger's rows
// up to those positions never change, so they are read later, in pages.
func (b *balance) snapshot(v *store.View) error {
	positions, err := v.Positions(b.cfg.Topics...)
	if err != nil {
		return err
	}
	b.report.Partitions = make([]BalanceLine, len(positions))
	for i, p := range positions {
		line := &b.report.Partitions[i]
		*line = BalanceLine{Topic: p.Topic, Partition: p.ID, Position: p.Next, empty: p.LastOffset < 0}
		b.lines[p.Partition] = line
	}
	counts, err := v.ErrorCounts()
	if err != nil {
		return err
	}
	for tp, records := range counts {
		if line := b.lines[tp]; line != nil {
			line.ErrorRecords = records
		} else if b.asked(tp.Topic) {
			b.report.find("error rows of %s/%d stand for %d records, and it has no position", tp.Topic, tp.ID, records)
		}
	}
	for _, dataset := range b.cfg.Topics {
		if err := b.sumFiles(v, dataset); err != nil {
			return err
		}
	}
	return nil
}

func (b *balance) asked(topic schemas.Topic) bool {
	for _, t := range b.cfg.Topics {
		if t == topic {
			return true
		}
	}
	return false
}

// sumFiles adds up the rows of a dataset's files, a date at a time. A dataset's
// files from its own topic hold counted records; files of errors from another
// topic hold refused ones; those from errors itself must be looked into.
func (b *balance) sumFiles(v *store.View, dataset schemas.Topic) error {
	days, err := v.Days(dataset)
	if err != nil {
		return err
	}
	for _, day := range days {
		files, err := v.Files(store.FileFilter{Dataset: dataset, Day: &day})
		if err != nil {
			return err
		}
		for i := range files {
			f := &files[i]
			line := b.lines[f.Partition]
			switch {
			case f.Partition.Topic != dataset:
				continue
			case line == nil:
				b.report.find("%s is of %s/%d, which has no position", f.Name, f.Partition.Topic, f.Partition.ID)
			case dataset == schemas.Errors:
				b.mixed = append(b.mixed, *f)
			default:
				line.ArchiveRows += f.Rows
			}
			if line != nil && f.Last >= line.Position {
				line.find("%s has offset %d, the position is %d", f.Name, f.Last, line.Position)
			}
		}
	}
	return nil
}

// countMixed counts the rows of a file of errors that are its partition's own
// events, by their type.
func (b *balance) countMixed(ctx context.Context, f *store.ArchiveFile, last bool) error {
	line := b.lines[f.Partition]
	var own int64
	err := withFile(f, func(name string) error {
		return b.cfg.Archive.Read(ctx, name, []string{"type"}, func(r *archive.Rows) error {
			for _, code := range r.Type {
				if r.String(code) != schemas.TypeInternalError {
					own++
				}
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, errMoved) && !last, errors.Is(err, fs.ErrNotExist):
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		line.find("%v", err)
	}
	line.ArchiveRows += own
	return nil
}

// walkLedger reads a partition's ledger up to its position.
func (b *balance) walkLedger(ctx context.Context, line *BalanceLine) error {
	tp := schemas.Partition{Topic: line.Topic, ID: line.Partition}
	for after, done := int64(0), false; !done; {
		var rows []store.LedgerRow
		err := b.cfg.Store.View(ctx, func(v *store.View) (err error) {
			rows, err = v.Ledger(tp, after, ledgerPage)
			return err
		})
		if err != nil {
			return fmt.Errorf("ledger from %d: %w", after, err)
		}
		for i := range rows {
			if rows[i].First >= line.Position { // written since the snapshot
				done = true
				break
			}
			line.take(&rows[i].Ledger)
		}
		if len(rows) < ledgerPage {
			break
		}
		after = rows[len(rows)-1].First + 1
	}
	return nil
}
