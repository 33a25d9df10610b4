package producer

import (
	"bytes"
	"time"

	"tallybook/schemas"
)

// parseApacheError reads a line of Apache's error log, 2.2's or 2.4's:
//
//	[Sun Dec 04 04:47:44 2005] [error] [client 1.2.3.4] message
//	[Sun Dec 04 04:47:44.123456 2005] [core:error] [pid 7:tid 9] [client 1.2.3.4:567] AH00036: message
func parseApacheError(line []byte) (event, skip) {
	stamp, rest, ok := bracket(line)
	if !ok {
		return event{}, skipMalformed
	}
	at, err := time.Parse(time.ANSIC, string(stamp))
	if err != nil {
		return event{}, skipTime
	}
	level, rest, ok := bracket(rest)
	if !ok {
		return event{}, skipMalformed
	}
	module, severity, ok := bytes.Cut(level, []byte(":"))
	if !ok {
		module, severity = nil, level
	}
	switch string(severity) {
	case "emerg", "alert", "crit", "error":
	case "warn", "notice", "info", "debug":
		return event{}, "level_" + skip(severity)
	default:
		return event{}, skipMalformed
	}
	e := event{topic: schemas.Errors, typ: schemas.TypeAPIError, time: at.UnixMicro(), hasTime: true,
		endpoint: []byte("/"), status: 500, bytes: -1}
	for {
		block, after, ok := bracket(rest)
		if !ok {
			break
		}
		if client, is := bytes.CutPrefix(block, []byte("client ")); is {
			e.clientIP = withoutPort(client)
		}
		rest = after
	}
	e.errorText = rest
	if e.clientIP != nil {
		if i := bytes.LastIndex(rest, []byte(": /")); i >= 0 {
			e.endpoint = targetPath(rest[i+2:])
		}
	}
	e.errorCode = apacheCode(rest, module, severity)
	return e, ""
}

// bracket takes "[text] rest" apart.
func bracket(line []byte) (text, rest []byte, ok bool) {
	if len(line) == 0 || line[0] != '[' {
		return nil, line, false
	}
	text, rest, ok = bytes.Cut(line[1:], []byte("]"))
	if !ok {
		return nil, line, false
	}
	return text, bytes.TrimLeft(rest, " "), true
}

// withoutPort cuts 2.4's port: 1.2.3.4:567, [::1]:567. A bare IPv6 address
// (2.2 writes one without port) has more than one colon and stays.
func withoutPort(client []byte) []byte {
	if i := bytes.LastIndexByte(client, ':'); i > 0 && i == bytes.IndexByte(client, ':') {
		return client[:i]
	}
	return client
}

// apacheCode names the kind of error by the most telling word there is.
func apacheCode(message, module, severity []byte) []byte {
	first, _, _ := bytes.Cut(message, []byte(" "))
	if code, ok := bytes.CutSuffix(first, []byte(":")); ok && len(code) == 7 &&
		bytes.HasPrefix(code, []byte("AH")) && allDigits(code[2:]) {
		return code
	}
	if len(module) > 0 {
		return module
	}
	if bytes.HasPrefix(first, []byte("mod_")) {
		return first
	}
	return severity
}
