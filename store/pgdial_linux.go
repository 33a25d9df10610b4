package store

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// cutUnanswered ends a connection whose sent bytes nobody acknowledges: without
// it Linux tries for a quarter of an hour.
func cutUnanswered(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(silence.Milliseconds()))
	}); e != nil {
		return e
	}
	if err == unix.ENOPROTOOPT || err == unix.EOPNOTSUPP { // a Unix socket
		return nil
	}
	return err
}
