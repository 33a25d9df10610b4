package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// listener hands kfake connections whose requests were checked, and reports the
// address to advertise.
type listener struct {
	net.Listener
	addr     net.Addr
	maxFrame int
	taken    atomic.Bool
	ready    chan struct{} // closed when topics exist and the refusals hold
}

type advertised string

func (advertised) Network() string  { return "tcp" }
func (a advertised) String() string { return string(a) }

func listen(cfg Config) (*listener, error) {
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("--kafka-listen %s: must be host:port: %w", cfg.Listen, err)
	}
	ip := net.ParseIP(host)
	if cfg.Advertise == "" && (host == "" || ip != nil && ip.IsUnspecified()) {
		return nil, fmt.Errorf("--kafka-listen %s: a wildcard address needs an advertised host:port that clients can come back to", cfg.Listen)
	}
	tcp, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("--kafka-listen %s: %w", cfg.Listen, err)
	}
	ln := &listener{Listener: tcp, addr: tcp.Addr(), maxFrame: max(32<<20, 2*cfg.MaxMessageBytes), ready: make(chan struct{})}
	switch {
	case cfg.Advertise != "":
		ln.addr = advertised(cfg.Advertise)
	case ip == nil: // a name stays a name: it may be the one that clients know
		_, port, _ := net.SplitHostPort(tcp.Addr().String())
		ln.addr = advertised(net.JoinHostPort(host, port))
	}
	return ln, nil
}

// once is kfake's listen function for the one broker.
func (l *listener) once(network, address string) (net.Listener, error) {
	if l.taken.Swap(true) {
		return nil, errors.New("one broker only")
	}
	return l, nil
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) Accept() (net.Conn, error) {
	<-l.ready
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guarded{Conn: conn, in: bufio.NewReaderSize(conn, 32<<10), maxFrame: l.maxFrame}, nil
}

// guarded follows the frames of the requests (Kafka protocol guide: size, key,
// version) and ends the connection at one that kfake could not survive.
type guarded struct {
	net.Conn
	in       *bufio.Reader
	maxFrame int
	left     int // bytes of the current frame not yet read, its size field included
}

func (c *guarded) Read(p []byte) (int, error) {
	if c.left == 0 {
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n, err := c.in.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// next looks at the size, the key and the version of a new frame.
func (c *guarded) next() error {
	head, err := c.in.Peek(12)
	if err != nil {
		return err
	}
	size := int(binary.BigEndian.Uint32(head))
	key := int16(binary.BigEndian.Uint16(head[4:]))
	version := int16(binary.BigEndian.Uint16(head[6:]))
	if size < 8 || size > c.maxFrame {
		return fmt.Errorf("a request of %d bytes; at most %d are taken", size, c.maxFrame)
	}
	if version < 0 || strings.HasPrefix(kmsg.NameForKey(key), "Unknown") {
		return fmt.Errorf("request key %d version %d is not Kafka's", key, version)
	}
	c.left = 4 + size
	return nil
}
