package producer

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tallybook/schemas"
)

// show is an event as one line of text, or the reason for skipping.
func show(e event, why skip) string {
	if why != "" {
		return "skip " + string(why)
	}
	at := "-"
	if e.hasTime {
		at = string(appendTime(nil, e.time))
	}
	return fmt.Sprintf("%s %s %q %s %s %q %s %d %d %s %q %q", e.topic, e.typ, e.account, at, e.method, e.endpoint,
		e.clientIP, e.status, e.bytes, e.latencyMS, e.errorCode, e.errorText)
}

func TestParse(t *testing.T) {
	const ok = ` 200 12 "-" "agent \"x\""`
	tests := []struct {
		format     Format
		line, want string
	}{
		{Combined, `1.2.3.4 - - [17/May/2015:10:05:03 +0200] "GET /a/b?c=d#e HTTP/1.1" 200 12`,
			`usage api.request "" 2015-05-17T08:05:03Z GET "/a/b" 1.2.3.4 200 12  "" ""`},
		{Combined, `::1 - John [x] Doe [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 304 - "-" "-"`, "skip bad_time"},
		{Combined, `::1 - John Doe [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 304 - "-" "-"`,
			`usage api.request "" 2015-05-17T10:05:03Z GET "/" ::1 304 -1  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET http://u@host/x?y HTTP/1.1"` + ok,
			`usage api.request "" 2015-05-17T10:05:03Z GET "/x" h 200 12  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET https://host HTTP/1.1"` + ok,
			`usage api.request "" 2015-05-17T10:05:03Z GET "/" h 200 12  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET /a b\"c HTTP/1.1"` + ok,
			`usage api.request "" 2015-05-17T10:05:03Z GET "/a b\\\"c" h 200 12  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET /old"` + ok,
			`usage api.request "" 2015-05-17T10:05:03Z GET "/old" h 200 12  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "-" 408 - "-" "-"`,
			`usage api.request "" 2015-05-17T10:05:03Z - "-" h 408 -1  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "\x16\x03\x01" 400 226`,
			`usage api.request "" 2015-05-17T10:05:03Z - "-" h 400 226  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "" 400 226`,
			`usage api.request "" 2015-05-17T10:05:03Z - "-" h 400 226  "" ""`},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET ?q HTTP/1.1" 400 226`,
			`usage api.request "" 2015-05-17T10:05:03Z - "-" h 400 226  "" ""`},
		{Combined, `h - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1"` + ok, "skip bad_time"},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" - 12`, "skip bad_status"},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 000 12`, "skip bad_status"},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 x`, "skip malformed"},
		{Combined, `h - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1`, "skip malformed"},
		{Combined, `nothing of the kind`, "skip malformed"},

		{OpenStack, `nova-api.log 2017-05-16 00:00:00.008 25746 INFO nova.osapi_compute.wsgi.server [req-38 u1 t1 - - -] 10.11.10.1 "GET /v2/54fadb412c4e40cdbaed9335e4c35a9e/servers/113D3a99-c3da-401f-bd62-cc2caa5b96d2/2?a=1 HTTP/1.1" status: 200 len: 1893 time: 0.2477829`,
			`usage api.request "t1" 2017-05-16T00:00:00.008Z GET "/v2/{id}/servers/{id}/{id}" 10.11.10.1 200 1893 247.7829 "" ""`},
		{OpenStack, `2017-05-16 00:14:47.652 1 INFO w [req-e5 - - - - -] 10.11.21.143,10.11.10.1 "GET /latest/meta-data/placement/ HTTP/1.1" status: 200 len: 134 time: 12`,
			`usage api.request "" 2017-05-16T00:14:47.652Z GET "/latest/meta-data/placement/" 10.11.21.143 200 134 12000 "" ""`},
		{OpenStack, `f 2017-05-16 00:14:47.652 1 INFO w [-] 10.1.1.1 "GET / HTTP/1.1" status: 200 len: 134 time: 0.4`, "skip no_request_id"},
		{OpenStack, `f 2017-05-16 00:14:47.652 1 INFO w [-] [instance: x] VM Started`, "skip no_request"},
		{OpenStack, `f 2017-05-46 00:14:47.652 1 INFO w [req-1 - - - - -] 10.1.1.1 "GET / HTTP/1.1" status: 200 len: 134 time: 0.4`, "skip bad_time"},
		{OpenStack, `f 2017-05-16 00:14:47.652 1 INFO w [req-1 - - - - -] 10.1.1.1 "GET / HTTP/1.1" status: 20 len: 134 time: 0.4`, "skip bad_status"},
		{OpenStack, `f 2017-05-16 00:14:47.652 1 INFO w [req-1 - - - - -] 10.1.1.1 "GET / HTTP/1.1" status: 200 len: 134 time: 4e1`, "skip malformed"},

		{ApacheError, `[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6`,
			`errors api.error "" 2005-12-04T04:47:44Z  "/"  500 -1  "mod_jk" "mod_jk child workerEnv in error state 6"`},
		{ApacheError, `[Sun Dec 04 04:47:44 2005] [error] [client 61.1.2.3] File does not exist: /var/www/a?b, referer: http://x/`,
			`errors api.error "" 2005-12-04T04:47:44Z  "/var/www/a" 61.1.2.3 500 -1  "error" "File does not exist: /var/www/a?b, referer: http://x/"`},
		{ApacheError, `[Fri Dec 16 01:46:23.123456 2005] [core:crit] [pid 7:tid 9] [client 1.2.3.4:567] AH00036: no access: /x`,
			`errors api.error "" 2005-12-16T01:46:23.123456Z  "/x" 1.2.3.4 500 -1  "AH00036" "AH00036: no access: /x"`},
		{ApacheError, `[Fri Dec 16 01:46:23 2005] [ssl:error] [client fe80::1] went away`,
			`errors api.error "" 2005-12-16T01:46:23Z  "/" fe80::1 500 -1  "ssl" "went away"`},
		{ApacheError, `[Sun Dec 04 04:47:44 2005] [notice] fine`, "skip level_notice"},
		{ApacheError, `[Sun Dec 04 04:47:44 2005] [core:warn] well`, "skip level_warn"},
		{ApacheError, `[Sun Dec 04 04:47:44 2005] [loud] well`, "skip malformed"},
		{ApacheError, `[Sun Dec 44 04:47:44 2005] [error] x`, "skip bad_time"},
		{ApacheError, `plain`, "skip malformed"},

		{NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"email.delivered","subject":"a\u0062","time":"2026-01-01T01:00:00+01:00"}`,
			`emails email.delivered "ab" 2026-01-01T00:00:00Z  ""  0 0  "" ""`},
		{NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"api.error"}`, `errors api.error "" -  ""  0 0  "" ""`},
		{NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"of.others","time":"soon"}`, `usage of.others "" -  ""  0 0  "" ""`},
		{NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"event.amended"}`, "skip correction"},
		{NDJSON, `{"account":"a","api":"x","status":200}`, "skip malformed"},
		{NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"x"} {}`, "skip malformed"},
		{NDJSON, `[]`, "skip malformed"},
	}
	for _, test := range tests {
		if got := show(parsers[test.format]([]byte(test.line))); got != test.want {
			t.Errorf("%s %s\n got %s\nwant %s", test.format, test.line, got, test.want)
		}
	}
}

func TestShiftThousand(t *testing.T) {
	for text, want := range map[string]string{"0.2477829": "247.7829", "1": "1000", "0": "0", "0.0": "0", "0.0008290": "0.829",
		"0.00012": "0.12", "12.5": "12500", "007.1": "7100", "99999.9999999": "99999999.9999", "0.1000": "100",
		"": "!", ".5": "!", "1.": "!", "-1": "!", "1e3": "!", "1.2.3": "!", "123456789012345678901234567890.12": "!"} {
		got, ok := shiftThousand([]byte(text))
		if !ok {
			got = []byte("!")
		}
		if string(got) != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}

func TestAppendString(t *testing.T) {
	for _, text := range []string{"", "plain", "q\"b\\n\n\x00\x1f\x7f", "é€😀\u2028", "\xff\xc3(", "a\xe2\x82"} {
		var got string
		if err := json.Unmarshal(appendString(nil, text), &got); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := string([]rune(text)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Whatever a line holds: no panic, and what is no skip is a good event.
func fuzzFormat(f *testing.F, format Format, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		e, why := parsers[format](line)
		if why != "" {
			return
		}
		if e.raw == nil {
			e.raw = e.append(nil, &identity{id: lineID(line, 0), source: "s", account: "a", api: "web"})
		}
		var d struct {
			SpecVersion, Type, Time string
			Data                    struct {
				Latency json.RawMessage `json:"latency_ms"`
			}
		}
		if format == NDJSON {
			d.SpecVersion = "1.0"
			if !json.Valid(e.raw) {
				t.Fatalf("no JSON: %q", e.raw)
			}
			return
		}
		if err := json.Unmarshal(e.raw, &d); err != nil || d.SpecVersion != "1.0" || d.Type != e.typ {
			t.Fatalf("event %q: %v", e.raw, err)
		}
		if at, err := time.Parse(time.RFC3339, d.Time); err != nil || at.UnixMicro() != e.time {
			t.Fatalf("time %q of %q: %v", d.Time, line, err)
		}
		if e.latencyMS != nil {
			if _, err := schemas.ParseDecimal(d.Data.Latency); err == schemas.ErrNotNumber {
				t.Fatalf("latency %q", d.Data.Latency)
			}
		}
	})
}

func FuzzCombined(f *testing.F) {
	fuzzFormat(f, Combined, `1.2.3.4 - - [17/May/2015:10:05:03 +0200] "GET /a/b?c=d#e HTTP/1.1" 200 12 "-" "-"`,
		`h - - [17/May/9999:23:05:03 -1200] "\x16" 400 - "-" "-"`)
}

func FuzzOpenStack(f *testing.F) {
	fuzzFormat(f, OpenStack, `n 2017-05-16 00:00:00.008 1 INFO w [req-38 u t - - -] 10.1.1.1,2 "GET /v2/5/x HTTP/1.1" status: 200 len: 1893 time: 0.2477829`)
}

func FuzzApacheError(f *testing.F) {
	fuzzFormat(f, ApacheError, `[Fri Dec 16 01:46:23.123456 2005] [core:crit] [pid 7:tid 9] [client 1.2.3.4:567] AH00036: no access: /x`)
}

func FuzzNDJSON(f *testing.F) {
	fuzzFormat(f, NDJSON, `{"specversion":"1.0","id":"1","source":"s","type":"email.delivered","subject":"a","time":"2026-01-01T01:00:00+01:00"}`)
}
