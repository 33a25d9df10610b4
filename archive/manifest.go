package archive

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"tallybook/schemas"
)

// ManifestFormat is what a Manifest says it is.
const ManifestFormat = "tallybook.manifest/1"

// Manifest lists the files of a dataset and date that together hold every row of
// it below the positions, once.
type Manifest struct {
	Format    string           `json:"format"`
	Dataset   schemas.Topic    `json:"dataset"`
	Date      string           `json:"date"`
	WrittenAt time.Time        `json:"written_at"`
	Rows      int64            `json:"rows"`
	Positions map[string]int64 `json:"positions"` // by "topic/partition": the next offset
	Files     []ManifestFile   `json:"files"`
}

// ManifestFile is a file beside the manifest.
type ManifestFile struct {
	Name        string        `json:"name"` // within the folder
	Rows        int64         `json:"rows"`
	Bytes       int64         `json:"bytes"`
	SHA256      string        `json:"sha256"`
	Topic       schemas.Topic `json:"topic"` // of the log; with the partition and the range of its offsets
	Partition   int32         `json:"partition"`
	FirstOffset int64         `json:"first_offset"`
	LastOffset  int64         `json:"last_offset"`
}

// NewManifest is of the live files of a date.
func NewManifest(dataset schemas.Topic, day schemas.Day, files []FileInfo) *Manifest {
	m := &Manifest{Format: ManifestFormat, Dataset: dataset, Date: day.String(), Positions: map[string]int64{}, Files: []ManifestFile{}}
	for i := range files {
		f := &files[i]
		m.Rows += f.Rows
		m.Files = append(m.Files, ManifestFile{path.Base(f.Name), f.Rows, f.Bytes, hex.EncodeToString(f.SHA256[:]),
			f.Partition.Topic, f.Partition.ID, f.First, f.Last})
	}
	return m
}

// ManifestName is where the manifest of a date is.
func ManifestName(dataset schemas.Topic, day schemas.Day) string {
	return fmt.Sprintf("%s/date=%s/manifest.json", dataset, day)
}

// WriteManifest puts a manifest in place of the one that is there. Readers see
// the one or the other.
func (a *Archive) WriteManifest(ctx context.Context, day schemas.Day, m *Manifest) error {
	text, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	name := ManifestName(m.Dataset, day)
	err = a.bucket.Put(ctx, name, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// ReadManifest reads the manifest of a date; fs.ErrNotExist, ErrDamaged.
func (a *Archive) ReadManifest(ctx context.Context, dataset schemas.Topic, day schemas.Day) (*Manifest, error) {
	f, err := a.OpenFile(ctx, ManifestName(dataset, day))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := make([]byte, f.Size())
	if n, err := f.ReadAt(text, 0); n < len(text) && err != nil {
		return nil, fmt.Errorf("read %s: %w", ManifestName(dataset, day), err)
	}
	var m Manifest
	if err := json.Unmarshal(text, &m); err != nil || m.Format != ManifestFormat {
		return nil, fmt.Errorf("%w: %s is no manifest (format %q, %v)", ErrDamaged, ManifestName(dataset, day), m.Format, err)
	}
	return &m, nil
}

// RemoveManifest removes that of a date which has no files any more.
func (a *Archive) RemoveManifest(ctx context.Context, dataset schemas.Topic, day schemas.Day) error {
	if err := a.bucket.Delete(ctx, ManifestName(dataset, day)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", ManifestName(dataset, day), err)
	}
	return nil
}

// PublishedOn lists the published files of a dataset and date.
func (a *Archive) PublishedOn(ctx context.Context, dataset schemas.Topic, day schemas.Day) (map[string]bool, error) {
	names, err := a.list(ctx, fmt.Sprintf("%s/date=%s/", dataset, day), finalPattern.MatchString)
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	return there, err
}
