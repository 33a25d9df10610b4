package schemas

import (
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// attribute is a CloudEvents attribute that has a meaning here.
type attribute uint8

const (
	attrSpec attribute = iota
	attrID
	attrSource
	attrType
	attrTime
	attrSubject
	attrBase64
	numTexts
	attrData  = numTexts
	otherAttr = numTexts + 1
)

var attributeNames = [numTexts]string{"specversion", "id", "source", "type", "time", "subject", "data_base64"}

func attributeCode(name []byte) uint8 { return uint8(attributeOf(name)) }

func attributeOf(name []byte) attribute {
	switch string(name) {
	case "specversion":
		return attrSpec
	case "id":
		return attrID
	case "source":
		return attrSource
	case "type":
		return attrType
	case "time":
		return attrTime
	case "subject":
		return attrSubject
	case "data":
		return attrData
	case "data_base64":
		return attrBase64
	}
	return otherAttr
}

// envelope is what an event's attributes said, before any rule.
type envelope struct {
	texts   [numTexts][]byte // nil: absent, null or no string
	wrong   uint             // bit a: attribute a is no string (or no UTF-8)
	hasData bool
}

func (e *envelope) has(a attribute) bool { return e.texts[a] != nil }

// envelope reads the record's object, data on the way.
func (d *Decoder) envelope(env *envelope, ev *Event) {
	s := &d.scan
	s.space()
	if s.peek() != '{' {
		s.value(1)
		s.end()
		return
	}
	s.pos++
	var seen uint
	for k := 0; ; k++ {
		code, name, more := s.field(&d.attributes, k, attributeCode)
		if !more {
			break
		}
		a := attribute(code)
		if a == otherAttr { // an extension
			s.names = append(s.names, name)
			s.value(2)
			continue
		}
		if seen>>a&1 == 1 {
			s.fail("names in an object must differ")
			return
		}
		seen |= 1 << a
		switch c := s.peek(); {
		case a == attrData:
			env.hasData = c != 'n'
			d.data(ev)
		case c == '"':
			env.texts[a] = s.str()
		case c == 'n':
			s.literal("null")
		default:
			s.value(2)
			env.wrong |= 1 << a
		}
	}
	s.distinct(0)
	s.end()
}

// readHeaders takes the attributes from a record's headers.
func (e *envelope) readHeaders(headers func(name string) ([]byte, bool)) {
	for a := attrSpec; a <= attrSubject; a++ {
		value, ok := headers(headerNames[a])
		switch {
		case !ok:
		case !utf8.Valid(value):
			e.wrong |= 1 << a
		case value == nil:
			e.texts[a] = []byte{}
		default:
			e.texts[a] = value
		}
	}
}

var headerNames = [...]string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"}

// fill copies what was read into ev.
func (e *envelope) fill(ev *Event) {
	ev.ID, ev.Source, ev.Type = e.texts[attrID], e.texts[attrSource], e.texts[attrType]
	ev.Subject = e.texts[attrSubject]
	if e.has(attrTime) {
		ev.Time, ev.HasTime = ParseTime(e.texts[attrTime])
	}
}

// check holds the attributes against CloudEvents 1.0.
func (e *envelope) check(ev *Event) *Rejection {
	if string(e.texts[attrSpec]) != "1.0" {
		return &Rejection{InvalidEvent, "specversion", `an event must be a CloudEvents object with specversion "1.0"`}
	}
	for a := attrID; a <= attrSubject; a++ {
		name, text := attributeNames[a], e.texts[a]
		required := a <= attrType
		switch {
		case e.wrong>>a&1 == 1:
			return &Rejection{WrongType, name, name + " must be a string of UTF-8"}
		case required && text == nil:
			return &Rejection{MissingField, name, name + " is required: a non-empty string"}
		case required && len(text) == 0:
			return &Rejection{InvalidValue, name, name + " must not be empty"}
		}
	}
	if e.has(attrTime) && len(e.texts[attrTime]) == 0 {
		return &Rejection{MissingField, "time", "time must not be empty: a time of RFC 3339, or no such attribute"}
	}
	if e.has(attrTime) && !ev.HasTime {
		return &Rejection{InvalidValue, "time", "time must be of RFC 3339, such as 2026-01-31T23:59:59.123456Z, from year 0001 to 9999"}
	}
	if e.wrong>>attrBase64&1 == 1 {
		return wrongBase64()
	}
	if e.hasData && e.has(attrBase64) {
		return &Rejection{InvalidEvent, "data_base64", "an event has either data or data_base64"}
	}
	return nil
}

func wrongBase64() *Rejection {
	return &Rejection{WrongType, "data_base64", "data_base64 must be the base64 (RFC 4648) of JSON"}
}

// dataBase64 reads data_base64 as data. Only an event whose envelope is good
// gets here, so that nothing else stands in the scanner.
func (d *Decoder) dataBase64(env *envelope, ev *Event) *Rejection {
	var err error
	if d.base64, err = base64.StdEncoding.AppendDecode(d.base64, env.texts[attrBase64]); err != nil {
		return wrongBase64()
	}
	s := &d.scan
	// The attributes' own unescaped strings stay in text.
	s.data, s.pos = d.base64, 0
	d.document(ev)
	if s.err != "" {
		return wrongBase64()
	}
	return nil
}

func (d *Decoder) invalidJSON() *Rejection {
	return &Rejection{Reason: InvalidJSON,
		Message: fmt.Sprintf("a record must be one JSON object in UTF-8: at byte %d: %s", d.scan.pos, d.scan.err)}
}
