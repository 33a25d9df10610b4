package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Free is how many bytes may still be written to the disk that dir is on.
func Free(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

// LogFiles are the files of the broker in dir, in the order in which they are to
// be copied while it runs: a segment before its index, which kfake writes in the
// other order, so that no batch of the copy lacks its entry. Such a copy is what a
// crash leaves. Files may be gone by the time they are opened: those were trimmed.
func LogFiles(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		// kfake's snapshot is of a broker that was closed.
		if name := e.Name(); !e.Type().IsRegular() || name == "LOCK" || name == trimLock || name == "snapshot.json" || strings.HasSuffix(name, ".tmp") {
			return nil
		}
		name, err := filepath.Rel(dir, path)
		names = append(names, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the log in %s: %w", dir, err)
	}
	slices.SortStableFunc(names, func(a, b string) int { return strings.Compare(filepath.Ext(a), filepath.Ext(b)) }) // .dat, .idx
	return names, nil
}
