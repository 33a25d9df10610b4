package producer

import (
	"bytes"
	"time"

	"tallybook/schemas"
)

const combinedTime = "02/Jan/2006:15:04:05 -0700"

// parseCombined reads a line of an access log in common or combined format.
// What follows the body size is not looked at.
func parseCombined(line []byte) (event, skip) {
	host, rest, ok := bytes.Cut(line, []byte(" "))
	open := bytes.Index(rest, []byte(" ["))
	if !ok || len(host) == 0 || open < 0 {
		return event{}, skipMalformed
	}
	stamp, rest, ok := bytes.Cut(rest[open+2:], []byte(`] "`))
	if !ok {
		return event{}, skipMalformed
	}
	at, err := time.Parse(combinedTime, string(stamp))
	if err != nil {
		return event{}, skipTime
	}
	end := closingQuote(rest)
	if end < 0 || !bytes.HasPrefix(rest[end:], []byte(`" `)) {
		return event{}, skipMalformed
	}
	method, endpoint := splitRequest(rest[:end])
	code, rest, _ := bytes.Cut(rest[end+2:], []byte(" "))
	status, ok := parseStatus(code)
	if !ok {
		return event{}, skipStatus
	}
	size, _, _ := bytes.Cut(rest, []byte(" "))
	n, ok := parseSize(size)
	if !ok {
		return event{}, skipMalformed
	}
	return event{topic: schemas.Usage, typ: schemas.TypeRequest, time: at.UnixMicro(), hasTime: true,
		endpoint: endpoint, method: method, clientIP: host, status: status, bytes: n}, ""
}

// closingQuote is the first quote without a backslash before it, or -1.
func closingQuote(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

var dash = []byte("-")

// splitRequest reads "GET /a?b HTTP/1.1" as GET and /a. A text that is no
// request line gives "-" twice. HTTP/0.9 sends no protocol.
func splitRequest(text []byte) (method, endpoint []byte) {
	method, target, ok := bytes.Cut(text, []byte(" "))
	if !ok || !isMethod(method) {
		return dash, dash
	}
	if i := bytes.LastIndex(target, []byte(" HTTP/")); i >= 0 {
		target = target[:i]
	}
	if endpoint = targetPath(target); len(endpoint) == 0 {
		return dash, dash
	}
	return method, endpoint
}

func isMethod(text []byte) bool {
	for _, c := range text {
		if (c < 'A' || c > 'Z') && c != '-' && c != '_' {
			return false
		}
	}
	return len(text) > 0 && len(text) <= 32 && text[0] != '-'
}

// targetPath is a request target without query and fragment; a proxy's
// absolute form (http://host/path) also loses scheme and host.
func targetPath(target []byte) []byte {
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	for _, scheme := range []string{"http://", "https://"} {
		after, ok := bytes.CutPrefix(target, []byte(scheme))
		if !ok {
			continue
		}
		if i := bytes.IndexByte(after, '/'); i >= 0 {
			return after[i:]
		}
		return []byte("/")
	}
	return target
}

func parseStatus(text []byte) (int, bool) {
	n, ok := parseUint(text)
	if !ok || len(text) != 3 || n < 100 {
		return 0, false
	}
	return int(n), true
}

// parseSize reads a body size; "-" is none, -1.
func parseSize(text []byte) (int64, bool) {
	if len(text) == 1 && text[0] == '-' {
		return -1, true
	}
	return parseUint(text)
}

func parseUint(text []byte) (int64, bool) {
	if len(text) == 0 || len(text) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
