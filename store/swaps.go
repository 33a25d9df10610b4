package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallybook/schemas"
)

// FileGroup are the live files of a dataset and date with rows of one partition.
type FileGroup struct {
	Dataset   schemas.Topic
	Day       schemas.Day
	Partition schemas.Partition
}

// FileGroups are the groups of dates before a day that have at least so many
// files, oldest dates first.
func (v *View) FileGroups(before schemas.Day, atLeast int) ([]FileGroup, error) {
	return collect(v, func(row scanner) (g FileGroup, err error) {
		return g, row.Scan(&g.Dataset, &g.Day, &g.Partition.Topic, &g.Partition.ID)
	}, `SELECT dataset, day, topic, partition FROM archive_files WHERE retired_at IS NULL AND day < ?
		GROUP BY dataset, day, topic, partition HAVING count(*) >= ? ORDER BY day, dataset, topic, partition`, int64(before), atLeast)
}

// FreshFiles are the live files of a group that came since a time, by a
// checkpoint or a swap.
func (v *View) FreshFiles(g FileGroup, since time.Time) ([]string, error) {
	return collect(v, scanOne[string], `SELECT name FROM archive_files WHERE retired_at IS NULL AND dataset = ? AND day = ?
		AND topic = ? AND partition = ? AND live_at > ?`, string(g.Dataset), int64(g.Day), string(g.Partition.Topic), g.Partition.ID, since.UnixMicro())
}

// Swap replaces live files by others that hold the same rows.
type Swap struct {
	Retire   []ArchiveFile
	Add      []ArchiveFile // staged
	DeleteAt time.Time     // until then readers may still want the retired ones
}

// ErrFilesChanged: one of the files to be retired is not live any more.
var ErrFilesChanged = errors.New("the files were replaced meanwhile")

// SwapFiles does a swap in one transaction under a job's lease: exactly the
// files that it names retire, all of them, or nothing happens (ErrFilesChanged,
// ErrLeaseLost). After ErrUnknown, KnownFiles of what was to be added tells.
func (s *Store) SwapFiles(ctx context.Context, l Lease, sw Swap) error {
	var before, after int64
	for i := range sw.Retire {
		before += sw.Retire[i].Rows
	}
	for i := range sw.Add {
		after += sw.Add[i].Rows
	}
	if before != after || len(sw.Retire) == 0 {
		return fmt.Errorf("swap %d archive files: they have %d rows, what replaces them has %d", len(sw.Retire), before, after)
	}
	// By name, so that two swaps lock rows in one order.
	slices.SortFunc(sw.Retire, func(a, b ArchiveFile) int { return strings.Compare(a.Name, b.Name) })
	committed := false
	err := s.step("swap", func() error {
		err := s.transact(ctx, func(w *writeTx) error { return s.swapFiles(ctx, w, l, &sw) })
		committed = err == nil
		return err
	})
	if err != nil && committed {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	if err != nil {
		return fmt.Errorf("swap %d archive files: %w", len(sw.Retire), err)
	}
	return nil
}

func (s *Store) swapFiles(ctx context.Context, w *writeTx, l Lease, sw *Swap) error {
	if err := s.checkLease(ctx, w, l); err != nil {
		return err
	}
	now := s.now()
	if err := s.step("retire", func() error { return retireFiles(ctx, w, sw.Retire, now, sw.DeleteAt) }); err != nil {
		return err
	}
	return s.step("add", func() error {
		for i := range sw.Add {
			if err := insertFile(ctx, w, &sw.Add[i], l.Token, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func retireFiles(ctx context.Context, w *writeTx, files []ArchiveFile, now, deleteAt time.Time) error {
	for i := range files {
		n, err := w.execCount(ctx, `UPDATE archive_files SET retired_at = ?, delete_at = ? WHERE name = ? AND retired_at IS NULL`,
			now.UnixMicro(), deleteAt.UnixMicro(), files[i].Name)
		if err != nil {
			return err
		}
		if n != 1 {
			return fmt.Errorf("%s: %w", files[i].Name, ErrFilesChanged)
		}
	}
	return w.exec(ctx, `UPDATE archive_changes SET changes = changes + 1 WHERE id = 1`)
}

// FileChanges rises whenever live files are replaced or removed. As long as it
// stays, lists of files that are read in several Views are of one state, but for
// files of later checkpoints.
func (v *View) FileChanges() (n int64, err error) {
	err = v.tx.QueryRowContext(v.ctx, `SELECT changes FROM archive_changes WHERE id = 1`).Scan(&n)
	return n, engineError(err)
}

// DeletableFiles are retired files that nobody needs from now on.
func (v *View) DeletableFiles(now time.Time, limit int) ([]string, error) {
	return collect(v, scanOne[string], `SELECT name FROM archive_files WHERE retired_at IS NOT NULL AND delete_at <= ?
		ORDER BY delete_at, name LIMIT ?`, now.UnixMicro(), limit)
}

// ForgetFiles removes the rows of retired files that were deleted.
func (s *Store) ForgetFiles(ctx context.Context, l Lease, names []string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.checkLease(ctx, w, l); err != nil {
			return err
		}
		for _, name := range slices.Sorted(slices.Values(names)) {
			if err := w.exec(ctx, `DELETE FROM archive_files WHERE name = ? AND retired_at IS NOT NULL`, name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("forget %d retired files: %w", len(names), err)
	}
	return nil
}
