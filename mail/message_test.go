package mail

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"tallybook/store"
)

// hardMails are the ones that show what goes wrong in headers and bodies; the
// outside reader (python_test.go) gets the same.
func hardMails() map[string]Request {
	long := strings.Repeat("Ein sehr langer Betreff – mit Umlauten äöü. ", 12)
	return map[string]Request{
		"plain":        {ToName: "Ann", FromName: "Rides", Subject: "Your Monday evening trip", Body: "<h1>Your bill</h1><p>$10</p>"},
		"umlauts":      {ToName: "Jörg Ünï", FromName: "旅", Subject: "Ihre Fahrt – 10 €", Body: "<p>Grüße, 旅 😀</p>"},
		"words":        {ToName: "=?utf-8?q?Eve?=", FromName: " two  spaces ", Subject: strings.Repeat("y", 998), Body: "<p>x</p>"},
		"specials":     {ToName: `Ann "the <b@c.de>", (boss); x@y`, FromName: `\Rides\, Inc.`, Subject: `=?utf-8?q?not_encoded?= "x" <a@b>`, Body: "<p>a &lt; b</p>"},
		"long subject": {ToName: strings.Repeat("Ann ", 50) + "Z", FromName: strings.Repeat("ö", 100), Subject: long[:len(long)/2] + "end", Body: "<p>x</p>"},
		"long line":    {ToName: "Ann", FromName: "Rides", Subject: strings.Repeat("x", 900), Body: "<p>" + strings.Repeat("ab ", 5000) + strings.Repeat("y", 4000) + "</p>"},
		"dots":         {ToName: "Ann", FromName: "Rides", Subject: ".", Body: "<pre>\r\n.\r\n..\r\n.x\nQUIT\r\n</pre>\r\n.\r\n"},
		"mime":         {ToName: "Ann", FromName: "Rides", Subject: "a  b   c ", Body: "<p>--boundary--\r\nContent-Type: text/plain\r\n\r\nSubject: x =3D = \t </p>"},
		"from line":    {ToName: "Ann", FromName: "Rides", Subject: "trailing", Body: "From here on\r\n<p>\rlone CR\nlone LF</p>"},
	}
}

func messageOf(t testing.TB, r Request) *message {
	t.Helper()
	r.To, r.From = "ann@example.net", "noreply@mg.example.com"
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return newMessage(&store.Mail{ID: "0123456789abcdef0123456789abcdef", To: r.To, ToName: r.ToName, From: r.From, FromName: r.FromName,
		Subject: r.Subject, HeaderID: "<0123456789abcdef0123456789abcdef@mg.example.com>", Tags: []string{"trip"},
		CreatedAt: time.Date(2019, 1, 22, 0, 0, 0, 0, time.UTC)}, &store.MailBody{HTML: r.Body, Attachment: r.Attachment})
}

func TestMIME(t *testing.T) {
	for name, r := range hardMails() {
		t.Run(name, func(t *testing.T) {
			text, err := messageOf(t, r).mime()
			if err != nil {
				t.Fatal(err)
			}
			for _, line := range bytes.Split(text, []byte("\r\n")) {
				if len(line) > 998 || bytes.ContainsAny(line, "\r\n") || bytes.ContainsFunc(line, func(c rune) bool { return c > 126 }) {
					t.Fatalf("line %q: want ASCII of up to 998 bytes, ended by CR LF", line)
				}
			}
			m, err := netmail.ReadMessage(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			checkHeaders(t, m.Header, r)
			parts := readParts(t, m)
			if got, want := parts["text/html"], toCRLF(r.Body); got != want {
				t.Errorf("HTML %q, want %q", got, want)
			}
			if got, want := parts["text/plain"], toCRLF(textOf(r.Body)); got != want || len(parts) != 2 {
				t.Errorf("text %q of %d parts, want %q of 2", got, len(parts), want)
			}
		})
	}
}

// toCRLF: lines of a text part end in CR LF.
func toCRLF(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	return strings.ReplaceAll(s, "\n", "\r\n")
}

func checkHeaders(t *testing.T, h netmail.Header, r Request) {
	t.Helper()
	want := map[string]int{"Date": 1, "From": 1, "To": 1, "Subject": 1, "Message-Id": 1, "Mime-Version": 1, "Content-Type": 1, "X-Outbox-Id": 1, "X-Tags": 1}
	for name, values := range h {
		if want[name] != len(values) {
			t.Errorf("header %s: %q, want %d", name, values, want[name])
		}
	}
	if len(h) != len(want) {
		t.Errorf("%d headers, want %d: %v", len(h), len(want), h)
	}
	decoder := mime.WordDecoder{}
	subject, err := decoder.DecodeHeader(h.Get("Subject"))
	if err != nil || subject != r.Subject {
		t.Errorf("subject %q (%v), want %q", subject, err, r.Subject)
	}
	for name, want := range map[string]netmail.Address{"To": {Name: r.ToName, Address: "ann@example.net"}, "From": {Name: r.FromName, Address: "noreply@mg.example.com"}} {
		list, err := h.AddressList(name)
		if err != nil || len(list) != 1 || *list[0] != want {
			t.Errorf("%s: %v (%v), want %v", name, list, err, want)
		}
	}
	if got := h.Get("Message-Id"); got != "<0123456789abcdef0123456789abcdef@mg.example.com>" {
		t.Errorf("Message-ID %q", got)
	}
}

func readParts(t *testing.T, m *netmail.Message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("content type %s (%v)", kind, err)
	}
	parts := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if err == io.EOF {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Header.Get("Content-Transfer-Encoding"); got != "quoted-printable" {
			t.Errorf("encoding %q", got)
		}
		text, err := io.ReadAll(quotedprintable.NewReader(p))
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil || !strings.EqualFold(params["charset"], "utf-8") {
			t.Errorf("part %s %v (%v)", kind, params, err)
		}
		parts[kind] = string(text)
	}
}

