package mail

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func sendMailgun(t *testing.T, url string, client *http.Client, timeout time.Duration) Outcome {
	t.Helper()
	p := &mailgun{url, "key-of-a-test", client, time.Now}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return p.send(ctx, messageOf(t, hardMails()["plain"]))
}

// brittleConn cannot be written to once its switch is on.
type brittleConn struct {
	net.Conn
	broken *atomic.Bool
}

func (c brittleConn) Write(b []byte) (int, error) {
	if c.broken.Load() {
		return 0, errors.New("broken pipe")
	}
	return c.Conn.Write(b)
}

// A kept connection turns out to be dead when nothing is written yet, and the
// provider takes no other one: nobody has the mail, so that it is no duplicate.
func TestDeadConnectionThenRefused(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"id": "<1@mg.example.com>", "message": "Queued."}`)
	}))
	defer s.Close()
	var broken atomic.Bool
	client := newHTTPClient()
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if broken.Load() {
			return nil, errors.New("connection refused")
		}
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return brittleConn{c, &broken}, err
	}
	defer client.CloseIdleConnections()
	if o := sendMailgun(t, s.URL, client, 10*time.Second); o.Class != OK {
		t.Fatalf("got %+v", o)
	}
	broken.Store(true)
	if o := sendMailgun(t, s.URL, client, 10*time.Second); o.Class != Provider || !strings.Contains(o.Message, "refused") {
		t.Errorf("got %+v, want provider, refused", o)
	}
}

// Over HTTP/2, which providers speak, a request that was written is known as such too.
func TestHTTP2(t *testing.T) {
	stop := make(chan struct{})
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		want   Class
	}{
		"good": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, `{"id": "<1@mg.example.com>"}`) }, OK},
		"hangs": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			<-stop
		}, Ambiguous},
		"resets": {func(_ http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}, Ambiguous},
		"cut": {func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"id": "<1@`)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, Ambiguous},
		"503": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, Provider},
	} {
		var major atomic.Int32
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			major.Store(int32(r.ProtoMajor))
			c.handle(w, r)
		}))
		s.EnableHTTP2 = true
		s.StartTLS()
		t.Cleanup(s.Close)
		client := newHTTPClient()
		client.Transport.(*http.Transport).TLSClientConfig = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		timeout := 10 * time.Second
		if name == "hangs" {
			timeout = 500 * time.Millisecond
		}
		if o := sendMailgun(t, s.URL, client, timeout); o.Class != c.want || major.Load() != 2 {
			t.Errorf("%s: got %+v over HTTP/%d, want %s over HTTP/2", name, o, major.Load(), c.want)
		}
	}
	close(stop)
}

// A server that never ends a line, or a reply, does not fill the memory.
func TestSMTPServerTalksForEver(t *testing.T) {
	for _, part := range []string{"220", "220-and so on\r\n"} {
		client, server := net.Pipe()
		said := make(chan int)
		go func() {
			n, block := 0, []byte(strings.Repeat(part, 4096/len(part)))
			for {
				m, err := server.Write(block)
				if n += m; err != nil {
					said <- n
					return
				}
			}
		}()
		p := &smtpRelay{host: "relay", localName: "localhost"}
		at, _, err := p.talk(&watchedConn{Conn: client}, messageOf(t, hardMails()["plain"]), nil)
		client.Close()
		if err == nil || classifySMTP(at, err).Class != Provider {
			t.Errorf("at %v: %T, want provider", at, err)
		}
		if n := <-said; n > maxSaid+1<<16 {
			t.Errorf("%d bytes were read", n)
		}
	}
}
