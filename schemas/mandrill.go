package schemas

import (
	"encoding/hex"
	"encoding/json"
	"strings"

	"github.com/zeebo/xxh3"
)

// mandrillEvent is what one of Mandrill's events becomes (account-totals.md).
type mandrillEvent struct {
	event, direction, transport, severity, reason, twin string
}

var mandrillEvents = map[string]mandrillEvent{
	"send":        {event: "accepted", direction: Outgoing},
	"delivered":   {event: "delivered", transport: TransportSMTP},
	"deferral":    {event: "failed", severity: Temporary, reason: "deferral"},
	"hard_bounce": {event: "failed", severity: Permanent, reason: ReasonBounce},
	"soft_bounce": {event: "failed", severity: Permanent, reason: "soft-bounce"},
	"reject":      {event: "failed", severity: Permanent, reason: "rejected"}, // but see rejectReason
	"open":        {event: "opened"},
	"click":       {event: "clicked"},
	"spam":        {event: "complained"},
	"unsub":       {event: "unsubscribed"},
	"inbound":     {event: "accepted", direction: Incoming, twin: "stored"},
}

// mandrillContent is what a message itself consists of: not kept.
var mandrillContent = []string{"raw_msg", "text", "html", "attachments", "images"}

// MandrillSync reports whether a member of mandrill_events tells of Mandrill's
// lists of addresses, and of no e-mail: there is nothing to count in it.
func MandrillSync(event []byte) bool {
	members := jsonObject(event)
	_, isEvent := members["event"]
	return !isEvent && jsonString(members["type"]) != "" && jsonString(members["action"]) != ""
}

// TrimMandrill leaves the message itself out of a member of mandrill_events:
// with attachments it may be larger than a record can be. What is no such
// member stays as it is.
func TrimMandrill(event []byte) []byte {
	members := jsonObject(event)
	msg := jsonObject(members["msg"])
	if msg == nil {
		return event
	}
	members["msg"] = trimContent(msg)
	return marshalJSON(members)
}

// trimContent is a message without mandrillContent.
func trimContent(msg map[string]json.RawMessage) json.RawMessage {
	for _, content := range mandrillContent {
		delete(msg, content)
	}
	return marshalJSON(msg)
}

// marshalJSON writes values that were read as JSON.
func marshalJSON(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return text
}

// readMandrill makes a mandrill.webhook event the e-mail event that it reports.
// Data is one member of mandrill_events, or a list of just one: a record is one
// event. Inbound mail is two events, accepted and stored: the event's Twin is the
// second.
func readMandrill(ev *Event) *Rejection {
	at, data := "data.", ev.members()
	if list, ok := data["mandrill_events"]; ok {
		if text := jsonString(list); text != "" { // the form field as it stands
			list = json.RawMessage(text)
		}
		var all []json.RawMessage
		const path = "data.mandrill_events"
		if json.Unmarshal(list, &all) != nil || len(all) != 1 {
			return &Rejection{InvalidValue, path, path + " must be a list of one event; send a record for each"}
		}
		if at, data = path+"[0].", jsonObject(all[0]); data == nil {
			return &Rejection{WrongType, path + "[0]", path + "[0] must be an object"}
		}
	}
	name := jsonString(data["event"])
	as, known := mandrillEvents[name]
	switch {
	case name == "":
		return missing(at+"event", "a non-empty string")
	case !known:
		var names []string
		for name := range mandrillEvents {
			names = append(names, name)
		}
		return unknownEvent(at+"event", name, names)
	}
	m := mailReport{provider: "mandrill", event: as.event, direction: as.direction, transport: as.transport,
		severity: as.severity, reason: as.reason, twin: as.twin, payload: data}
	var ok bool
	if m.time, ok = unixMicros(data["ts"]); !ok {
		return &Rejection{InvalidValue, at + "ts", at + "ts must be seconds since 1970, a number"}
	}
	return m.readMandrill(ev, name, at)
}

func (m *mailReport) readMandrill(ev *Event, name, at string) *Rejection {
	msg := jsonObject(m.payload["msg"])
	if msg != nil {
		m.payload["msg"] = trimContent(msg)
	}
	m.recipient = jsonString(msg["email"])
	m.outbox = jsonString(jsonObject(msg["metadata"])["outbox_id"])
	m.tags = msg["tags"]
	from, path := jsonString(msg["sender"]), at+"msg.sender"
	if name == "inbound" { // its sender is somebody else's domain, if it is there at all
		from, path = m.recipient, at+"msg.email"
	}
	if m.domain = MailDomain(from[strings.LastIndexByte(from, '@')+1:]); m.domain == "" {
		return missing(path, "an address")
	}
	if name == "reject" {
		m.reason = rejectReason(m.payload, msg, m.reason)
	}
	id := jsonString(m.payload["_id"])
	if id == "" {
		id = jsonString(msg["_id"])
	}
	m.messageID = id
	if id == "" { // inbound mail has none
		id = "msg:" + hashText(string(m.payload["msg"]))
	}
	m.identity = strings.Join([]string{id, name, string(m.payload["ts"])}, "/")
	if url, ip := jsonString(m.payload["url"]), jsonString(m.payload["ip"]); url != "" || ip != "" {
		m.identity += "/" + hashText(url+"\x00"+ip)
	}
	return m.fill(ev)
}

// rejectReason is why Mandrill did not send: the address is on its list of
// rejections. The reason stands in one of several places, or nowhere.
func rejectReason(event, msg map[string]json.RawMessage, unsaid string) string {
	for _, place := range []json.RawMessage{msg["reject"], msg["reject_reason"], event["reject"], event["reject_reason"], msg["reason"], event["reason"]} {
		said := jsonString(place)
		if said == "" {
			said = jsonString(jsonObject(place)["reason"])
		}
		switch strings.ReplaceAll(strings.ToLower(said), "_", "-") {
		case "":
			continue
		case "hard-bounce", "soft-bounce", "bounce":
			return ReasonSuppressed + "bounce"
		case "unsub", "unsubscribe":
			return ReasonSuppressed + "unsubscribe"
		case "spam", "complaint":
			return ReasonSuppressed + "complaint"
		}
		return reasonClass(said, flagAbsent)
	}
	return unsaid
}

// hashText is 32 hex digits of a text (xxh3).
func hashText(text string) string {
	sum := xxh3.HashString128(text).Bytes()
	return hex.EncodeToString(sum[:])
}
