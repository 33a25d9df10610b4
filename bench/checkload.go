package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// checkConn is a keep-alive connection that asks one thing after the other.
// net/http's client would take more of the two cores than the service.
type checkConn struct {
	net.Conn
	buf []byte
}

func dialChecks(addr string) (*checkConn, error) {
	conn, err := net.Dial("tcp", addr)
	return &checkConn{conn, make([]byte, 1<<20)}, err // a batch's answer has 200 KB
}

// answer is the body of the next answer, which must be a 200 with a length; it
// is good until the one after.
func (c *checkConn) answer() ([]byte, error) {
	for n := 0; ; {
		more, err := c.Read(c.buf[n:])
		if err != nil {
			return nil, err
		}
		n += more
		head, body, whole := bytes.Cut(c.buf[:n], []byte("\r\n\r\n"))
		if !whole {
			continue
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) {
			return nil, fmt.Errorf("answer: %s", c.buf[:n])
		}
		_, length, ok := bytes.Cut(head, []byte("\r\nContent-Length: "))
		length, _, _ = bytes.Cut(length, []byte("\r\n"))
		size, err := strconv.Atoi(string(length))
		switch {
		case !ok || err != nil || len(head)+4+size > len(c.buf):
			return nil, fmt.Errorf("answer without a good length: %s", head)
		case len(body) == size:
			return body, nil
		}
	}
}

func (c *checkConn) ask(request []byte) ([]byte, error) {
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	return c.answer()
}

func allowed(body []byte, err error) error {
	if err == nil && !bytes.Contains(body, []byte(`"allowed":true`)) {
		err = fmt.Errorf("refused: %s", body)
	}
	return err
}

// checkLoad asks the requests in turn on several connections.
type checkLoad struct {
	addr        string
	requests    [][]byte
	connections int
	lasts       time.Duration
}

func (l *checkLoad) dial() (conns []*checkConn, hangUp func(), err error) {
	hangUp = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range l.connections {
		c, err := dialChecks(l.addr)
		if err != nil {
			hangUp()
			return nil, nil, err
		}
		conns = append(conns, c)
	}
	return conns, hangUp, nil
}

// closed asks as fast as answers come.
func (l *checkLoad) closed() (CollectorResult, error) {
	conns, hangUp, err := l.dial()
	if err != nil {
		return CollectorResult{}, err
	}
	defer hangUp()
	took, errs := make([][]time.Duration, len(conns)), make([]error, len(conns))
	began := time.Now()
	var running sync.WaitGroup
	for i, c := range conns {
		running.Go(func() {
			at := began
			for n := i; at.Sub(began) < l.lasts && errs[i] == nil; n++ {
				errs[i] = allowed(c.ask(l.requests[n%len(l.requests)]))
				now := time.Now()
				took[i] = append(took[i], now.Sub(at))
				at = now
			}
		})
	}
	running.Wait()
	return latencies(slices.Concat(took...), time.Since(began)), errors.Join(errs...)
}

// open asks at rate a second whether answers come or not; latency counts from
// when a request was due, also where no connection was free then.
func (l *checkLoad) open(rate int) (CollectorResult, error) {
	type asked struct {
		*checkConn
		due chan time.Time
	}
	conns, hangUp, err := l.dial()
	if err != nil {
		return CollectorResult{}, err
	}
	defer hangUp()
	free := make(chan *asked, len(conns))
	took, errs := make([][]time.Duration, len(conns)), make([]error, len(conns))
	var running sync.WaitGroup
	var all []*asked
	for i, c := range conns {
		a := &asked{c, make(chan time.Time, 1)}
		all = append(all, a)
		free <- a
		running.Go(func() {
			for due := range a.due {
				if errs[i] == nil {
					errs[i] = allowed(a.answer())
				}
				took[i] = append(took[i], time.Since(due))
				free <- a
			}
		})
	}
	began := time.Now()
	for n := range int(l.lasts.Seconds() * float64(rate)) {
		due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
		time.Sleep(time.Until(due))
		a := <-free
		a.due <- due
		if _, err = a.Write(l.requests[n%len(l.requests)]); err != nil {
			hangUp() // who waits for an answer stops
			break
		}
	}
	for _, a := range all {
		close(a.due)
	}
	running.Wait()
	return latencies(slices.Concat(took...), time.Since(began)), errors.Join(append(errs, err)...)
}

func latencies(took []time.Duration, wall time.Duration) CollectorResult {
	if len(took) == 0 {
		return CollectorResult{Wall: wall}
	}
	slices.Sort(took)
	return CollectorResult{Events: int64(len(took)), Wall: wall, P50: took[len(took)/2], P99: took[len(took)*99/100]}
}
