package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// AppSource is the source of the application events that POST /events/ makes.
const AppSource = "/events/"

// appRecord is what POST /events/ makes of a body, as a record of the topic:
// data has the session's id in place of the session, time is the timestamp in
// RFC 3339. What the body has wrong stands in the record as wrong, so that the
// worker finds it and its error row shows it. timestamp, an extension
// attribute, is the member of the body as it came.
type appRecord struct {
	SpecVersion string         `json:"specversion"`
	ID          string         `json:"id"`
	Source      string         `json:"source"`
	Type        string         `json:"type"`
	Subject     string         `json:"subject"`
	Time        string         `json:"time"` // "": the body has no timestamp
	Timestamp   jsontext.Value `json:"timestamp,omitzero"`
	Data        appBody        `json:"data"`
}

// appBody is a body of POST /events/; in a record, Session is the id alone and
// Timestamp is left out.
type appBody struct {
	Session   jsontext.Value `json:"session,omitzero"`
	Category  jsontext.Value `json:"category,omitzero"`
	Name      jsontext.Value `json:"name,omitzero"`
	Data      jsontext.Value `json:"data,omitzero"`
	Timestamp jsontext.Value `json:"timestamp,omitzero"`
}

// NewAppRecord makes the record of an application event. Its only errors are of
// a body that is no JSON object; members that it does not know are left out.
func NewAppRecord(id, account string, body []byte) ([]byte, error) {
	var b appBody
	if text := jsontext.Value(body); text.Kind() != '{' && text.IsValid() {
		return nil, errors.New("it is another JSON value")
	}
	if err := json.Unmarshal(body, &b); err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "jsontext: "))
	}
	r := appRecord{"1.0", id, AppSource, TypeAppEvent, account, "", b.Timestamp, b}
	r.Data.Timestamp = nil
	if b.Session.Kind() == '{' {
		var session struct {
			ID jsontext.Value `json:"id,omitzero"`
		}
		if err := json.Unmarshal(b.Session, &session); err != nil {
			return nil, err
		}
		r.Data.Session = session.ID
	}
	switch b.Timestamp.Kind() {
	case '"':
		var text string
		if err := json.Unmarshal(b.Timestamp, &text); err != nil {
			return nil, err
		}
		r.Time = text
		if micros, ok := ParseAppTime(text); ok {
			r.Time = FormatTime(micros)
		}
	case 'n', 0:
	default:
		r.Time = string(b.Timestamp)
	}
	return json.Marshal(&r)
}

// AppBody is the body that a record was made of; ok is false for a record that
// NewAppRecord did not make.
func AppBody(record []byte) (body []byte, ok bool) {
	var r appRecord
	if err := json.Unmarshal(record, &r); err != nil || r.Source != AppSource || r.Type != TypeAppEvent {
		return nil, false
	}
	if r.Data.Timestamp = r.Timestamp; r.Data.Session != nil && r.Data.Session.Kind() != 'n' {
		r.Data.Session = slices.Concat(jsontext.Value(`{"id":`), r.Data.Session, jsontext.Value(`}`))
	}
	body, err := json.Marshal(&r.Data)
	return body, err == nil
}

// OfAppBody is a rejection of such a record in the words of the body.
func (r *Rejection) OfAppBody() *Rejection {
	is := *r
	switch {
	case r.Field == "time" && (r.Reason == MissingField || r.Reason == InvalidValue):
		is.Message = "timestamp is required: " + AppTimeForms
		if r.Reason == InvalidValue {
			is.Message = "timestamp must be " + AppTimeForms
		}
		is.Field = "timestamp"
	case r.Field == "time":
		is.Field, is.Message = "timestamp", "timestamp"+strings.TrimPrefix(r.Message, "time")
	default:
		inBody := strings.NewReplacer("data.session", "session.id", "data.", "")
		is.Field, is.Message = inBody.Replace(r.Field), inBody.Replace(r.Message)
	}
	return &is
}

