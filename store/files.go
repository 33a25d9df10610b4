package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"tallybook/schemas"
)

const fileColumns = `name, staged, dataset, day, topic, partition, first_offset, last_offset, rows, bytes, sha256,
	min_time, max_time, max_log`

func scanFile(row scanner) (ArchiveFile, error) {
	var f ArchiveFile
	var sum []byte
	err := row.Scan(&f.Name, &f.Staged, &f.Dataset, &f.Day, &f.Partition.Topic, &f.Partition.ID, &f.First, &f.Last,
		&f.Rows, &f.Bytes, &sum, &f.MinTime, &f.MaxTime, &f.MaxLog)
	if err == nil && copy(f.SHA256[:], sum) != len(f.SHA256) {
		err = fmt.Errorf("archive file %s: a hash of %d bytes", f.Name, len(sum))
	}
	return f, err
}

// namesPerQuery bounds the parameters of one statement.
const namesPerQuery = 500

// CommittedFiles says which of the archive names have a live row. A name is
// unique, so that the partition is only for the message of an error.
func (s *Store) CommittedFiles(ctx context.Context, tp schemas.Partition, names []string) (map[string]bool, error) {
	live, err := s.LiveFiles(ctx, names)
	if err != nil {
		return nil, fmt.Errorf("%s/%d: %w", tp.Topic, tp.ID, err)
	}
	return live, nil
}

// LiveFiles says which of the archive names have a live row.
func (s *Store) LiveFiles(ctx context.Context, names []string) (map[string]bool, error) {
	return s.lookUpFiles(ctx, ` AND retired_at IS NULL`, names)
}

// KnownFiles says which of the archive names have a row: those of live files, and
// of retired ones that are not deleted yet.
func (s *Store) KnownFiles(ctx context.Context, names []string) (map[string]bool, error) {
	return s.lookUpFiles(ctx, ``, names)
}

func (s *Store) lookUpFiles(ctx context.Context, which string, names []string) (map[string]bool, error) {
	there := map[string]bool{}
	err := s.View(ctx, func(v *View) error {
		for chunk := range slices.Chunk(names, namesPerQuery) {
			found, err := collect(v, scanOne[string],
				`SELECT name FROM archive_files WHERE name IN (`+placeholders(len(chunk))+`)`+which, anys(chunk)...)
			if err != nil {
				return err
			}
			for _, name := range found {
				there[name] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look up archive files: %w", err)
	}
	return there, nil
}

// File is the live file of a name; ErrNotFound.
func (v *View) File(name string) (ArchiveFile, error) {
	found, err := collect(v, scanFile, `SELECT `+fileColumns+` FROM archive_files WHERE name = ? AND retired_at IS NULL`, name)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return ArchiveFile{}, fmt.Errorf("archive file %s: %w", name, err)
	}
	return found[0], nil
}

// WindowFiles are the live files of the partition's own dataset (dataset =
// topic) with MaxLog >= since, newest offsets first: what the dedupe window is
// rebuilt from.
func (s *Store) WindowFiles(ctx context.Context, tp schemas.Partition, since int64) ([]ArchiveFile, error) {
	var files []ArchiveFile
	err := s.View(ctx, func(v *View) (err error) {
		files, err = collect(v, scanFile, `SELECT `+fileColumns+` FROM archive_files
			WHERE retired_at IS NULL AND topic = ? AND partition = ? AND dataset = ? AND max_log >= ?
			ORDER BY last_offset DESC, name DESC`, string(tp.Topic), tp.ID, string(tp.Topic), since)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list window files of %s/%d: %w", tp.Topic, tp.ID, err)
	}
	return files, nil
}

// FileFilter narrows Files; zero fields do not.
type FileFilter struct {
	Dataset   schemas.Topic
	Day       *schemas.Day
	Partition *schemas.Partition
	From, To  int64 // µs: files that may have events of [From, To); both 0: any
	Limit     int
}

// Files are the live archive files, sorted by name.
func (v *View) Files(f FileFilter) ([]ArchiveFile, error) {
	where := filter{}
	where.add(`retired_at IS NULL`)
	if f.Dataset != "" {
		where.add(`dataset = ?`, string(f.Dataset))
	}
	if f.Day != nil {
		where.add(`day = ?`, int64(*f.Day))
	}
	if f.From != 0 || f.To != 0 { // a file has events of its day alone, and the index is by day
		where.add(`day >= ? AND day <= ? AND min_time < ? AND max_time >= ?`,
			int64(schemas.DayOf(f.From)), int64(schemas.DayOf(f.To)), f.To, f.From)
	}
	if f.Partition != nil {
		where.add(`topic = ? AND partition = ?`, string(f.Partition.Topic), f.Partition.ID)
	}
	query := `SELECT ` + fileColumns + ` FROM archive_files` + where.sql() + ` ORDER BY name` + where.limit(f.Limit)
	return collect(v, scanFile, query, where.args...)
}

// InvoiceFiles are the live files, sorted by name, that may have rows of a
// document: requests of its periods, below its cut.
func (v *View) InvoiceFiles(cut []schemas.CutPosition, periods []schemas.InvoicePeriod) ([]ArchiveFile, error) {
	var all []ArchiveFile
	for _, p := range periods {
		files, err := v.Files(FileFilter{Dataset: schemas.Usage, From: p.Start.UnixMicro(), To: p.End.UnixMicro()})
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if schemas.Below(cut, f.Partition.Topic, f.Partition.ID, f.First) {
				all = append(all, f)
			}
		}
	}
	byName := func(a, b ArchiveFile) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(all, byName)
	return slices.CompactFunc(all, func(a, b ArchiveFile) bool { return a.Name == b.Name }), nil
}

// Days are the days for which archive files of the topic or hour rollups of its
// families were written, in order.
func (v *View) Days(topic schemas.Topic) ([]schemas.Day, error) {
	return collect(v, scanOne[schemas.Day], `SELECT day FROM topic_days WHERE topic = ? ORDER BY day`, string(topic))
}

// scanOne reads a row of one column.
func scanOne[T any](row scanner) (value T, err error) { return value, row.Scan(&value) }

// filter collects the conditions of a query.
type filter struct {
	conditions []string
	args       []any
}

func (f *filter) add(condition string, args ...any) {
	f.conditions = append(f.conditions, condition)
	f.args = append(f.args, args...)
}

func (f *filter) sql() string {
	if len(f.conditions) == 0 {
		return ""
	}
	return ` WHERE ` + strings.Join(f.conditions, ` AND `)
}

// limit must be the last to add an argument; 0 is no limit.
func (f *filter) limit(n int) string {
	if n <= 0 {
		return ""
	}
	f.args = append(f.args, n)
	return ` LIMIT ?`
}

func anys(values []string) []any {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v
	}
	return all
}
