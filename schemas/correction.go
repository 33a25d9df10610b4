package schemas

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/go-json-experiment/json/jsontext"
)

// Correction is what an event.retracted or event.amended says. It names an
// event of its own account. An amendment replaces that event's data as a whole;
// id, source, account, type and time of an event never change.
type Correction struct {
	Source, ID string // of the event that it corrects
	Revision   int64  // 1 for an event's first correction, and so on without a gap
	After      []byte // amended: the new data, a JSON object; nil: retracted
	Reason     string // in words, may be empty
}

const (
	// MaxCorrection bounds the data of a correction, in bytes: an event's whole
	// data with its longest fields fits.
	MaxCorrection = 256 << 10
	maxRevision   = 1_000_000_000
)

// IsCorrection reports whether events of the type correct others.
func IsCorrection(eventType []byte) bool {
	return string(eventType) == TypeRetracted || string(eventType) == TypeAmended
}

// ParseCorrection reads a decoded correction's data. Whether After is what the
// type of the corrected event demands is for DecodeAfter, once that type is
// known. What it returns holds no memory of ev.
func ParseCorrection(ev *Event) (Correction, *Rejection) {
	var c Correction
	members, rejection := objectMembers("data", ev.Rest)
	if rejection != nil {
		return c, rejection
	}
	target, rejection := objectMembers("data.event", members["event"])
	if rejection != nil {
		return c, rejection
	}
	if c.Source, rejection = requiredText("data.event.source", target["source"], MaxSource); rejection != nil {
		return c, rejection
	}
	if c.ID, rejection = requiredText("data.event.id", target["id"], MaxID); rejection != nil {
		return c, rejection
	}
	if c.Revision, rejection = revisionOf(members["revision"]); rejection != nil {
		return c, rejection
	}
	if rejection = c.readAfter(ev, members["after"]); rejection != nil {
		return c, rejection
	}
	if ev.Present.Has(MailReason) { // on the topic of e-mails it is a column
		c.Reason = string(ev.Strings[MailReason])
		rejection = checkText("data.reason", ev.Strings[MailReason], MaxString)
	} else if reason := members["reason"]; !absent(reason) {
		c.Reason, rejection = textOf("data.reason", reason, MaxString)
	}
	return c, rejection
}

func (c *Correction) readAfter(ev *Event, after jsontext.Value) *Rejection {
	const field = "data.after"
	switch amended := string(ev.Type) == TypeAmended; {
	case !amended && !absent(after):
		return &Rejection{InvalidValue, field, field + " belongs to " + TypeAmended + "; a retraction has none"}
	case !amended:
		return nil
	case absent(after):
		return &Rejection{MissingField, field, field + " is required: the event's new data, whole, an object"}
	case after.Kind() != '{':
		return &Rejection{WrongType, field, field + " must be an object: the event's new data, whole"}
	}
	c.After = after.Clone()
	return nil
}

func revisionOf(value jsontext.Value) (int64, *Rejection) {
	const field = "data.revision"
	want := fmt.Sprintf("%s must be a whole number from 1 to %d", field, maxRevision)
	if absent(value) {
		return 0, &Rejection{MissingField, field, field + " is required: 1 for an event's first correction, then 2, …"}
	}
	n, err := parseNumber(value)
	if err != nil {
		return 0, &Rejection{WrongType, field, want}
	}
	revision, err := n.integer()
	if err != nil {
		return 0, &Rejection{numberReason(err), field, want}
	}
	if revision < 1 || revision > maxRevision {
		return 0, &Rejection{InvalidValue, field, want}
	}
	return revision, nil
}

func absent(value jsontext.Value) bool { return len(value) == 0 || value.Kind() == 'n' }

// objectMembers are the members of an object that was checked to be strict JSON.
func objectMembers(field string, value jsontext.Value) (map[string]jsontext.Value, *Rejection) {
	const want = " an object, such as {\"event\": {\"source\": \"…\", \"id\": \"…\"}, \"revision\": 1}"
	if absent(value) {
		if field == "data" {
			field = "data.event"
		}
		return nil, &Rejection{MissingField, field, field + " is required; data is" + want}
	}
	if value.Kind() != '{' {
		return nil, &Rejection{WrongType, field, field + " must be an object; data is" + want}
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(value, &members); err != nil {
		return nil, &Rejection{InvalidJSON, field, err.Error()}
	}
	all := make(map[string]jsontext.Value, len(members))
	for name, member := range members {
		all[name] = jsontext.Value(member)
	}
	return all, nil
}

func requiredText(field string, value jsontext.Value, limit int) (string, *Rejection) {
	if absent(value) {
		return "", &Rejection{MissingField, field, field + " is required: a non-empty string"}
	}
	text, rejection := textOf(field, value, limit)
	if rejection == nil && text == "" {
		rejection = &Rejection{InvalidValue, field, field + " must not be empty"}
	}
	return text, rejection
}

func textOf(field string, value jsontext.Value, limit int) (string, *Rejection) {
	var text string
	if value.Kind() != '"' || json.Unmarshal(value, &text) != nil {
		return "", &Rejection{WrongType, field, field + " must be a string"}
	}
	return text, checkText(field, []byte(text), limit)
}

// DecodeAfter reads After as the data of an event of the given type and topic
// into ev, and holds it against the rules of the type. Identity and time of ev
// are the caller's to fill in.
func (d *Decoder) DecodeAfter(topic Topic, eventType string, after []byte, ev *Event) *Rejection {
	attributes := map[string]string{"ce_specversion": "1.0", "ce_id": "-", "ce_source": "-", "ce_type": eventType}
	rejection := d.DecodeBinary(topic, func(name string) ([]byte, bool) {
		text, ok := attributes[name]
		return []byte(text), ok
	}, after, ev)
	if rejection == nil {
		anyTime := Rules{OldestTime: math.MinInt64}
		rejection = anyTime.Validate(topic, ev, math.MaxInt64)
	}
	if rejection != nil && len(rejection.Field) >= len("data") && rejection.Field[:len("data")] == "data" {
		rejection = &Rejection{rejection.Reason, "data.after" + rejection.Field[len("data"):], "of the amended event, " + rejection.Message}
	}
	return rejection
}

// NewRetraction is the event that takes another one back; c.After is not looked at.
func NewRetraction(own Identity, c Correction) []byte {
	c.After = nil
	return correctionEvent(TypeRetracted, own, c)
}

// NewAmendment is the event that gives another one new data, c.After, which must
// be JSON.
func NewAmendment(own Identity, c Correction) ([]byte, error) {
	if !json.Valid(c.After) {
		return nil, fmt.Errorf("amend %s: the new data is no JSON", c.ID)
	}
	return correctionEvent(TypeAmended, own, c), nil
}

func correctionEvent(eventType string, own Identity, c Correction) []byte {
	type target struct {
		Source string `json:"source"`
		ID     string `json:"id"`
	}
	type data struct {
		Event    target          `json:"event"`
		Revision int64           `json:"revision"`
		After    json.RawMessage `json:"after,omitempty"`
		Reason   string          `json:"reason,omitempty"`
	}
	e := NewCloudEvent(own, eventType, data{target{c.Source, c.ID}, c.Revision, c.After, c.Reason})
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and valid JSON always marshal
	}
	return b
}
