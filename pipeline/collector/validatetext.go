package collector

import (
	"strings"
	"time"

	"tallybook/schemas"
)

// verdict says whether a request may be made.
type verdict struct {
	Allowed                        bool
	Reason, Customer, Subscription string // "": none
	HasQuota                       bool   // the rest is of it
	Limit, Used, Remaining         schemas.Decimal
	ResetsAt                       time.Time // zero: it never does
}

// append writes the answer. It is asked for in front of every call of somebody's
// API, and encoding/json takes longer than deciding.
func (v *verdict) append(b []byte) []byte {
	if v.Allowed {
		b = append(b, `{"allowed":true`...)
	} else {
		b = append(b, `{"allowed":false`...)
	}
	if v.Reason != "" {
		b = appendOrNull(append(b, `,"reason":`...), v.Reason)
	}
	b = appendOrNull(append(b, `,"customer":`...), v.Customer)
	b = appendOrNull(append(b, `,"subscription":`...), v.Subscription)
	if !v.HasQuota {
		return append(b, `,"limit":null,"used":0,"remaining":null,"resets_at":null}`...)
	}
	b = v.Limit.Append(append(b, `,"limit":`...))
	b = v.Used.Append(append(b, `,"used":`...))
	b = v.Remaining.Append(append(b, `,"remaining":`...))
	if v.ResetsAt.IsZero() {
		return append(b, `,"resets_at":null}`...)
	}
	b = v.ResetsAt.AppendFormat(append(b, `,"resets_at":"`...), time.RFC3339Nano)
	return append(b, `"}`...)
}

// appendOrNull appends null for "".
func appendOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	if plainText(s) == len(s) {
		return append(append(append(b, '"'), s...), '"')
	}
	return appendText(b, s)
}

// plainText is the length of the part of s in front that stands for itself
// between quotes.
func plainText(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c > '~' || c == '<' || c == '>' || c == '&' {
			return i
		}
	}
	return len(s)
}

// checkText reads checks as nearly everybody writes them: their names as
// documented, their values texts without escapes. What it does not take may still
// be right; encoding/json tells. The texts of a check are parts of the body's.
type checkText struct {
	rest string
	bad  bool
}

// skip passes blanks and c; it reports whether c was there.
func (t *checkText) skip(c byte) bool {
	t.rest = strings.TrimLeft(t.rest, " \t\r\n")
	if t.rest == "" || t.rest[0] != c {
		return false
	}
	t.rest = t.rest[1:]
	return true
}

// must is skip where nothing else may come.
func (t *checkText) must(c byte) { t.bad = !t.skip(c) || t.bad }

func (t *checkText) text() string {
	t.must('"')
	n := plainText(t.rest)
	s := t.rest[:n]
	t.rest = t.rest[n:]
	if t.rest == "" || t.rest[0] != '"' {
		t.bad = true
		return ""
	}
	t.rest = t.rest[1:]
	return s
}

func (t *checkText) check(k *check) {
	t.must('{')
	for more := !t.skip('}'); more && !t.bad; more = !t.skip('}') {
		name := t.text()
		t.must(':')
		value := t.text()
		switch name {
		case "apiKey":
			key := value // alone on the heap
			k.APIKey = &key
		case "apiName":
			k.APIName = value
		case "apiversion":
			k.Version = value
		case "endPointName":
			k.Endpoint = value
		default:
			t.bad = true
		}
		if !t.skip(',') {
			t.must('}')
			return
		}
		t.bad = t.bad || strings.HasPrefix(strings.TrimLeft(t.rest, " \t\r\n"), "}")
	}
}

// parseCheck and parseChecks report false where encoding/json has to look.
func parseCheck(body string, k *check) bool {
	t := checkText{rest: body}
	t.check(k)
	return t.end()
}

func parseChecks(body string) (checks []check, ok bool) {
	t := checkText{rest: body}
	t.must('[')
	if t.skip(']') {
		return []check{}, t.end()
	}
	checks = make([]check, 0, 16)
	for !t.bad && len(checks) <= maxChecks {
		var k check
		t.check(&k)
		checks = append(checks, k)
		if !t.skip(',') {
			t.must(']')
			return checks, t.end()
		}
	}
	return nil, false
}

func (t *checkText) end() bool {
	return !t.bad && strings.TrimLeft(t.rest, " \t\r\n") == ""
}
