package main

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// storyMail is one that was sent.
type storyMail struct{ to, subject, text, id string }

// mails that were sent and not asked for before, sorted.
func (s *story) mails() (list []storyMail) {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(s.parts.cfg.Data, "mail", "*.eml"))
	if err != nil {
		s.fatal("%v", err)
	}
	for _, path := range paths {
		if s.mailsSeen[path] {
			continue
		}
		s.mailsSeen[path] = true
		m, err := readMail(path)
		if err != nil {
			s.fatal("%s: %v", path, err)
		}
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b storyMail) int {
		return strings.Compare(s.names(a.to+a.subject+a.text), s.names(b.to+b.subject+b.text))
	})
	return list
}

func readMail(path string) (m storyMail, err error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return m, err
	}
	message, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return m, err
	}
	if m.subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return m, err
	}
	to, err := message.Header.AddressList("To")
	if err != nil {
		return m, err
	}
	text, err := plainText(message.Header.Get("Content-Type"), message.Header.Get("Content-Transfer-Encoding"), message.Body)
	m.to, m.id, m.text = to[0].Address, message.Header.Get("Message-ID"), strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	return m, err
}

// plainText is the first part of that type.
func plainText(contentType, encoding string, body io.Reader) (string, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(kind, "multipart/") {
		for parts := multipart.NewReader(body, params["boundary"]); ; {
			part, err := parts.NextPart()
			if err == io.EOF {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			// The reader has undone quoted-printable and taken its header away.
			if text, err := plainText(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part); text != "" || err != nil {
				return text, err
			}
		}
	}
	if kind != "text/plain" {
		return "", nil
	}
	if encoding == "quoted-printable" {
		body = quotedprintable.NewReader(body)
	}
	text, err := io.ReadAll(body)
	return string(text), err
}

func (s *story) showMails([]string) string {
	var out strings.Builder
	for _, m := range s.mails() {
		s.account.mails = append(s.account.mails, m)
		fmt.Fprintf(&out, "To: %s\nSubject: %s\n\t%s\n", m.to, m.subject, strings.ReplaceAll(emptyLines.ReplaceAllString(m.text, "\n"), "\n", "\n\t"))
	}
	return out.String()
}
