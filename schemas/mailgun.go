package schemas

import (
	"encoding/json"
	"slices"
	"strings"
)

// mailgunEvents are the events of Mailgun's webhooks; ours have their names.
var mailgunEvents = []string{"accepted", "clicked", "complained", "delivered", "failed", "opened", "rejected", "stored", "unsubscribed"}

// readMailgun makes a mailgun.webhook event the e-mail event that it reports.
// Data is the webhook's body, or its "event-data" alone. Mailgun's event ids are
// unique within a day only, so that the identity has domain, event and UTC day
// beside the id.
func readMailgun(ev *Event) *Rejection {
	at, data := "data.", ev.members()
	if inner, ok := data["event-data"]; ok {
		if at, data = "data.event-data.", jsonObject(inner); data == nil {
			return &Rejection{WrongType, "data.event-data", "data.event-data must be an object"}
		}
	}
	m := mailReport{provider: "mailgun", event: jsonString(data["event"]), payload: data}
	id := jsonString(data["id"])
	switch {
	case m.event == "":
		return missing(at+"event", "a non-empty string")
	case !slices.Contains(mailgunEvents, m.event):
		return unknownEvent(at+"event", m.event, mailgunEvents)
	case id == "":
		return missing(at+"id", "a non-empty string")
	}
	var ok bool
	if m.time, ok = unixMicros(data["timestamp"]); !ok {
		return &Rejection{InvalidValue, at + "timestamp", at + "timestamp must be seconds since 1970, a number"}
	}
	name := jsonString(jsonObject(data["domain"])["name"])
	if name == "" {
		name = jsonString(data["domain"])
	}
	if m.domain = MailDomain(name); m.domain == "" {
		return missing(at+"domain.name", "the sending domain")
	}
	m.readMailgun(data)
	m.identity = strings.Join([]string{m.domain, m.event, id, DayOf(m.time).String()}, "/")
	return m.fill(ev)
}

func (m *mailReport) readMailgun(data map[string]json.RawMessage) {
	m.flags, m.tags = data["flags"], data["tags"]
	flags := jsonObject(m.flags)
	m.recipient = jsonString(data["recipient"])
	m.outbox = jsonString(jsonObject(data["user-variables"])["outbox_id"])
	m.messageID = jsonString(jsonObject(jsonObject(data["message"])["headers"])["message-id"])
	m.transport = strings.ToLower(jsonString(jsonObject(data["envelope"])["transport"]))
	authenticated := flagOf(flags["is-authenticated"])
	said := jsonString(data["reason"])
	switch m.event {
	case "accepted":
		m.direction = directionBy(authenticated)
	case "stored":
		m.direction = Incoming
	case "delivered":
		if m.transport == "" {
			m.transport = TransportSMTP
		}
	case "rejected":
		if reject := jsonString(jsonObject(data["reject"])["reason"]); said == "" {
			said = reject
		}
	case "failed":
		m.severity = strings.ToLower(jsonString(data["severity"]))
		delayed := flagOf(flags["is-delayed-bounce"])
		switch {
		case m.severity == Temporary:
			delayed = flagAbsent
		case delayed == flagAbsent: // a flag that Mailgun leaves out is not set
			delayed = flagFalse
		}
		m.reason = reasonClass(said, delayed)
		return
	}
	m.reason = reasonClass(said, flagAbsent)
}
