package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// mandrill posts JSON to {base}/api/1.0/messages/send.json.
type mandrill struct {
	url, key string
	client   *http.Client
	now      func() time.Time
}

type mandrillMessage struct {
	HTML      string              `json:"html"`
	Text      string              `json:"text"`
	Subject   string              `json:"subject"`
	FromEmail string              `json:"from_email"`
	FromName  string              `json:"from_name"`
	To        []mandrillRecipient `json:"to"`
	Headers   map[string]string   `json:"headers"`
	Metadata  map[string]string   `json:"metadata"`
	Tags      []string            `json:"tags,omitempty"`
	Files     []mandrillFile      `json:"attachments,omitempty"`
}

type mandrillFile struct {
	Type    string `json:"type"`
	Name    string `json:"name"`
	Content []byte `json:"content"` // base64
}

type mandrillRecipient struct {
	Email string `json:"email"`
	Name  string `json:"name"`
	Type  string `json:"type"`
}

func (p *mandrill) send(ctx context.Context, m *message) Outcome {
	var files []mandrillFile
	if f := m.file; f != nil {
		files = []mandrillFile{{f.Type, f.Name, f.Content}}
	}
	body, err := json.Marshal(struct {
		Key     string          `json:"key"`
		Message mandrillMessage `json:"message"`
		Async   bool            `json:"async"`
	}{p.key, mandrillMessage{HTML: m.html, Text: m.text, Subject: m.subject, FromEmail: m.from.Address, FromName: m.from.Name,
		To:       []mandrillRecipient{{m.to.Address, m.to.Name, "to"}},
		Headers:  map[string]string{"Message-Id": m.headerID},
		Metadata: map[string]string{"outbox_id": m.id}, Tags: m.tags, Files: files}, false})
	if err != nil {
		return Outcome{Class: Payload, Message: clip(err.Error())}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return Outcome{Class: Configuration, Message: clip(err.Error())}
	}
	req.Header.Set("Content-Type", "application/json")
	answer, failed := call(p.client, req, p.now)
	if failed != nil {
		return *failed
	}
	return classifyMandrill(answer)
}

// classifyMandrill finds the class of Mandrill's answer. It answers HTTP 500 for
// nearly every error, the client's too, and HTTP 200 for mails it refuses.
func classifyMandrill(a *httpAnswer) Outcome {
	switch {
	case a.success():
		return classifyMandrillTaken(a)
	case a.status >= 300 && a.status < 400:
		return a.outcome(Configuration, fmt.Sprintf("it redirects to %q, which is not followed", clip(a.header.Get("Location"))))
	}
	var said struct {
		Name    string `json:"name"`
		Message string `json:"message"`
	}
	if a.cut || json.Unmarshal(a.body, &said) != nil {
		said.Name, said.Message = "", ""
	}
	message := said.Name + ": " + said.Message
	if said.Name == "" {
		message = a.text()
	}
	switch {
	case a.status == http.StatusTooManyRequests:
		return a.rateLimited(message)
	case said.Name == "ValidationError" && containsAny(said.Message, "you must specify a key value"):
		return a.outcome(Configuration, message)
	case said.Name == "ValidationError":
		return a.outcome(Payload, message)
	case slices.Contains([]string{"Invalid_Key", "PaymentRequired", "Unknown_Subaccount", "PoorReputation"}, said.Name):
		return a.outcome(Configuration, message)
	case said.Name == "GeneralError", said.Name == "ServiceUnavailable":
		return a.outcome(Provider, message)
	case said.Name != "":
		o := a.outcome(Provider, message)
		o.Alert = true
		return o
	case a.status >= 500:
		return a.outcome(Provider, message)
	case a.status == http.StatusRequestEntityTooLarge:
		return a.outcome(Payload, message)
	}
	return a.outcome(Unclassified, message)
}

// mandrillReasons are those of a rejection, by whose fault it is.
var mandrillReasons = map[string]Class{
	"hard-bounce": Recipient, "soft-bounce": Recipient, "spam": Recipient, "unsub": Recipient, "custom": Recipient, "rule": Recipient,
	"unsigned": Configuration, "invalid-sender": Configuration, "test-mode-limit": Configuration,
	"invalid": Payload,
}

func classifyMandrillTaken(a *httpAnswer) Outcome {
	var list []struct {
		Status       string `json:"status"`
		ID           string `json:"_id"`
		RejectReason string `json:"reject_reason"`
		QueuedReason string `json:"queued_reason"`
	}
	switch {
	case a.cut:
		return a.unclear("the answer was cut off")
	case json.Unmarshal(a.body, &list) != nil:
		return a.unclear("a success whose body is not the JSON that was expected")
	case len(list) == 0:
		return a.unclear("a success that names no recipient")
	}
	said := list[0]
	switch said.Status {
	case "sent", "queued", "scheduled":
		if said.ID == "" {
			return a.unclear("a success without an id")
		}
		o := a.outcome(OK, said.Status)
		o.MessageID = said.ID
		reason := strings.NewReplacer(" ", "-", "_", "-").Replace(said.QueuedReason)
		if containsAny(reason, "suspended", "paused", "monthly-limit", "free-trial") {
			o.HoldAccount, o.Alert = true, true
			o.Message = "queued: " + clip(said.QueuedReason)
		}
		return o
	case "invalid":
		o := a.outcome(Payload, "the recipient's address is invalid")
		o.Healthy = true
		return o
	case "rejected":
		class, known := mandrillReasons[said.RejectReason]
		if !known {
			class = Unclassified
		}
		o := a.outcome(class, "rejected: "+said.RejectReason)
		o.Healthy = class == Recipient || class == Payload
		return o
	}
	return a.unclear("a success with the status " + clip(said.Status))
}
