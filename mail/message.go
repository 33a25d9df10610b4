package mail

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"

	"tallybook/store"
)

// message is a mail as providers get it. Everything in it is the same on every
// attempt.
type message struct {
	id       string // of the record; outbox_id at the providers
	headerID string // Message-ID, in angle brackets
	to, from netmail.Address
	subject  string
	html     string
	text     string
	tags     []string
	date     time.Time
	file     *store.MailAttachment // nil: none
}

func newMessage(m *store.Mail, body *store.MailBody) *message {
	return &message{id: m.ID, headerID: m.HeaderID,
		to:      netmail.Address{Name: m.ToName, Address: m.To},
		from:    netmail.Address{Name: m.FromName, Address: m.From},
		subject: m.Subject, html: body.HTML, text: textOf(body.HTML), tags: m.Tags, date: m.CreatedAt, file: body.Attachment}
}

const outboxHeader = "X-Outbox-Id"

// mime is the message for those who take it whole (RFC 5322): a text and an
// HTML part, both quoted-printable, so that no line is longer than 76, and the
// file in base64.
func (m *message) mime() ([]byte, error) {
	g := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	m.setHeaders(g)
	g.SetDateWithValue(m.date)
	g.SetMessageIDWithValue(strings.Trim(m.headerID, "<>"))
	g.SetGenHeader(outboxHeader, m.id)
	if len(m.tags) > 0 {
		g.SetGenHeader("X-Tags", strings.Join(m.tags, ", "))
	}
	g.SetBodyString(gomail.TypeTextPlain, m.text)
	g.AddAlternativeString(gomail.TypeTextHTML, m.html)
	if f := m.file; f != nil {
		err := g.AttachReader(f.Name, bytes.NewReader(f.Content), gomail.WithFileContentType(gomail.ContentType(f.Type)))
		if err != nil {
			return nil, fmt.Errorf("attach %s: %w", f.Name, err)
		}
	}
	var b bytes.Buffer
	if _, err := g.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return b.Bytes(), nil
}
