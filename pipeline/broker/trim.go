package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"tallybook/schemas"
)

// segment is one file of a partition's log.
type segment struct {
	first int64 // offset of its first record
	bytes int64
}

// segments lists a partition's files in order; none before its first record.
func (b *Broker) segments(tp schemas.Partition) ([]segment, error) {
	dir := filepath.Join(b.cfg.Dir, "partitions", fmt.Sprintf("%s-%d", tp.Topic, tp.ID))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list the segments of %s/%d: %w", tp.Topic, tp.ID, err)
	}
	var found []segment
	for _, entry := range entries {
		name, isSegment := strings.CutSuffix(entry.Name(), ".dat")
		first, err := strconv.ParseInt(name, 10, 64)
		if !isSegment || err != nil {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, fmt.Errorf("size of segment %s/%d at %d: %w", tp.Topic, tp.ID, first, err)
		}
		found = append(found, segment{first, info.Size()})
	}
	slices.SortFunc(found, func(a, b segment) int { return int(a.first - b.first) })
	return found, nil
}

// measure sets used from the files. Batches that are written meanwhile may be
// missed; the next measure finds them.
func (b *Broker) measure() error {
	var sum int64
	for topic, partitions := range b.parts {
		for id := range partitions {
			files, err := b.segments(schemas.Partition{Topic: topic, ID: int32(id)})
			if err != nil {
				return err
			}
			for _, file := range files {
				sum += file.bytes
			}
		}
	}
	b.used.Store(sum)
	return nil
}

// Trim deletes what lies more than one segment behind the positions (next
// offsets to be processed): whole segments, never the one with the record right
// before a position, which recovery looks at, nor the one before that.
// Partitions without a position keep all. A position past the end of the log
// deletes nothing there: the log went backwards, and the worker will say so.
// While a backup keeps the log (KeepLog) nothing is deleted.
func (b *Broker) Trim(positions map[schemas.Partition]int64) error {
	b.trim.Lock()
	defer b.trim.Unlock()
	mine, err := lock(filepath.Join(b.cfg.Dir, trimLock))
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return b.measure()
	}
	if err == nil { // else a disk is full or read-only: trimming is what makes room
		defer mine.Close()
	}
	var errs []error
	for tp, position := range positions {
		if err := b.trimPartition(tp, position); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, b.measure())...)
}

func (b *Broker) trimPartition(tp schemas.Partition, position int64) error {
	info := b.cluster.PartitionInfo(string(tp.Topic), tp.ID)
	if info == nil || position > info.HighWatermark {
		return nil
	}
	files, err := b.segments(tp)
	if err != nil {
		return err
	}
	to := keepFrom(files, position)
	if to <= info.LogStartOffset {
		return nil
	}
	if err := b.cluster.DeleteRecords(string(tp.Topic), tp.ID, to); err != nil {
		return fmt.Errorf("trim %s/%d to %d: %w", tp.Topic, tp.ID, to, err)
	}
	return nil
}

// keepFrom is the first offset that stays: that of the segment before the one
// which holds the record right before position.
func keepFrom(files []segment, position int64) int64 {
	behind := 0 // segments that begin at or before the record before position
	for behind < len(files) && files[behind].first < position {
		behind++
	}
	if behind < 3 {
		return 0
	}
	return files[behind-2].first
}
