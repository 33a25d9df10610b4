package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"

	"tallybook/schemas"
)

// Archive is the Parquet files of a bucket. All methods may be called
// concurrently; none retries. Every step may be repeated after a crash.
type Archive struct {
	bucket  Bucket
	writers sync.Pool // of *Writer: their buffers are worth keeping
	readers sync.Pool // of *reader, likewise
	footers *footerCache
}

// New is the archive in a bucket.
func New(b Bucket) *Archive {
	return &Archive{bucket: b, footers: newFooterCache(maxFooterBytes),
		writers: sync.Pool{New: func() any { return NewWriter() }},
		readers: sync.Pool{New: func() any { return newReader() }}}
}

// Open is the archive at a folder's path, which is created where it is missing,
// or in an object store: s3://BUCKET/PREFIX?… (s3Location).
func Open(url string) (*Archive, error) {
	b, err := OpenBucket(url)
	if err != nil {
		return nil, err
	}
	return New(b), nil
}

// OpenBucket is the bucket at a folder's path or a URL, as Open names them.
func OpenBucket(url string) (Bucket, error) {
	switch scheme, _, ok := strings.Cut(url, "://"); {
	case !ok:
		return OpenDir(url)
	case scheme == "s3":
		return openS3(url)
	default:
		return nil, fmt.Errorf("archive: %s:// is not supported; give the path of a folder, or s3://BUCKET/PREFIX", scheme)
	}
}

// FileInfo says what a Parquet file holds, and where it is or will be.
type FileInfo struct {
	Name      string // its place in the archive, e.g. usage/date=2026-01-01/….parquet
	Staged    string // where it waits until it is published
	Dataset   schemas.Topic
	Day       schemas.Day
	Partition schemas.Partition // of the log its rows came from
	First     int64             // least and greatest offset in it
	Last      int64
	Rows      int64
	Bytes     int64
	SHA256    [32]byte
	MinTime   int64 // event time, µs
	MaxTime   int64
	MaxLog    int64 // greatest log_time, µs
}

// StageFile is a file to be written: the rows of one date.
type StageFile struct {
	Rows   *Rows
	Day    DayRows
	Source schemas.Partition // of the log
	Epoch  int64             // of the partition's owner; of a merged file the token of the job's lease
	Random string            // chosen anew for each epoch: letters a-z and digits
	Merged bool              // a job made it of other files
}

// Stage writes a file where no reader looks. When it returns nil the file is
// durable; when it fails the staged name may exist, in whole or in part, and
// Discard removes it.
func (a *Archive) Stage(ctx context.Context, f StageFile) (FileInfo, error) {
	d := &f.Day
	info := FileInfo{Dataset: f.Rows.Dataset, Day: d.Day, Partition: f.Source, First: d.First, Last: d.Last,
		Rows: int64(len(d.Index)), MinTime: d.MinTime, MaxTime: d.MaxTime, MaxLog: d.MaxLog}
	name := FileName
	if f.Merged {
		name = MergedName
	}
	info.Name, info.Staged = name(info.Dataset, d.Day, f.Source, f.Epoch, f.Random, d.First)
	if !isStaged(info.Staged) {
		return FileInfo{}, fmt.Errorf("stage: %q is no name of a staged file", info.Staged)
	}
	hash := sha256.New()
	err := a.bucket.Put(ctx, info.Staged, func(out io.Writer) error {
		w := a.writers.Get().(*Writer)
		defer a.writers.Put(w)
		hash.Reset()
		counted := &countWriter{}
		err := w.Write(io.MultiWriter(out, hash, counted), f.Rows, d.Index)
		info.Bytes = counted.n
		return err
	})
	if err != nil {
		return FileInfo{}, fmt.Errorf("stage %s: %w", info.Staged, err)
	}
	hash.Sum(info.SHA256[:0])
	return info, nil
}

type countWriter struct{ n int64 }

func (c *countWriter) Write(b []byte) (int, error) {
	c.n += int64(len(b))
	return len(b), nil
}

// Publish moves a staged file into the archive; once it is there, nothing more
// is done. It uses Name and Staged only.
func (a *Archive) Publish(ctx context.Context, f FileInfo) error {
	if err := a.bucket.Move(ctx, f.Staged, f.Name); err != nil {
		return fmt.Errorf("publish %s: %w", f.Name, err)
	}
	return nil
}

