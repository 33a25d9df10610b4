package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lockData makes this process the only one that writes to the data folder. The
// lock goes with the process, however it ends.
func lockData(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	path := lockPath(dir)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data folder %s must be writable: %w", dir, err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		process, _ := readLock(f)
		f.Close()
		return nil, fmt.Errorf("data folder %s is in use by another tallybook (process %s); stop it, or name another folder with --data",
			dir, process)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return func() { f.Close() }, nil
}

func lockPath(dir string) string { return filepath.Join(dir, "LOCK") }

// noteBroker writes into the lock, which this process has, where its broker
// listens: commands beside it find it there, whatever port it was given.
func noteBroker(dir, addr string) error {
	if err := os.WriteFile(lockPath(dir), fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), addr), 0o644); err != nil {
		return fmt.Errorf("note the broker's address: %w", err)
	}
	return nil
}

// lockHolder is the process that has the data folder, "" where there is none, and
// where its broker listens: "" where it has none, or none yet.
func lockHolder(dir string) (process, broker string) {
	f, err := os.Open(lockPath(dir))
	if err != nil {
		return "", ""
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		return "", ""
	}
	process, broker = readLock(f)
	return cmp.Or(process, "unknown"), broker
}

// readLock reads what the holder wrote; of a lock just taken there may be nothing.
func readLock(f *os.File) (process, broker string) {
	text, _ := io.ReadAll(io.LimitReader(f, 512)) // a number and an address
	process, broker, _ = strings.Cut(string(text), "\n")
	return process, strings.TrimSpace(broker)
}
