package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"net"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// relayServer is an SMTP server with TLS, as far as these tests go; it returns
// what was said to it.
func relayServer(t *testing.T, implicit bool, auth string) (addr string, roots *x509.CertPool, said chan []string) {
	t.Helper()
	web := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1
	t.Cleanup(web.Close)
	roots = x509.NewCertPool()
	roots.AddCert(web.Certificate())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	said = make(chan []string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if implicit {
			conn = tls.Server(conn, web.TLS)
		}
		said <- relayTalk(conn, web.TLS, implicit, auth)
	}()
	return l.Addr().String(), roots, said
}

func relayTalk(conn net.Conn, config *tls.Config, secure bool, auth string) (said []string) {
	text := textproto.NewConn(conn)
	text.PrintfLine("220 relay")
	for {
		line, err := text.ReadLine()
		if err != nil {
			return said
		}
		said = append(said, line)
		switch verb, _, _ := strings.Cut(line, " "); verb {
		case "EHLO":
			text.PrintfLine("250-relay")
			if !secure {
				text.PrintfLine("250-STARTTLS")
			}
			text.PrintfLine("250 AUTH %s", auth)
		case "STARTTLS":
			text.PrintfLine("220 go on")
			secure = true
			text = textproto.NewConn(tls.Server(conn, config))
		case "AUTH":
			if line == "AUTH LOGIN" {
				for _, prompt := range []string{"Username:", "Password:"} {
					text.PrintfLine("334 %s", base64.StdEncoding.EncodeToString([]byte(prompt)))
					word, _ := text.ReadLine()
					clear, _ := base64.StdEncoding.DecodeString(word)
					said = append(said, string(clear))
				}
			}
			text.PrintfLine("235 welcome")
		case "DATA":
			text.PrintfLine("354 go on")
			text.ReadDotBytes()
			text.PrintfLine("250 2.0.0 queued")
		case "QUIT":
			return said
		default:
			text.PrintfLine("250 ok")
		}
	}
}

func sendBy(t *testing.T, p *smtpRelay) Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return p.send(ctx, messageOf(t, hardMails()["dots"]))
}

func TestSMTPOverTLS(t *testing.T) {
	plain := base64.StdEncoding.EncodeToString([]byte("\x00user\x00secret"))
	for _, c := range []struct{ scheme, auth, want string }{
		{"smtp", "PLAIN LOGIN", "EHLO localhost|STARTTLS|EHLO localhost|AUTH PLAIN " + plain + "|MAIL FROM:<noreply@mg.example.com>|RCPT TO:<ann@example.net>|DATA|QUIT"},
		{"smtp", "LOGIN", "EHLO localhost|STARTTLS|EHLO localhost|AUTH LOGIN|user|secret|MAIL FROM:<noreply@mg.example.com>|RCPT TO:<ann@example.net>|DATA|QUIT"},
		{"smtps", "PLAIN", "EHLO localhost|AUTH PLAIN " + plain + "|MAIL FROM:<noreply@mg.example.com>|RCPT TO:<ann@example.net>|DATA|QUIT"},
	} {
		addr, roots, said := relayServer(t, c.scheme == "smtps", c.auth)
		p, err := newSMTPRelay(c.scheme + "://user:secret@" + addr)
		if err != nil {
			t.Fatal(err)
		}
		p.roots, p.localName = roots, "localhost"
		if o := sendBy(t, p); o.Class != OK || o.MessageID == "" {
			t.Errorf("%s %s: got %+v, want ok", c.scheme, c.auth, o)
		}
		if got := strings.Join(<-said, "|"); got != c.want {
			t.Errorf("%s %s:\nsaid %s\nwant %s", c.scheme, c.auth, got, c.want)
		}
	}
}

// A server whose certificate nobody vouches for gets neither mail nor password.
func TestSMTPUntrusted(t *testing.T) {
	for _, scheme := range []string{"smtp", "smtps"} {
		addr, _, said := relayServer(t, scheme == "smtps", "PLAIN")
		p, err := newSMTPRelay(scheme + "://user:secret@" + addr)
		if err != nil {
			t.Fatal(err)
		}
		if o := sendBy(t, p); o.Class != Provider || !strings.Contains(o.Message, "certificate") {
			t.Errorf("%s: got %+v, want provider", scheme, o)
		}
		for _, line := range <-said {
			if strings.HasPrefix(line, "AUTH") || strings.HasPrefix(line, "MAIL") {
				t.Errorf("%s: said %q to a server that is not trusted", scheme, line)
			}
		}
	}
}

// Credentials do not cross a network in clear.
func TestSMTPNoPasswordInClear(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	heard := make(chan []string, 1)
	go func() {
		defer server.Close()
		heard <- relayTalk(server, nil, true, "PLAIN") // secure: it offers no STARTTLS
	}()
	p := &smtpRelay{host: "mail.example.com", user: "user", password: "secret", localName: "localhost"}
	at, _, err := p.talk(&watchedConn{Conn: client}, messageOf(t, hardMails()["plain"]), nil)
	if err == nil {
		t.Fatal("sent")
	}
	if o := classifySMTP(at, err); o.Class != Configuration || !strings.Contains(o.Message, "no TLS") {
		t.Errorf("got %+v, want configuration", o)
	}
	client.Close()
	for _, line := range <-heard {
		if strings.HasPrefix(line, "AUTH") {
			t.Errorf("said %q", line)
		}
	}
}

// A connection that breaks while the mail is being written: the final dot did
// not go out, so that the mail is with nobody. A short mail is written with the
// dot, a long one before it.
func TestSMTPBreaksInTheMail(t *testing.T) {
	for _, name := range []string{"plain", "long line"} {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			text := textproto.NewConn(server)
			text.PrintfLine("220 relay")
			for _, reply := range []string{"250 relay", "250 ok", "250 ok", "354 go on"} {
				text.ReadLine()
				text.PrintfLine("%s", reply)
			}
		}()
		p := &smtpRelay{host: "relay", localName: "localhost"}
		m := messageOf(t, hardMails()[name])
		text, err := m.mime()
		if err != nil {
			t.Fatal(err)
		}
		at, _, err := p.talk(&watchedConn{Conn: client}, m, text)
		if err == nil || classifySMTP(at, err).Class != Provider {
			t.Errorf("%s, %d bytes, at %v: %v, want provider", name, len(text), at, err)
		}
	}
}
