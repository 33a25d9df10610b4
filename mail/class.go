package mail

import (
	"strings"
	"time"
	"unicode/utf8"
)

// Class says whose fault an answer is, or that there is none.
type Class string

const (
	// OK: accepted by the provider.
	OK Class = "ok"
	// Payload: the mail itself is at fault; nobody else is asked.
	Payload Class = "payload"
	// Recipient: the recipient is unknown or suppressed; nobody else is asked.
	Recipient Class = "recipient"
	// Provider: its own fault: the next one is asked, and the breaker counts.
	Provider Class = "provider"
	// Configuration: our set-up at the provider: the next one is asked, operators
	// are told, the provider is held.
	Configuration Class = "configuration"
	// RateLimit: the next one is asked, the provider is held for as long as it said.
	RateLimit Class = "rate_limit"
	// Ambiguous: the provider may have accepted it; the breaker counts.
	Ambiguous Class = "ambiguous"
	// Transient: temporary and about this recipient.
	Transient Class = "transient"
	// Unclassified: surely not sent, nobody knows why: the next one is asked,
	// operators are told.
	Unclassified Class = "unclassified"
)

// Outcome is what one attempt came to.
type Outcome struct {
	Class      Class
	StatusCode int    // of HTTP or SMTP; 0: none was seen
	Message    string // what the provider said, or what went wrong on the way
	MessageID  string // OK: the provider's name for the mail

	// Accepted2xx: Ambiguous, but the answer began as a success does; nobody
	// else is asked.
	Accepted2xx bool
	// Hold: RateLimit, how long. OK: the provider takes mails, and will not send
	// them until somebody mends its account: held as by Configuration.
	Hold        time.Duration
	HoldAccount bool
	// Alert: operators are told although the class alone does not ask for it.
	Alert bool
	// Healthy: the mail was refused by an answer that proves the provider well.
	Healthy bool
	// Temporary: a 4xx of SMTP, which means the reverse of one of HTTP.
	Temporary bool
}

// counts says what the breaker makes of an outcome.
func (o *Outcome) counts() result {
	switch {
	case o.Class == OK || o.Healthy:
		return success
	case o.Class == Provider || o.Class == Ambiguous:
		return failure
	}
	return nothing
}

// final: no other provider is asked, whatever is left.
func (o *Outcome) final(hold bool) bool {
	switch o.Class {
	case OK, Payload, Recipient:
		return true
	case Ambiguous:
		return o.Accepted2xx || hold
	}
	return false
}

const maxMessage = 1000

// clip makes a provider's words fit for a record: valid, one line, not long.
func clip(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " ")
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

func containsAny(text string, parts ...string) bool {
	text = strings.ToLower(text)
	for _, part := range parts {
		if strings.Contains(text, strings.ToLower(part)) {
			return true
		}
	}
	return false
}
