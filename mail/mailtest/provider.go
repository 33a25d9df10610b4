package mailtest

import (
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Behaviour is what a provider does with one call.
type Behaviour struct {
	Kind    string            `json:"kind"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	DelayMS int               `json:"delay_ms"`
	At      string            `json:"at"`    // smtp: BANNER, AUTH, MAIL, RCPT, DATA, EOD
	Reply   string            `json:"reply"` // smtp: a reply, HANG or DROP
}

// OKFor is the answer of a provider of a type to a mail that it takes.
func OKFor(kind string) Behaviour {
	headers := map[string]string{"Content-Type": "application/json"}
	switch kind {
	case "mailgun":
		return Behaviour{Kind: "http", Status: 200, Headers: headers, Body: `{"id": "<20190122000000.1@mg.example.com>", "message": "Queued. Thank you."}`}
	case "mandrill":
		return Behaviour{Kind: "http", Status: 200, Headers: headers,
			Body: `[{"email": "ann@example.net", "status": "sent", "_id": "abc123abc123abc123abc123abc123ab", "reject_reason": null}]`}
	}
	return Behaviour{Kind: "smtp", At: "EOD", Reply: "250 2.0.0 queued as Q1"}
}

// Call is what a provider was sent in one call.
type Call struct {
	OutboxID string // the id that our service gave it
	HeaderID string // Message-ID
	Header   map[string][]string
	Fields   map[string][]string // of a form
	Body     []byte              // as it came; SMTP: the mail
	From, To string              // SMTP: of the envelope
	Taken    bool                // the fake said that it has the mail
}

// Provider is a fake on a port of this machine.
type Provider struct {
	Type string
	URL  string
	Auth bool             // SMTP: offers AUTH PLAIN, and URL has credentials
	Now  func() time.Time // what {{unix now+15s}} means; nil: time.Now

	t          testing.TB
	mu         sync.Mutex
	behaviours []Behaviour
	calls      []Call
	stop       chan struct{}
}

// Start starts a provider of a type (mailgun, mandrill, smtp). Behaviours are used
// one a call, the last one repeats. It stops with the test.
func Start(t testing.TB, p *Provider, behaviours ...Behaviour) *Provider {
	t.Helper()
	if len(behaviours) == 0 {
		behaviours = []Behaviour{OKFor(p.Type)}
	}
	p.t, p.behaviours, p.stop = t, behaviours, make(chan struct{})
	if p.Now == nil {
		p.Now = time.Now
	}
	for _, b := range behaviours[1:] {
		if isSetUp(b.Kind) || isSetUp(behaviours[0].Kind) {
			t.Fatalf("behaviour %s is of the whole server, and cannot be one of several", b.Kind)
		}
	}
	if p.Type == "smtp" {
		p.startSMTP()
	} else {
		p.startHTTP()
	}
	t.Cleanup(func() { close(p.stop) }) // before the server is closed, which waits for its calls
	return p
}

func isSetUp(kind string) bool {
	return kind == "refused" || kind == "dns_failure" || kind == "tls_untrusted" || kind == "tls_hang"
}

// Behave changes what the provider does from the next call on.
func (p *Provider) Behave(behaviours ...Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.behaviours = behaviours
}

// next takes the behaviour of a call.
func (p *Provider) next() Behaviour {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := p.behaviours[0]
	if len(p.behaviours) > 1 {
		p.behaviours = p.behaviours[1:]
	}
	return b
}

// record keeps a call; set replaces it while it goes on.
func (p *Provider) record(c Call) (set func(Call)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := len(p.calls)
	p.calls = append(p.calls, c)
	return func(c Call) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.calls[i] = c
	}
}

// Calls are the calls so far.
func (p *Provider) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Call(nil), p.calls...)
}

// wait is for ms, or until the test ends: ok is false.
func (p *Provider) wait(d time.Duration) (ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.stop:
		return false
	}
}

var template = regexp.MustCompile(`\{\{(http_date|unix) now\+(\d+)s\}\}`)

// fill replaces {{http_date now+20s}} and {{unix now+15s}}.
func (p *Provider) fill(text string) string {
	return template.ReplaceAllStringFunc(text, func(found string) string {
		m := template.FindStringSubmatch(found)
		seconds, _ := strconv.Atoi(m[2])
		at := p.Now().Add(time.Duration(seconds) * time.Second)
		if m[1] == "unix" {
			return strconv.FormatInt(at.Unix(), 10)
		}
		return strings.Replace(at.UTC().Format(time.RFC1123), "UTC", "GMT", 1)
	})
}

// listen is a listener that the test closes.
func (p *Provider) listen() net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { l.Close() })
	return l
}

// closedPort is a port that refuses connections, and that nobody else gets while
// the test runs: it is bound, and not listened on.
func closedPort(t testing.TB) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*unix.SockaddrInet4).Port)
}