func TestTextOf(t *testing.T) {
	for _, c := range []struct{ html, want string }{
		{"<h1>Your bill</h1><p>$10</p>", "Your bill\n\n$10\n"},
		{"plain", "plain\n"},
		{" \n plain \t text\r\n ", "plain text\n"},
		{"<p>a &lt; b &amp; c &#8364; &nbsp;x</p>", "a < b & c € \u00a0x\n"},
		{"<p>a<b>b</b>c <i>d</i>e</p>", "abc de\n"},
		{"<div>One</div><div>Two</div>", "One\nTwo\n"},
		{"a<br>b<br/>c<br class='x'><br>d<br><br><br><br>e", "a\nb\nc\n\nd\n\ne\n"},
		{"<table><tr><td>Total</td><td>$10</td></tr><tr><td>Tip</td><td>$1</td></tr></table>", "Total $10\nTip $1\n"},
		{"x<ul><li>a</li><li class=x>b</li></ul>y", "x\n\n- a\n- b\n\ny\n"},
		{`<a href="https://x.example/?a=1&amp;b=2">click</a>!`, "click <https://x.example/?a=1&b=2>!\n"},
		{`<a href="javascript:alert(1)">click</a> <a>x</a>`, "click x\n"},
		{"<html><head><title>T</title><style>p {}</style></head><body><script>x()</script><!-- a > b --><p>x</p></body></html>", "x\n"},
		{"<html><head><meta charset=utf-8><title>T</title><style>p {}</style><p>no body tag</p>", "no body tag\n"},
		{"<head><title>never closed<body><p>x", "(This mail has no text, only HTML.)\n"},
		{"<img src=x>", "(This mail has no text, only HTML.)\n"},
		{`<img src=x alt="Our logo"><hr>x`, "Our logo\n----\nx\n"},
	} {
		if got := textOf(c.html); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.html, got, c.want)
		}
	}
}

// Whoever may send a mail must not stop the service with it.
func BenchmarkTextOfHard(b *testing.B) {
	for _, part := range []string{">", "<", "&", "<!--", "<a href=x ", "</p>", "<a>", "<title>", "a ", "<li>", "\x00"} {
		b.Run(part, func(b *testing.B) {
			body := strings.Repeat(part, 1<<20/len(part))
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				textOf(body)
			}
		})
	}
}

// FuzzMail: whatever is accepted as a request becomes a message with these
// headers and no other.
func FuzzMail(f *testing.F) {
	for _, r := range hardMails() {
		f.Add(r.ToName, r.FromName, r.Subject, r.Body)
	}
	f.Fuzz(func(t *testing.T, toName, fromName, subject, body string) {
		r := Request{To: "ann@example.net", ToName: toName, From: "noreply@mg.example.com", FromName: fromName, Subject: subject, Body: body}
		if r.Check() != nil {
			return
		}
		text, err := messageOf(t, r).mime()
		if err != nil {
			t.Fatal(err)
		}
		m, err := netmail.ReadMessage(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Header) != 9 || len(m.Header["Subject"]) != 1 {
			t.Fatalf("headers %v", m.Header)
		}
		list, err := m.Header.AddressList("To")
		if err != nil || len(list) != 1 || list[0].Address != r.To {
			t.Fatalf("To %v (%v)", list, err)
		}
		readParts(t, m)
	})
}
