package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"

	"tallybook/store"
)

// mailgun posts a form to {base}/v3/{domain}/messages, Basic api:KEY.
type mailgun struct {
	url, key string
	client   *http.Client
	now      func() time.Time
}

func (p *mailgun) send(ctx context.Context, m *message) Outcome {
	form := url.Values{
		"from":         {formatAddress(m.from, " ")},
		"to":           {formatAddress(m.to, " ")},
		"subject":      {m.subject},
		"html":         {m.html},
		"text":         {m.text},
		"h:Message-Id": {m.headerID},
		"v:outbox_id":  {m.id},
	}
	if len(m.tags) > 0 {
		form["o:tag"] = m.tags
	}
	body, contentType, err := formBody(form, m.file)
	if err != nil {
		return Outcome{Class: Payload, Message: clip(err.Error())}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, body)
	if err != nil {
		return Outcome{Class: Configuration, Message: clip(err.Error())}
	}
	req.Header.Set("Content-Type", contentType)
	req.SetBasicAuth("api", p.key)
	answer, failed := call(p.client, req, p.now)
	if failed != nil {
		return *failed
	}
	return classifyMailgun(answer)
}

// formBody is the form as it is posted: with a file in parts.
func formBody(form url.Values, file *store.MailAttachment) (body io.Reader, contentType string, err error) {
	if file == nil {
		return strings.NewReader(form.Encode()), "application/x-www-form-urlencoded", nil
	}
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range form[name] {
			if err := parts.WriteField(name, value); err != nil {
				return nil, "", err
			}
		}
	}
	header := textproto.MIMEHeader{"Content-Type": {file.Type},
		"Content-Disposition": {multipart.FileContentDisposition("attachment", file.Name)}}
	part, err := parts.CreatePart(header)
	if err == nil {
		_, err = part.Write(file.Content)
	}
	return &b, parts.FormDataContentType(), errors.Join(err, parts.Close())
}

// classifyMailgun finds the class of Mailgun's answer.
func classifyMailgun(a *httpAnswer) Outcome {
	var said struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	}
	isJSON := !a.cut && json.Unmarshal(a.body, &said) == nil
	message := said.Message
	if message == "" {
		message = a.text()
	}
	switch s := a.status; {
	case a.success() && bytes.Contains(a.body, []byte("Mailgun Magnificent API")):
		return a.outcome(Configuration, "the url is Mailgun's, but not that of messages: "+message)
	case a.success() && a.cut:
		return a.unclear("the answer was cut off")
	case a.success() && !isJSON:
		return a.unclear("a success whose body is not JSON")
	case a.success() && said.ID == "":
		return a.unclear("a success without an id")
	case a.success():
		o := a.outcome(OK, message)
		o.MessageID = said.ID
		return o
	case s >= 300 && s < 400:
		return a.outcome(Configuration, fmt.Sprintf("it redirects to %q, which is not followed", clip(a.header.Get("Location"))))
	case s == http.StatusTooManyRequests: // its text may also say "not allowed to send"
		return a.rateLimited(message)
	case s == http.StatusUnauthorized, s == http.StatusPaymentRequired,
		s == http.StatusNotFound && containsAny(message, "domain not found"),
		(s == http.StatusBadRequest || s == http.StatusForbidden) &&
			containsAny(message, "not allowed to send", "sandbox subdomains", "activate your mailgun account"):
		return a.outcome(Configuration, message)
	case s == http.StatusRequestEntityTooLarge,
		s == http.StatusBadRequest && containsAny(message, "parameter is not a valid address", "parameter is missing",
			"need at least one of", "too many recipients"):
		return a.outcome(Payload, message)
	case s >= 500:
		return a.outcome(Provider, message)
	}
	return a.outcome(Unclassified, message)
}
