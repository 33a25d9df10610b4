package mail

import (
	"encoding/base64"
	netmail "net/mail"
	"strings"
	"unicode/utf8"

	gomail "github.com/wneessen/go-mail"
)

// Header values go out as they are where every reader takes them as they are;
// else as encoded words (RFC 2047), which keep every space and cannot be taken
// for what they quote.

const (
	foldedLine   = "\r\n "
	maxPlain     = 900
	maxPlainWord = 60
	// maxWord is the text in one encoded word of up to 75 characters.
	maxWord = 45
)

func isPlain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	if len(text) > maxPlain || strings.Contains(text, "=?") {
		return false
	}
	for word := range strings.SplitSeq(text, " ") {
		if word == "" || len(word) > maxPlainWord {
			return false // spaces that folding could lose, or no place to fold
		}
	}
	return true
}

// encodedWords is text in words of UTF-8 that are each whole.
func encodedWords(text, between string) string {
	var words []string
	for len(text) > 0 {
		n := min(len(text), maxWord)
		for n < len(text) && !utf8.RuneStart(text[n]) {
			n--
		}
		words = append(words, "=?utf-8?b?"+base64.StdEncoding.EncodeToString([]byte(text[:n]))+"?=")
		text = text[n:]
	}
	return strings.Join(words, between)
}

// formatAddress is name and address for a header.
func formatAddress(a netmail.Address, between string) string {
	if isPlain(a.Name) && len(a.Name) <= maxPlainWord {
		return a.String() // quoted where it must be
	}
	return encodedWords(a.Name, between) + between + "<" + a.Address + ">"
}

// setHeaders writes the headers whose text is the sender's.
func (m *message) setHeaders(g *gomail.Msg) {
	if isPlain(m.subject) {
		g.SetGenHeader(gomail.HeaderSubject, m.subject)
	} else {
		g.SetGenHeaderPreformatted(gomail.HeaderSubject, encodedWords(m.subject, foldedLine))
	}
	// Preformatted, since the library folds inside of quoted names, and does not
	// quote those that come apart from their address.
	g.SetGenHeaderPreformatted(gomail.Header(gomail.HeaderFrom), formatAddress(m.from, foldedLine))
	g.SetGenHeaderPreformatted(gomail.Header(gomail.HeaderTo), formatAddress(m.to, foldedLine))
}
