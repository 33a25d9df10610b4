package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// ledgerPage is how many rows of the ledger, or of the list of files, one View reads.
const ledgerPage = 5000

// BalanceConfig says what Balance checks. Store and Archive are required.
type BalanceConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Topics   []schemas.Topic // nil: all
	Progress func(string)    // nil: none
}

// Balance checks, per partition, that the ledger's ranges join without hole or
// overlap up to the position, that each adds up, that what each range counted is
// what the archive's files of it hold, and that what all rejected is what the
// error rows stand for. The error says that the check itself could not be done.
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
}

func (b *balance) run(ctx context.Context, last bool) error {
	if err := b.cfg.Store.View(ctx, b.snapshot); err != nil {
		return err
	}
	for i := range b.report.Partitions {
		line := &b.report.Partitions[i]
		b.cfg.Progress(fmt.Sprintf("balance %s/%d", line.Topic, line.Partition))
		if err := b.walk(ctx, line, last); err != nil {
			return fmt.Errorf("%s/%d: %w", line.Topic, line.Partition, err)
		}
		line.close()
		b.report.Total.add(line)
	}
	return nil
}

// walkTries is how often a partition is walked anew because files were merged
// under way: a compaction goes from one group of files to the next within seconds.
const walkTries = 20

// walk goes through a partition, and again where files were merged meanwhile.
func (b *balance) walk(ctx context.Context, line *BalanceLine, last bool) error {
	start := *line
	for try := 1; ; try++ {
		w := &balanceWalk{balance: b, line: line, page: ledgerPage, last: last}
		err := w.run(ctx)
		if !errors.Is(err, errMerged) || try == walkTries {
			return err
		}
		*line = start
		select {
		case <-time.After(moveWait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// errMerged: pages of files are of different states.
var errMerged = errors.New("files were merged while they were listed")

// snapshot reads positions and errors, and looks for files beyond positions, of
// one state. The ledger's rows up to those positions never change, nor do the
// rows of files, so they are read later, in pages.
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
		if err := b.checkFiles(v, dataset); err != nil {
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

// checkFiles looks for files of a dataset that no position accounts for.
func (b *balance) checkFiles(v *store.View, dataset schemas.Topic) error {
	days, err := v.WrittenDays(dataset) // the list of days is what verify checks
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
			case line == nil:
				b.report.find("%s is of %s/%d, which has no position", f.Name, f.Partition.Topic, f.Partition.ID)
			case f.Last >= line.Position:
				line.find("%s has offset %d, the position is %d", f.Name, f.Last, line.Position)
			}
		}
	}
	return nil
}
