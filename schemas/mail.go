package schemas

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// Words of e-mail events' directions, transports, severities and reason classes
// that totals are counted by (account-totals.md).
const (
	Incoming = "incoming"
	Outgoing = "outgoing"

	TransportSMTP = "smtp"
	TransportHTTP = "http"

	Temporary = "temporary"
	Permanent = "permanent"

	ReasonBounce        = "bounce"
	ReasonDelayedBounce = "delayed-bounce"
	ReasonESPBlock      = "espblock"
	ReasonSuppressed    = "suppress-" // bounce, unsubscribe, complaint
	ReasonOther         = "other"
)

// maxReasonClass bounds a reason that is taken as a class of its own; longer
// ones, and texts, are ReasonOther.
const maxReasonClass = 40

// normaliseMail brings the dimensions of an email.* event into the forms that
// totals are counted by: domain in lower case without a dot at its end;
// direction, transport and severity in lower case; direction of accepted and
// transport of delivered filled in; reason a class. A reason that the class does
// not repeat stays in the data as provider_reason.
func normaliseMail(ev *Event) *Rejection {
	if ev.BadField != "" {
		return nil // checkData refuses it
	}
	for _, f := range [...]Field{Domain, Direction, Transport, Severity} {
		if !plainLower(ev.Strings[f]) { // nearly all are
			ev.setText(f, MailDomain(ev.text(f)))
		}
	}
	switch string(ev.Type[len(EmailPrefix):]) {
	case "accepted":
		if ev.text(Direction) == "" {
			ev.setText(Direction, directionBy(ev.flag("is-authenticated")))
		}
	case "delivered":
		if ev.text(Transport) == "" {
			ev.setText(Transport, TransportSMTP)
		}
	case "failed":
		delayed := ev.flag("is-delayed-bounce")
		if ev.text(Severity) == Temporary {
			delayed = flagAbsent
		}
		said := ev.text(MailReason)
		class := reasonClass(said, delayed)
		ev.setText(MailReason, class)
		if class != said && said != "" {
			ev.keep("provider_reason", said)
		}
	default:
		if said := ev.text(MailReason); said != "" {
			if class := reasonClass(said, flagAbsent); class != said {
				ev.setText(MailReason, class)
				ev.keep("provider_reason", said)
			}
		}
	}
	return nil
}

// plainLower says that MailDomain changes nothing of text.
func plainLower(text []byte) bool {
	for _, c := range text {
		if (c < 'a' || c > 'z') && !isDigit(c) && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return len(text) == 0 || text[len(text)-1] != '.'
}

// MailDomain is a domain in the form that events and registry are compared in.
func MailDomain(name string) string {
	return strings.TrimSuffix(strings.ToLower(strings.TrimSpace(name)), ".")
}

// flag is what data.flags says.
type flag uint8

const (
	flagAbsent flag = iota
	flagFalse
	flagTrue
)

func flagOf(value json.RawMessage) flag {
	switch string(value) {
	case "true", `"true"`:
		return flagTrue
	case "false", `"false"`:
		return flagFalse
	}
	return flagAbsent
}

// directionBy: mail that nobody authenticated for came in.
func directionBy(authenticated flag) string {
	if authenticated == flagFalse {
		return Incoming
	}
	return Outgoing
}

// reasonClass is the dimension reason. The flag is-delayed-bounce alone makes a
// bounce a delayed one; where it says that it is none, the word does not.
func reasonClass(said string, delayed flag) string {
	class := strings.ToLower(strings.TrimSpace(said))
	switch {
	case delayed == flagTrue:
		return ReasonDelayedBounce
	case class == ReasonDelayedBounce && delayed == flagFalse, len(class) > maxReasonClass:
		return ReasonOther
	}
	for _, c := range []byte(class) {
		if !isDigit(c) && (c < 'a' || c > 'z') && c != '-' && c != '_' && c != '.' {
			return ReasonOther
		}
	}
	return class
}

func (ev *Event) text(f Field) string {
	if !ev.Present.Has(f) {
		return ""
	}
	return string(ev.Strings[f])
}

// setText sets a field; its old bytes, which may be a view into the record, stay.
func (ev *Event) setText(f Field, text string) {
	switch {
	case text == "" && !ev.Present.Has(f):
	case string(ev.Strings[f]) == text && ev.Present.Has(f):
	default:
		ev.Strings[f] = []byte(text)
		ev.Present |= 1 << f
	}
}

// flag looks for a flag in data.flags.
func (ev *Event) flag(name string) flag {
	if !bytes.Contains(ev.Rest, []byte(`"flags"`)) {
		return flagAbsent
	}
	return flagOf(jsonObject(jsonObject(ev.Rest)["flags"])[name])
}

// keep adds a member to the leftover data, which does not have it.
func (ev *Event) keep(name, text string) {
	if _, there := jsonObject(ev.Rest)[name]; there {
		return
	}
	rest := slices.Clone(bytes.TrimSuffix(ev.Rest, []byte{'}'}))
	if len(rest) == 0 {
		rest = append(rest, '{')
	} else if len(rest) > 1 {
		rest = append(rest, ',')
	}
	value, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always marshals
	}
	ev.Rest = append(append(append(append(append(rest, '"'), name...), '"', ':'), value...), '}')
}

// jsonObject are an object's members; none of what is no object. The text is
// known to be JSON.
func jsonObject(text []byte) (members map[string]json.RawMessage) {
	if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &members) != nil {
		return nil
	}
	return members
}

// jsonString is a string's text, "" of what is no string.
func jsonString(value json.RawMessage) (text string) {
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}
