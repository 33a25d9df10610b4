package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
)

// mailReport is what a provider's webhook says of one e-mail, in our words.
type mailReport struct {
	provider string // the event's source too
	outbox   string // id of a mail of our own
	identity string // the event's id: what makes the provider's event unique
	event    string // of EmailEvents
	time     int64

	domain, recipient, messageID           string
	direction, transport, severity, reason string
	flags, tags                            json.RawMessage
	payload                                map[string]json.RawMessage
	twin                                   string // a second event that the report stands for; "": none
}

// OutboxSource is the source of e-mail events of mails that our own sender took:
// with the mail's id and the event they have one identity, whichever provider
// tells of it. A mail that two providers took is counted once.
const OutboxSource = "tallybook/mail"

// isOutboxID reports whether a provider's payload names a mail of our own: 32 hex digits.
func isOutboxID(id string) bool {
	return len(id) == 32 && strings.Trim(id, "0123456789abcdef") == ""
}

// fill makes the report the event. Account and envelope's type attributes are
// the record's; identity, time and data are the report's.
func (m *mailReport) fill(ev *Event) *Rejection {
	if len(m.identity) > MaxID || hasControl([]byte(m.identity)) {
		m.identity = hashText(m.identity)
	}
	ev.Type = []byte(EmailPrefix + m.event)
	ev.Source, ev.ID = []byte(m.provider), []byte(m.identity)
	if isOutboxID(m.outbox) && (m.event == "accepted" || m.event == "delivered") {
		ev.Source, ev.ID = []byte(OutboxSource), []byte(m.outbox+"/"+m.event)
	}
	ev.Time, ev.HasTime = m.time, true
	ev.Strings, ev.Present = [NumFields][]byte{}, 0
	for f, text := range map[Field]string{Domain: m.domain, MailEvent: m.event, Direction: m.direction, Transport: m.transport,
		Severity: m.severity, MailReason: m.reason, Recipient: m.recipient, MessageID: m.messageID, Provider: m.provider} {
		ev.setText(f, text)
	}
	ev.Rest = m.rest()
	ev.BadField = ""
	ev.Twin = m.twin
	return nil
}

// rest is what data keeps: flags and tags, and the provider's own words as
// payload. What would make it too long is left out, the longest members first,
// and named.
func (m *mailReport) rest() []byte {
	kept := struct {
		Flags   json.RawMessage            `json:"flags,omitempty"`
		Tags    json.RawMessage            `json:"tags,omitempty"`
		Payload map[string]json.RawMessage `json:"payload"`
		LeftOut []string                   `json:"payload_left_out,omitempty"`
	}{m.flags, m.tags, m.payload, nil}
	for {
		var text bytes.Buffer
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(false)
		if err := e.Encode(kept); err != nil {
			panic(err) // its parts were read as JSON
		}
		rest := bytes.TrimSuffix(text.Bytes(), []byte{'\n'})
		if len(rest) <= MaxRest {
			return rest
		}
		longest := ""
		for name, value := range kept.Payload {
			if longest == "" || len(value) > len(kept.Payload[longest]) || len(value) == len(kept.Payload[longest]) && name < longest {
				longest = name
			}
		}
		if longest == "" {
			kept.Flags, kept.Tags = nil, nil
			continue
		}
		delete(kept.Payload, longest)
		kept.LeftOut = append(kept.LeftOut, longest)
	}
}

// members are data as it was sent: columns that a provider's payload happens to
// name, and the rest.
func (ev *Event) members() map[string]json.RawMessage {
	all := jsonObject(ev.Rest)
	if all == nil {
		all = map[string]json.RawMessage{}
	}
	for f := range NumFields {
		if !ev.Present.Has(f) || f == Region {
			continue
		}
		text, err := json.Marshal(string(ev.Strings[f]))
		if err != nil {
			panic(err) // a string always marshals
		}
		all[FieldNames[f]] = text
	}
	return all
}

// unixMicros reads a time in seconds since 1970, a number or a string of one,
// rounded to µs.
func unixMicros(value json.RawMessage) (micros int64, ok bool) {
	if text := jsonString(value); text != "" {
		value = json.RawMessage(text)
	}
	d, err := ParseDecimal(value)
	if err != nil || d.Units > maxTime/1_000_000 || d.Units < minTime/1_000_000 {
		return 0, false
	}
	return d.Units*1_000_000 + int64(math.Round(float64(d.Nanos)/1000)), true
}

func missing(path, want string) *Rejection {
	return &Rejection{MissingField, path, path + " is required: " + want}
}

// unknownEvent refuses a provider's event that has no counterpart here.
func unknownEvent(path, event string, known []string) *Rejection {
	slices.Sort(known)
	return &Rejection{InvalidValue, path, fmt.Sprintf("%s must be one of %q, not %.100q", path, known, event)}
}