// Finish publishes a committed file that its owner left staged, if it still is
// what was committed (ErrDamaged).
func (a *Archive) Finish(ctx context.Context, f FileInfo) error {
	is, _, err := a.Hash(ctx, f.Staged)
	if err != nil {
		return err
	}
	if is != f.SHA256 {
		return fmt.Errorf("the archive file %s was committed and is damaged: it is not what was written; "+
			"restore it from a backup of the archive under this name (%w)", f.Staged, ErrDamaged)
	}
	err = a.Publish(ctx, f)
	if errors.Is(err, fs.ErrExist) { // a power loss in the middle of the move left both names
		if is, _, hashErr := a.Hash(ctx, f.Name); hashErr == nil && is == f.SHA256 {
			return a.Discard(ctx, f.Staged)
		}
	}
	return err
}

// Staged lists the staged files of a partition, of every epoch.
func (a *Archive) Staged(ctx context.Context, src schemas.Partition) ([]string, error) {
	var names []string
	prefix := fmt.Sprintf("%s%s-%d-", stagingFolder, src.Topic, src.ID)
	err := a.bucket.List(ctx, prefix, "", func(name string, _ int64) error {
		if id, err := parseStaged(name); err == nil && id.src == src {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list staged files of %s/%d: %w", src.Topic, src.ID, err)
	}
	return names, nil
}

// StagedMerged lists the staged files that jobs made of others.
func (a *Archive) StagedMerged(ctx context.Context) ([]string, error) {
	return a.list(ctx, stagingFolder+mergedPrefix, func(name string) bool {
		_, _, err := ParseMerged(name)
		return err == nil
	})
}

// PublishedMerged lists the published files of a dataset that jobs made of others.
func (a *Archive) PublishedMerged(ctx context.Context, dataset schemas.Topic) ([]string, error) {
	return a.list(ctx, string(dataset)+"/", IsMerged)
}

func (a *Archive) list(ctx context.Context, prefix string, wanted func(string) bool) (names []string, err error) {
	err = a.bucket.List(ctx, prefix, "", func(name string, _ int64) error {
		if wanted(name) {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return names, nil
}

// RemovePublished deletes a published file for good; one that is gone is no error.
func (a *Archive) RemovePublished(ctx context.Context, name string) error {
	if _, _, _, _, err := ParseFinal(name); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	if err := a.bucket.Delete(ctx, name); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	return nil
}

// AnyPlace calls use with the names that a committed file may be found under: its
// place, where it waits to be published, and its place again, since it may have
// been published in between. It ends at the first that is there; fs.ErrNotExist
// tells that it is gone.
func AnyPlace(final, staged string, use func(name string) error) (err error) {
	for _, name := range []string{final, staged, final} {
		if name == "" {
			continue
		}
		if err = use(name); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return err
}

// isStaged: the name is one of a staged file, of a partition or a job.
func isStaged(name string) bool {
	_, err := parseStaged(name)
	return err == nil || mergedPattern.MatchString(name)
}

// Discard removes a staged file; one that is gone is no error. It refuses
// published names.
func (a *Archive) Discard(ctx context.Context, staged string) error {
	if !isStaged(staged) {
		return fmt.Errorf("discard: %q is no name of a staged file", staged)
	}
	if err := a.bucket.Delete(ctx, staged); err != nil {
		return fmt.Errorf("discard %s: %w", staged, err)
	}
	return nil
}

// Quarantine moves a file to _quarantine/, where no reader looks, under the
// name that it has. Repeating it returns nil.
func (a *Archive) Quarantine(ctx context.Context, name string) error {
	if strings.HasPrefix(name, quarantineFolder) {
		return fmt.Errorf("quarantine %s: it is there already", name)
	}
	if err := a.bucket.Move(ctx, name, quarantineFolder+name); err != nil {
		return fmt.Errorf("quarantine %s: %w", name, err)
	}
	return nil
}

// Exists reports whether a file is there.
func (a *Archive) Exists(ctx context.Context, name string) (bool, error) {
	f, err := a.bucket.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", name, err)
	}
	return true, f.Close()
}

// OpenFile opens a file as it is stored; fs.ErrNotExist where there is none.
func (a *Archive) OpenFile(ctx context.Context, name string) (File, error) {
	f, err := a.bucket.Open(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return f, nil
}

// hashBlock is read at a time: on an object store each read is a request.
const hashBlock = 4 << 20

// Hash is the SHA-256 and the size of a file as it is stored.
func (a *Archive) Hash(ctx context.Context, name string) (sum [32]byte, size int64, err error) {
	f, err := a.OpenFile(ctx, name)
	if err != nil {
		return sum, 0, err
	}
	defer f.Close()
	hash := sha256.New()
	if size, err = io.CopyBuffer(hash, io.NewSectionReader(f, 0, f.Size()), make([]byte, min(f.Size()+1, hashBlock))); err != nil {
		return sum, 0, fmt.Errorf("hash %s: %w", name, err)
	}
	hash.Sum(sum[:0])
	return sum, size, nil
}
