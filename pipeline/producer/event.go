package producer

import (
	"strconv"
	"time"
	"unicode/utf8"

	"tallybook/schemas"
)

// skip is why a line is no event; "" means that it is one.
type skip string

const (
	skipEmpty       skip = "empty_line"
	skipTooLong     skip = "line_too_long"   // over maxLine
	skipTooLarge    skip = "event_too_large" // over maxEvent: Kafka would refuse it
	skipMalformed   skip = "malformed"       // not of the format
	skipTime        skip = "bad_time"
	skipStatus      skip = "bad_status"
	skipNoRequest   skip = "no_request"    // openstack: another kind of line
	skipNoRequestID skip = "no_request_id" // openstack: a request with [-]
	skipNoAccount   skip = "no_account"
	skipCorrection  skip = "correction" // ndjson: event.retracted, event.amended
)

// event is what a line says. Slices are views into the line.
type event struct {
	raw       []byte // ndjson: the whole event; what follows time is then unused
	topic     schemas.Topic
	typ       string
	account   []byte // nil: the configured one
	time      int64  // µs; see hasTime
	hasTime   bool
	endpoint  []byte
	method    []byte // nil: absent
	clientIP  []byte // nil: absent
	status    int
	bytes     int64  // -1: absent
	latencyMS []byte // decimal text; nil: absent
	errorCode []byte // api.error, as errorText
	errorText []byte
}

// identity is what the line does not say.
type identity struct {
	id, source, account, api string
}

// append appends the event as structured JSON.
func (e *event) append(b []byte, of *identity) []byte {
	b = append(b, `{"specversion":"1.0","id":"`...)
	b = append(b, of.id...)
	b = append(b, `","source":"`...)
	b = append(b, of.source...)
	b = append(b, `","type":"`...)
	b = append(b, e.typ...)
	b = append(b, `","subject":`...)
	b = appendString(b, of.account)
	b = append(b, `,"time":"`...)
	b = appendTime(b, e.time)
	b = append(b, `","data":{"api":`...)
	b = appendString(b, of.api)
	b = append(b, `,"endpoint":`...)
	b = appendString(b, e.endpoint)
	b = appendField(b, `,"method":`, e.method)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(e.status), 10)
	if e.latencyMS != nil {
		b = append(b, `,"latency_ms":`...)
		b = append(b, e.latencyMS...)
	}
	if e.bytes >= 0 {
		b = append(b, `,"bytes":`...)
		b = strconv.AppendInt(b, e.bytes, 10)
	}
	b = appendField(b, `,"client_ip":`, e.clientIP)
	b = appendField(b, `,"error_code":`, e.errorCode)
	b = appendField(b, `,"error_description":`, e.errorText)
	return append(b, "}}"...)
}

func appendField(b []byte, name string, text []byte) []byte {
	if text == nil {
		return b
	}
	return appendString(append(b, name...), text)
}

// appendString appends s as a JSON string; bytes that are no UTF-8 become
// U+FFFD, since a log holds whatever its clients sent.
func appendString[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, n := utf8.DecodeRuneInString(string(s[i:min(len(s), i+utf8.UTFMax)]))
			b = utf8.AppendRune(b, r)
			i += n
			continue
		}
		i++
	}
	return append(b, '"')
}

// appendTime appends µs since 1970 as RFC 3339 in UTC, without a fraction
// where there is none.
func appendTime(b []byte, micros int64) []byte {
	return time.UnixMicro(micros).UTC().AppendFormat(b, "2006-01-02T15:04:05.999999Z07:00")
}