// FormatTime is a time as answers show it: RFC 3339 in UTC, with as many
// fractional digits as it has.
func FormatTime(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// AppTimeForms is what ParseAppTime takes, in words.
const AppTimeForms = "YYYY-MM-DD HH:MM:SS[.ffffff] (UTC) or RFC 3339"

// ParseAppTime reads a timestamp of events.md into µs since 1970 UTC.
func ParseAppTime(text string) (micros int64, ok bool) {
	const date = len("2006-01-02")
	if len(text) > date && text[date] == ' ' {
		plain := text[:date] + "T" + text[date+1:]
		if micros, ok = ParseTime([]byte(plain + "Z")); ok {
			return micros, true
		}
		text = plain // RFC 3339 allows the space too
	}
	return ParseTime([]byte(text))
}

// AppPayload is data.data of an application event: a JSON object or array that
// is not empty, or a string that holds the text of one. It is a view of ev, or
// of new memory.
func AppPayload(ev *Event) ([]byte, *Rejection) {
	const field = "data.data"
	const want = " must be a JSON object or array that is not empty, or a string that holds one"
	var s scanner
	s.start(ev.Rest)
	if s.peek() != '{' || !s.seekName([]byte("data")) || s.peek() == 'n' {
		return nil, &Rejection{MissingField, field, field + " is required: it" + want}
	}
	start := s.pos
	var payload []byte
	if s.peek() == '"' {
		payload = append([]byte(nil), s.str()...)
		if strings.TrimSpace(string(payload)) == "" {
			return nil, &Rejection{EmptyData, field, field + want}
		}
		s.start(payload)
		s.space()
		start = s.pos
		s.value(1)
		end := s.pos
		if s.end(); s.err != "" {
			return nil, &Rejection{InvalidData, field, fmt.Sprintf("%s is a string that holds no JSON: at byte %d: %s", field, s.pos, s.err)}
		}
		payload = appendCompact(nil, payload[start:end])
	} else {
		s.value(1)
		payload = ev.Rest[start:s.pos]
	}
	switch string(payload) {
	case "{}", "[]":
		return nil, &Rejection{EmptyData, field, field + want}
	}
	if payload[0] != '{' && payload[0] != '[' {
		return nil, &Rejection{InvalidData, field, field + want}
	}
	return payload, nil
}

// checkAppEvent looks at what the store keeps in columns of its own, too.
func checkAppEvent(ev *Event) *Rejection {
	for _, f := range []Field{Session, Category, Name} {
		if hasControl(ev.Strings[f]) {
			return controlRejection(columnPaths[f])
		}
	}
	_, rejection := AppPayload(ev)
	return rejection
}

// CheckReceipt holds an application event's time against the moment of its
// receipt, the record's Kafka time in µs. There is no tolerance: what an
// application did is over when it tells. Events of other types pass.
func CheckReceipt(ev *Event, received int64) *Rejection {
	if len(ev.Type) != len(TypeAppEvent) || string(ev.Type) != TypeAppEvent || ev.Time <= received {
		return nil
	}
	return &Rejection{TimeAfterReceipt, "time", fmt.Sprintf("time must not be later than the receipt, %s",
		FormatTime(received))}
}

// AppEventShown is an application event as answers show it; session, category,
// name, data and timestamp are what POST /events/ takes.
type AppEventShown struct {
	ID        string          `json:"id"`
	Session   AppSessionShown `json:"session"`
	Category  string          `json:"category"`
	Name      string          `json:"name"`
	Data      jsontext.Value  `json:"data"`
	Timestamp string          `json:"timestamp"`
	Revision  int64           `json:"revision"` // the ETag
	Account   string          `json:"account"`
	Source    string          `json:"source"` // AppSource, where POST /events/ made it
}

// AppSessionShown names a session.
type AppSessionShown struct {
	ID string `json:"id"`
}
