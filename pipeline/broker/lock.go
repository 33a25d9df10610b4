package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// lock takes the file for this process; the system frees it when the file is
// closed or the process ends, however it ends.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the broker's data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s is held: another process runs a broker on this data folder (%w)", path, err)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// KeepLog keeps the log of the broker in dir, which may run, from being trimmed
// until release is called or the process ends. Meanwhile the log grows.
func KeepLog(dir string) (release func() error, err error) {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil // no log
	}
	f, err := os.OpenFile(filepath.Join(dir, trimLock), os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("keep the log: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH); err != nil { // a trim under way takes an instant
		return nil, errors.Join(fmt.Errorf("keep the log: lock %s: %w", f.Name(), err), f.Close())
	}
	return f.Close, nil
}

// trimLock is held by who trims, or by those who want the log kept.
const trimLock = "TRIM"
