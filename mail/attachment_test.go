package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	netmail "net/mail"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallybook/store"
)

func invoiceFile() *store.MailAttachment {
	return &store.MailAttachment{Name: "INV-000001.pdf", Type: "application/pdf", Content: []byte("%PDF-1.3\n\x00\xff\r\n%%EOF")}
}

func withFile(t *testing.T) *message {
	r := hardMails()["plain"]
	r.Attachment = invoiceFile()
	return messageOf(t, r)
}

// partsOf are the leaves of a message or form, by content type without parameters.
func partsOf(t *testing.T, contentType string, body io.Reader, to map[string][]byte) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		if to[kind], err = io.ReadAll(body); err != nil {
			t.Fatal(err)
		}
		return
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		partsOf(t, part.Header.Get("Content-Type"), part, to)
	}
}

func fileOf(t *testing.T, text []byte) string {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]byte{}
	partsOf(t, m.Header.Get("Content-Type"), m.Body, parts)
	if len(parts) != 3 || len(parts["text/plain"]) == 0 || len(parts["text/html"]) == 0 {
		t.Errorf("got the parts %q, want text, HTML and a file", parts)
	}
	return string(parts["application/pdf"])
}

// A file goes to every provider as it is.
func TestAttachment(t *testing.T) {
	m := withFile(t)
	text, err := m.mime()
	if err != nil {
		t.Fatal(err)
	}
	const inBase64 = "JVBERi0xLjMKAP8NCiUlRU9G"
	if got := strings.TrimSpace(fileOf(t, text)); got != inBase64 {
		t.Errorf("MIME: got %q, want %q", got, inBase64)
	}
	var request *http.Request
	var body []byte
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request = r
		body, _ = io.ReadAll(r.Body)
		io.WriteString(w, `{"id": "<1@mg.example.com>"}`)
	}))
	defer s.Close()
	client := newHTTPClient()
	defer client.CloseIdleConnections()
	if o := (&mailgun{s.URL, "key", client, time.Now}).send(t.Context(), m); o.Class != OK {
		t.Fatalf("got %+v", o)
	}
	_, params, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	form, err := multipart.NewReader(bytes.NewReader(body), params["boundary"]).ReadForm(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	files := form.File["attachment"]
	if len(files) != 1 || files[0].Filename != "INV-000001.pdf" || files[0].Header.Get("Content-Type") != "application/pdf" ||
		!bytes.Contains(body, m.file.Content) || form.Value["h:Message-Id"][0] != m.headerID || form.Value["subject"][0] != m.subject {
		t.Errorf("Mailgun: got %q", body)
	}
	(&mandrill{s.URL, "key", client, time.Now}).send(t.Context(), m)
	var sent struct {
		Message struct {
			Attachments []mandrillFile `json:"attachments"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &sent); err != nil || len(sent.Message.Attachments) != 1 || sent.Message.Attachments[0].Name != "INV-000001.pdf" ||
		!bytes.Equal(sent.Message.Attachments[0].Content, m.file.Content) || !bytes.Contains(body, []byte(inBase64)) {
		t.Errorf("Mandrill: got %s, %v", body, err)
	}
}

// A mail that is sent later has its file, whoever sends it.
func TestAttachmentOfDeferredMail(t *testing.T) {
	dir := t.TempDir()
	mails := filepath.Join(dir, "mails")
	if err := os.WriteFile(mails, nil, 0o600); err != nil { // where the folder should be
		t.Fatal(err)
	}
	now := time.Date(2026, 2, 4, 0, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	st, err := store.Open(t.Context(), filepath.Join(dir, "mail.db"), store.Options{Now: clock, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	cfg := Defaults()
	cfg.Providers = []ProviderConfig{{Name: "log", Type: TypeLog, URL: (&url.URL{Scheme: "file", Path: mails}).String()}}
	sender := func() *Sender {
		s, err := New(Options{Store: st, Config: cfg, Now: clock, Log: log})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	order := Order{Account: OwnAccount, Key: "k", Request: Request{To: "a@b.example", ToName: "A", From: "c@d.example", FromName: "C",
		Subject: "An invoice", Body: "<p>Hello</p>", Attachment: invoiceFile()}}
	if a, err := sender().Send(t.Context(), order); err != nil || a.Status != store.MailDeferred {
		t.Fatalf("got %+v, %v", a, err)
	}
	if err := os.Remove(mails); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if err := sender().RunOnce(context.Background()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(mails, "*.eml"))
	if err != nil || len(files) != 1 {
		t.Fatalf("got %q, %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if fileOf(t, text) == "" {
		t.Errorf("no file in\n%s", text)
	}
	for name, change := range map[string]func(*store.MailAttachment){
		"too large": func(a *store.MailAttachment) { a.Content = make([]byte, maxAttachment+1) },
		"no name":   func(a *store.MailAttachment) { a.Name = "" },
		"two lines": func(a *store.MailAttachment) { a.Name = "a\r\nBcc: x@y.example" },
	} {
		bad := order
		bad.Key, bad.Attachment = name, invoiceFile()
		change(bad.Attachment)
		var invalid *Invalid
		if _, err := sender().Send(t.Context(), bad); !errors.As(err, &invalid) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
