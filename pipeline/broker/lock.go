package broker

import (
	"errors"
	"fmt"
	"os"
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
		return nil, fmt.Errorf("%s is held: another process runs a broker on this data folder", path)
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}
