package producer

import (
	"bytes"
	"time"

	"tallybook/schemas"
)

// parseOpenStack reads a line of nova's log:
//
//	[file] date time pid LEVEL logger [req-ID user tenant …] addresses "METHOD target PROTOCOL" status: N len: N time: SECONDS
func parseOpenStack(line []byte) (event, skip) {
	_, afterBlock, ok := bytes.Cut(line, []byte("] "))
	if !ok || !bytes.Contains(afterBlock, []byte(`" status: `)) {
		return event{}, skipNoRequest
	}
	head, block, ok := bytes.Cut(line[:len(line)-len(afterBlock)-2], []byte(" ["))
	if !ok {
		return event{}, skipMalformed
	}
	ids := bytes.Fields(block)
	if len(ids) == 0 || !bytes.HasPrefix(ids[0], []byte("req-")) {
		return event{}, skipNoRequestID
	}
	at, ok := openStackTime(head)
	if !ok {
		return event{}, skipTime
	}
	e, ok := openStackRequest(afterBlock)
	if !ok {
		return event{}, skipMalformed
	}
	if e.status == 0 {
		return event{}, skipStatus
	}
	e.time, e.hasTime = at.UnixMicro(), true
	if len(ids) > 2 && string(ids[2]) != "-" {
		e.account = ids[2]
	}
	return e, ""
}

// openStackTime finds the date and time in the first three words.
func openStackTime(head []byte) (time.Time, bool) {
	words := bytes.Fields(head)
	for i := 0; i < 2 && i+1 < len(words); i++ {
		text := string(words[i]) + " " + string(words[i+1])
		if at, err := time.Parse(time.DateTime, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// openStackRequest reads what follows the request block.
func openStackRequest(text []byte) (event, bool) {
	addresses, text, ok := bytes.Cut(text, []byte(` "`))
	if !ok {
		return event{}, false
	}
	client, _, _ := bytes.Cut(addresses, []byte(","))
	end := closingQuote(text)
	if end < 0 {
		return event{}, false
	}
	method, endpoint := splitRequest(text[:end])
	words := bytes.Fields(text[end+1:])
	if len(words) != 6 || string(words[0]) != "status:" || string(words[2]) != "len:" || string(words[4]) != "time:" {
		return event{}, false
	}
	status, _ := parseStatus(words[1])
	size, ok := parseSize(words[3])
	if !ok {
		return event{}, false
	}
	millis, ok := shiftThousand(words[5])
	return event{topic: schemas.Usage, typ: schemas.TypeRequest, endpoint: replaceIDs(endpoint), method: method,
		clientIP: client, status: status, bytes: size, latencyMS: millis}, ok
}

// shiftThousand is plain decimal text times 1000, exactly: "0.2477829" is
// 247.7829. A float would not keep the digits.
func shiftThousand(text []byte) ([]byte, bool) {
	whole, frac, point := bytes.Cut(text, []byte("."))
	if len(whole) == 0 || len(text) > 32 || (point && len(frac) == 0) || !allDigits(whole) || !allDigits(frac) {
		return nil, false
	}
	digits := append(append([]byte(nil), whole...), frac...)
	for len(digits) < len(whole)+3 {
		digits = append(digits, '0')
	}
	split := len(whole) + 3
	units := bytes.TrimLeft(digits[:split], "0")
	out := append([]byte(nil), units...)
	if len(units) == 0 {
		out = append(out, '0')
	}
	if rest := bytes.TrimRight(digits[split:], "0"); len(rest) > 0 {
		out = append(append(out, '.'), rest...)
	}
	return out, true
}

// replaceIDs puts {id} in the place of each path segment that is a UUID, 32
// hex digits or a number, so that a route is one series.
func replaceIDs(path []byte) []byte {
	var out []byte // nil while nothing was replaced
	for start := 0; start <= len(path); {
		end := start + bytes.IndexByte(path[start:], '/')
		if end < start {
			end = len(path)
		}
		segment := path[start:end]
		if isID(segment) {
			if out == nil {
				out = append(make([]byte, 0, len(path)), path[:start]...)
			}
			segment = []byte("{id}")
		}
		if out != nil {
			out = append(out, segment...)
			if end < len(path) {
				out = append(out, '/')
			}
		}
		start = end + 1
	}
	if out == nil {
		return path
	}
	return out
}

func isID(segment []byte) bool {
	if len(segment) == 36 {
		for i, c := range segment {
			if dashed := i == 8 || i == 13 || i == 18 || i == 23; dashed != (c == '-') || !dashed && !isHex(c) {
				return false
			}
		}
		return true
	}
	if len(segment) == 32 {
		for _, c := range segment {
			if !isHex(c) {
				return false
			}
		}
		return true
	}
	return len(segment) > 0 && allDigits(segment)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func allDigits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
