package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"strings"
	"sync/atomic"

	"github.com/wneessen/go-mail/smtp"
)

// smtpRelay hands mails to an SMTP server, one connection a mail. smtp:// goes
// over to TLS where the server offers it, smtps:// begins with it. Credentials
// are sent over TLS or to this machine only.
type smtpRelay struct {
	addr, host     string
	user, password string
	tls            bool
	localName      string
	roots          *x509.CertPool // nil: the system's
}

func newSMTPRelay(rawURL string) (*smtpRelay, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("its url is not a URL")
	}
	r := &smtpRelay{host: u.Hostname(), tls: u.Scheme == "smtps", user: u.User.Username(), localName: ownName()}
	r.password, _ = u.User.Password()
	port := u.Port()
	switch {
	case port != "":
	case r.tls:
		port = "465"
	case r.user != "":
		port = "587"
	default:
		port = "25"
	}
	r.addr = net.JoinHostPort(r.host, port)
	return r, nil
}

// ownName is what we call ourselves to a server: the name of this machine, where
// it is one that servers take.
func ownName() string {
	if name, err := os.Hostname(); err == nil && validDomain(name) {
		return name
	}
	return "localhost"
}

// stage is how far the conversation came: the command that the answer is to.
type stage int

const (
	stageConnect stage = iota
	stageHello
	stageAuth
	stageMail
	stageRcpt
	stageData
	stageDot // all of the mail is on its way, the final dot included
)

var stageNames = [...]string{"connecting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "the mail"}

func (s stage) String() string { return stageNames[s] }

// maxSaid is what a server may say in one conversation; its library reads lines
// and replies of any length.
const maxSaid = 1 << 20

var errSaidTooMuch = fmt.Errorf("it said more than %d bytes", maxSaid)

// watchedConn knows whether all that was written went out, and does not listen
// for ever.
type watchedConn struct {
	net.Conn
	failed atomic.Bool
	said   int
}

func (c *watchedConn) Read(b []byte) (int, error) {
	if c.said > maxSaid {
		return 0, errSaidTooMuch
	}
	n, err := c.Conn.Read(b)
	c.said += n
	return n, err
}

func (c *watchedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

func (p *smtpRelay) send(ctx context.Context, m *message) Outcome {
	text, err := m.mime()
	if err != nil {
		return Outcome{Class: Payload, Message: clip(err.Error())}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
	if err != nil {
		return Outcome{Class: Provider, Message: wayError(err)}
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return Outcome{Class: Provider, Message: clip(err.Error())}
		}
	}
	at, said, err := p.talk(&watchedConn{Conn: conn}, m, text)
	if err != nil {
		return classifySMTP(at, err)
	}
	return Outcome{Class: OK, StatusCode: 250, Message: clip(said), MessageID: m.headerID}
}

// talk is the conversation; at is the stage that err belongs to.
func (p *smtpRelay) talk(conn *watchedConn, m *message, text []byte) (at stage, said string, err error) {
	var wire net.Conn = conn
	if p.tls {
		wire = tls.Client(conn, p.tlsConfig())
	}
	c, err := smtp.NewClient(wire, p.host)
	if err != nil {
		return stageConnect, "", err
	}
	if err := p.hello(c); err != nil {
		return stageHello, "", err
	}
	if p.user != "" {
		if err := c.Auth(p.auth(c)); err != nil {
			return stageAuth, "", err
		}
	}
	if err := c.Mail("<" + m.from.Address + ">"); err != nil {
		return stageMail, "", err
	}
	if err := c.Rcpt("<" + m.to.Address + ">"); err != nil {
		return stageRcpt, "", err
	}
	w, err := c.Data()
	if err != nil {
		return stageData, "", err
	}
	if _, err := w.Write(text); err != nil {
		return stageData, "", err
	}
	if err := w.Close(); err != nil {
		if conn.failed.Load() {
			return stageData, "", err // the dot never went out
		}
		return stageDot, "", err
	}
	if d, ok := w.(*smtp.DataCloser); ok {
		said = d.ServerResponse()
	}
	c.Text.Cmd("QUIT") // it is sent: what the server says to this changes nothing
	return stageDot, said, nil
}

func (p *smtpRelay) tlsConfig() *tls.Config {
	return &tls.Config{ServerName: p.host, MinVersion: tls.VersionTLS12, RootCAs: p.roots}
}

func (p *smtpRelay) hello(c *smtp.Client) error {
	if err := c.Hello(p.localName); err != nil {
		return err
	}
	if offered, _ := c.Extension("STARTTLS"); offered && !p.tls {
		return c.StartTLS(p.tlsConfig())
	}
	return nil
}

// auth takes LOGIN where the server knows that alone.
func (p *smtpRelay) auth(c *smtp.Client) smtp.Auth {
	_, mechanisms := c.Extension("AUTH")
	list := strings.Fields(strings.ToUpper(mechanisms))
	plain, login := false, false
	for _, m := range list {
		plain, login = plain || m == "PLAIN", login || m == "LOGIN"
	}
	if login && !plain {
		return smtp.LoginAuth(p.user, p.password, p.host, false)
	}
	return smtp.PlainAuth("", p.user, p.password, p.host, false)
}

// classifySMTP finds the class of what went wrong at a stage.
func classifySMTP(at stage, err error) Outcome {
	var said *textproto.Error
	if !errors.As(err, &said) {
		return classifySMTPSilence(at, err)
	}
	o := Outcome{StatusCode: said.Code, Temporary: said.Code >= 400 && said.Code < 500, Message: clip(fmt.Sprintf("%v: %d %s", at, said.Code, said.Msg))}
	o.Class = classifySMTPReply(at, said.Code, said.Msg)
	return o
}

func classifySMTPReply(at stage, code int, text string) Class {
	permanent := code >= 500 && code < 600
	switch {
	case code == 421 && containsAny(text, "not allowed to send"):
		return Configuration
	case code == 530 || code == 534 || code == 535:
		return Configuration
	case at == stageMail && permanent && saysPolicy(text):
		return Configuration
	case at == stageAuth && permanent:
		return Configuration
	case at == stageConnect || at == stageHello:
		return Provider
	case at == stageRcpt && permanent:
		return Recipient
	case at == stageRcpt && code >= 400 && code < 500:
		return Transient
	case (at == stageData || at == stageDot) && permanent:
		return Payload
	case permanent:
		return Unclassified
	case at == stageDot && (code < 400 || code >= 600):
		return Ambiguous // no reply that this place allows
	}
	return Provider
}

// saysPolicy finds the enhanced code 5.7.x, which not every server puts on each
// line of its reply.
func saysPolicy(text string) bool {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "5.7.") {
			return true
		}
	}
	return false
}

// classifySMTPSilence: no answer came, or none that is SMTP.
func classifySMTPSilence(at stage, err error) Outcome {
	if errors.Is(err, smtp.ErrUnencrypted) {
		return Outcome{Class: Configuration, Message: "the server offers no TLS, and credentials are not sent without"}
	}
	o := Outcome{Class: Provider, Message: fmt.Sprintf("%v: %s", at, wayError(err))}
	if at == stageDot {
		o.Class = Ambiguous
		o.Message = "the mail was sent, no answer came: " + wayError(err)
	}
	return o
}
