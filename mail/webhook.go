package mail

import (
	"encoding/json"
	"time"
)

// FeedbackOf reads what a provider's webhook brought: Mailgun's event-data, or
// one of Mandrill's events. ok is false for what says nothing of a mail.
func FeedbackOf(providerType string, payload []byte) (f Feedback, ok bool) {
	switch providerType {
	case TypeMailgun:
		return mailgunFeedback(payload)
	case TypeMandrill:
		return mandrillFeedback(payload)
	}
	return Feedback{}, false
}

func mailgunFeedback(payload []byte) (Feedback, bool) {
	type event struct {
		Event     string  `json:"event"`
		Timestamp float64 `json:"timestamp"`
		Severity  string  `json:"severity"`
		Reason    string  `json:"reason"`
		Recipient string  `json:"recipient"`
		Variables struct {
			OutboxID string `json:"outbox_id"`
		} `json:"user-variables"`
		Flags struct {
			Delayed bool `json:"is-delayed-bounce"`
		} `json:"flags"`
	}
	var said struct {
		event
		Data *event `json:"event-data"`
	}
	if json.Unmarshal(payload, &said) != nil {
		return Feedback{}, false
	}
	if said.Data != nil {
		said.event = *said.Data
	}
	if said.Flags.Delayed {
		said.Reason = "bounce"
	}
	return Feedback{ProviderType: TypeMailgun, Event: said.Event, Severity: said.Severity, Reason: said.Reason, Recipient: said.Recipient,
		OutboxID: said.Variables.OutboxID, At: unixTime(said.Timestamp)}, said.Event != ""
}

// mandrillWords are Mandrill's events in our words.
var mandrillWords = map[string]Feedback{
	"send": {Event: "accepted"}, "delivered": {Event: "delivered"}, "open": {Event: "opened"}, "click": {Event: "clicked"},
	"deferral":    {Event: "failed", Severity: "temporary"},
	"hard_bounce": {Event: "failed", Severity: "permanent", Reason: "bounce"},
	"soft_bounce": {Event: "failed", Severity: "permanent"},
	"spam":        {Event: "complained"}, "unsub": {Event: "unsubscribed"},
}

func mandrillFeedback(payload []byte) (Feedback, bool) {
	var said struct {
		Event   string  `json:"event"`
		TS      float64 `json:"ts"`
		Message struct {
			Email    string          `json:"email"`
			Metadata json.RawMessage `json:"metadata"` // a list where it is empty
		} `json:"msg"`
	}
	if json.Unmarshal(payload, &said) != nil {
		return Feedback{}, false
	}
	f, known := mandrillWords[said.Event]
	var metadata struct {
		OutboxID string `json:"outbox_id"`
	}
	_ = json.Unmarshal(said.Message.Metadata, &metadata) // then it names no mail of ours
	f.ProviderType, f.Recipient, f.OutboxID, f.At = TypeMandrill, said.Message.Email, metadata.OutboxID, unixTime(said.TS)
	return f, known
}

func unixTime(seconds float64) time.Time {
	if seconds <= 0 || seconds > 1e11 {
		return time.Time{}
	}
	return time.UnixMicro(int64(seconds * 1e6)).UTC()
}
