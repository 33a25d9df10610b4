package store

import (
	"context"
	"errors"

	"tallybook/schemas"
)

// CommittedFiles says which of the archive names have a live row.
func (s *Store) CommittedFiles(ctx context.Context, tp schemas.Partition, names []string) (map[string]bool, error) {
	return nil, errors.ErrUnsupported
}

// WindowFiles are the live files of the partition's own dataset (dataset =
// topic) with MaxLog >= since, newest offsets first: what the dedupe window is
// rebuilt from.
func (s *Store) WindowFiles(ctx context.Context, tp schemas.Partition, since int64) ([]ArchiveFile, error) {
	return nil, errors.ErrUnsupported
}

// FileFilter narrows Files; zero fields do not.
type FileFilter struct {
	Dataset   schemas.Topic
	Day       *schemas.Day
	Partition *schemas.Partition
	Limit     int
}

// Files are the live archive files, sorted by name.
func (v *View) Files(f FileFilter) ([]ArchiveFile, error) { return nil, errors.ErrUnsupported }

// Days are the days that have live archive files of the topic or hour rollups
// of its families, in order.
func (v *View) Days(topic schemas.Topic) ([]schemas.Day, error) { return nil, errors.ErrUnsupported }
