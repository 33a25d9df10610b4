package mail

import (
	"bytes"
	"fmt"
	netmail "net/mail"
	"regexp"
	"strings"
	"time"

	"github.com/k3a/html2text"
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
}

func newMessage(m *store.Mail, html string) *message {
	return &message{id: m.ID, headerID: m.HeaderID,
		to:      netmail.Address{Name: m.ToName, Address: m.To},
		from:    netmail.Address{Name: m.FromName, Address: m.From},
		subject: m.Subject, html: html, text: textOf(html), tags: m.Tags, date: m.CreatedAt}
}

const outboxHeader = "X-Outbox-Id"

// mime is the message for those who take it whole (RFC 5322): a text and an
// HTML part, both quoted-printable, so that no line is longer than 76.
func (m *message) mime() ([]byte, error) {
	g := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := g.FromFormat(m.from.Name, m.from.Address); err != nil {
		return nil, fmt.Errorf("header From: %w", err)
	}
	if err := g.AddToFormat(m.to.Name, m.to.Address); err != nil {
		return nil, fmt.Errorf("header To: %w", err)
	}
	g.Subject(m.subject)
	g.SetDateWithValue(m.date)
	g.SetMessageIDWithValue(strings.Trim(m.headerID, "<>"))
	g.SetGenHeader(outboxHeader, m.id)
	if len(m.tags) > 0 {
		g.SetGenHeader("X-Tags", strings.Join(m.tags, ", "))
	}
	g.SetBodyString(gomail.TypeTextPlain, m.text)
	g.AddAlternativeString(gomail.TypeTextHTML, m.html)
	var b bytes.Buffer
	if _, err := g.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("write the message: %w", err)
	}
	return b.Bytes(), nil
}

var (
	htmlHidden = regexp.MustCompile(`(?is)<!--.*?-->|<title\b.*?</title\s*>`)
	htmlBlock  = regexp.MustCompile(`(?i)</(?:div|tr|table|section|article|header|footer|blockquote|pre)\s*>`)
	htmlCell   = regexp.MustCompile(`(?i)</t[dh]\s*>`)
	htmlBr     = regexp.MustCompile(`(?i)<(br|li|p)\s[^>]*>`)
	blankRuns  = regexp.MustCompile(`\n{3,}`)
)

// textOf is the text part of an HTML mail. The library knows neither blocks other
// than p nor br with attributes, hence the hints.
func textOf(html string) string {
	html = htmlHidden.ReplaceAllString(html, " ")
	html = htmlBr.ReplaceAllString(html, "<$1>")
	html = htmlBlock.ReplaceAllString(html, "$0<br>")
	html = htmlCell.ReplaceAllString(html, " $0")
	text := html2text.HTML2TextWithOptions(html, html2text.WithUnixLineBreaks(), html2text.WithLinksInnerText(), html2text.WithListSupport())
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
		if !strings.HasPrefix(line, " - ") {
			lines[i] = strings.TrimSpace(line)
		}
	}
	text = strings.TrimSpace(blankRuns.ReplaceAllString(strings.Join(lines, "\n"), "\n\n"))
	if text == "" {
		text = "(This mail has no text, only HTML.)"
	}
	return text + "\n"
}
