package mailtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"time"
)

func (p *Provider) startHTTP() {
	path := map[string]string{"mailgun": "/v3/mg.example.com/messages", "mandrill": "/api/1.0/messages/send.json"}[p.Type]
	switch p.behaviours[0].Kind {
	case "refused":
		p.URL = "http://" + closedPort(p.t) + path
	case "dns_failure":
		p.URL = "http://does-not-exist.invalid" + path
	case "tls_hang":
		l := p.listen()
		go p.acceptAndHang(l)
		p.URL = "https://" + l.Addr().String() + path
	default:
		s := httptest.NewUnstartedServer(http.HandlerFunc(p.serveHTTP))
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // untrusted TLS is meant to fail
		if p.behaviours[0].Kind == "tls_untrusted" {
			s.StartTLS()
		} else {
			s.Start()
		}
		p.t.Cleanup(func() {
			s.CloseClientConnections()
			s.Close()
		})
		p.URL = s.URL + path
	}
}

func (p *Provider) acceptAndHang(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		p.t.Cleanup(func() { c.Close() })
	}
}

func (p *Provider) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	b := p.next()
	c := callOf(p.Type, r, body)
	c.Taken = b.Kind == "http" && b.Status == http.StatusOK
	p.record(c)
	if b.DelayMS > 0 && !p.wait(time.Duration(b.DelayMS)*time.Millisecond) {
		return
	}
	switch b.Kind {
	case "http":
		for name, value := range b.Headers {
			w.Header().Set(name, p.fill(value))
		}
		w.WriteHeader(b.Status)
		io.WriteString(w, p.fill(b.Body))
	case "timeout_after_body":
		select {
		case <-r.Context().Done():
		case <-p.stop:
		}
	case "reset_after_body":
		p.hijack(w, func(c *net.TCPConn) { c.SetLinger(0) })
	case "truncated":
		p.hijack(w, func(c *net.TCPConn) {
			fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\n", b.Status, http.StatusText(b.Status), len(b.Body)+100)
			for name, value := range b.Headers {
				fmt.Fprintf(c, "%s: %s\r\n", name, value)
			}
			fmt.Fprintf(c, "\r\n%s", b.Body)
		})
	default:
		p.t.Errorf("behaviour %q is not known of %s", b.Kind, p.Type)
	}
}

// hijack does the last thing on a connection, and closes it.
func (p *Provider) hijack(w http.ResponseWriter, last func(c *net.TCPConn)) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		p.t.Error(err)
		return
	}
	last(c.(*net.TCPConn))
	c.Close()
}

// callOf reads what our service sends as each provider expects it.
func callOf(kind string, r *http.Request, body []byte) Call {
	c := Call{Header: r.Header, Body: body}
	if kind == "mailgun" {
		c.Fields, _ = url.ParseQuery(string(body))
		c.OutboxID = url.Values(c.Fields).Get("v:outbox_id")
		c.HeaderID = url.Values(c.Fields).Get("h:Message-Id")
		return c
	}
	var m struct {
		Message struct {
			Headers  map[string]string
			Metadata map[string]string
		}
	}
	json.NewDecoder(bytes.NewReader(body)).Decode(&m)
	c.OutboxID, c.HeaderID = m.Message.Metadata["outbox_id"], m.Message.Headers["Message-Id"]
	return c
}
