package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
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
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, strings.NewReader(form.Encode()))
	if err != nil {
		return Outcome{Class: Configuration, Message: clip(err.Error())}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("api", p.key)
	answer, failed := call(p.client, req, p.now)
	if failed != nil {
		return *failed
	}
	return classifyMailgun(answer)
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
