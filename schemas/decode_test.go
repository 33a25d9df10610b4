package schemas

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

const typicalEvent = `{"specversion":"1.0","id":"9f1c2d3e-9c1d-4d0b-8a39-0123456789ab","source":"gateway-1",` +
	`"type":"api.request","subject":"acct-17","time":"2026-01-01T00:12:31.123456Z","data":{"api":"orders","version":"v1",` +
	`"endpoint":"/orders/{id}/items","method":"GET","status":200,"latency_ms":12.345,"bytes":5120,"client_ip":"10.1.2.3"}}`

// around puts members into a valid usage event.
func around(members string) string {
	return `{"specversion":"1.0","id":"i","source":"s","type":"t",` + members + `}`
}

// hardCases are records whose reading is easy to get wrong, with the reason for
// which each is refused ("" where it is accepted).
var hardCases = []struct {
	record string
	reason Reason
}{
	{typicalEvent, ""},
	{`{"data":{"status":200,"api":"a"},"type":"t","source":"s","id":"i","specversion":"1.0"}`, ""},
	{"", EmptyRecord},
	{" \n", InvalidJSON},
	{"\xef\xbb\xbf" + typicalEvent, InvalidJSON},
	{typicalEvent + " \r\n\t", ""},
	{typicalEvent + "x", InvalidJSON},
	{typicalEvent + "\x00", InvalidJSON},
	{typicalEvent + "{}", InvalidJSON},
	{`null`, InvalidEvent},
	{`"text"`, InvalidEvent},
	{`[` + typicalEvent + `]`, InvalidEvent},
	{`{}`, InvalidEvent},
	{`{"specversion":1.0}`, InvalidEvent},
	{`{"specversion":"0.3","id":"i","source":"s","type":"t"}`, InvalidEvent},
	{`{"specversion":"1.0","source":"s","type":"t"}`, MissingField},
	{`{"specversion":"1.0","id":null,"source":"s","type":"t"}`, MissingField},
	{`{"specversion":"1.0","id":7,"source":"s","type":"t"}`, WrongType},
	{`{"specversion":"1.0","id":"i","source":"","type":"t"}`, InvalidValue},
	{around(`"time":1767225600`), WrongType},
	{around(`"time":"yesterday"`), InvalidValue},
	{around(`"time":null,"subject":null,"data":null`), ""},
	{around(`"subject":{"a":1}`), WrongType},
	{around(`"traceparent":"x","n":5,"o":{"deep":[1,2]}`), ""},
	// Escapes.
	{around(`"subject":"a\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t"`), ""},
	{around(`"subject":"\ud83d"`), InvalidJSON},
	{around(`"subject":"\ude00"`), InvalidJSON},
	{around(`"subject":"\ud83d\ud83d"`), InvalidJSON},
	{around(`"subject":"\ud83d x"`), InvalidJSON},
	{around(`"subject":"\ud83d\u00e9"`), InvalidJSON},
	{around(`"subject":"\u12G4"`), InvalidJSON},
	{around(`"subject":"\u000"`), InvalidJSON},
	{around(`"subject":"\x41"`), InvalidJSON},
	{around(`"subject":"\U0041"`), InvalidJSON},
	{around(`"subject":"a` + "\x1f" + `b"`), InvalidJSON},
	{around(`"subject":"a` + "\x7f" + `b\u0000"`), ""},
	{around(`"data":{"x":"\ud800"}`), InvalidJSON},
	{around(`"data":{"\ud800":1}`), InvalidJSON},
	{around(`"d\u0061ta":{"st\u0061tus":201,"\u0061pi":"\u0061"}`), ""},
	{around(`"subject":"é日本😀 plain and longer than eight bytes"`), ""},
	{around("\"subject\":\"\xff\""), InvalidJSON},
	{around("\"subject\":\"12345678\xc3\""), InvalidJSON},
	{around("\"subject\":\"\xed\xa0\x80\""), InvalidJSON},
	{around("\"subject\":\"\xc0\xaf\""), InvalidJSON},
	{around("\"data\":{\"x\":\"\xf4\x90\x80\x80\"}"), InvalidJSON},
	// Names twice.
	{around(`"id":"j"`), InvalidJSON},
	{around(`"\u0069d":"j"`), InvalidJSON},
	{around(`"x":1,"x":2`), InvalidJSON},
	{around(`"x":1,"\u0078":2`), InvalidJSON},
	{around(`"data":null,"data":{}`), InvalidJSON},
	{around(`"data":{"api":null,"api":"a"}`), InvalidJSON},
	{around(`"data":{"api":"a","\u0061pi":"a"}`), InvalidJSON},
	{around(`"data":{"x":1,"x":1}`), InvalidJSON},
	{around(`"data":{"x":[{"y":1,"y":2}]}`), InvalidJSON},
	{around(`"data":{"dimensions":{"a":"1","a":"1"}}`), InvalidJSON},
	{around(`"data":{"x":{"a":1},"y":{"a":1},"z":{"x":{"y":1}}}`), ""},
	{around(`"data":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"a":1}`), InvalidJSON},
	{around(`"data":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"k":1}`), ""},
	{around(`"data":{"region":"x","dimensions":{"region":"eu"}}`), ""},
	// Numbers.
	{around(`"data":{"status":2e2,"bytes":"100","latency_ms":"1.5","quantity":"-2.5"}`), ""},
	{around(`"data":{"status":200.0,"bytes":5120.5}`), ""},
	{around(`"data":{"quantity":0.1234567895,"latency_ms":0.1234567895}`), ""},
	{around(`"data":{"quantity":0.1234567885,"latency_ms":1e-400}`), ""},
	{around(`"data":{"quantity":999999999999.9999999995}`), ""},
	{around(`"data":{"quantity":999999999999.9999999994,"bytes":999999999999}`), ""},
	{around(`"data":{"quantity":1e12,"bytes":1000000000000,"latency_ms":1e400}`), ""},
	{around(`"data":{"quantity":1e99999999999999999999,"latency_ms":-0.0,"bytes":-0}`), ""},
	{around(`"data":{"quantity":"NaN","latency_ms":"inf","bytes":"-INFINITY","status":"NaN"}`), ""},
	{around(`"data":{"quantity":null,"latency_ms":null,"bytes":null,"status":null,"dimensions":null,"api":null}`), ""},
	{around(`"data":{"quantity":"","latency_ms":" 1","bytes":"1 ","status":"01"}`), ""},
	{around(`"data":{"quantity":true}`), ""},
	{around(`"data":{"latency_ms":-1}`), ""},
	{around(`"data":{"bytes":-1}`), ""},
	{around(`"data":{"status":3000000000}`), ""},
	{around(`"data":{"status":-5}`), ""},
	{around(`"data":{"quantity":NaN}`), InvalidJSON},
	{around(`"data":{"quantity":01}`), InvalidJSON},
	{around(`"data":{"quantity":1.}`), InvalidJSON},
	{around(`"data":{"quantity":.5}`), InvalidJSON},
	{around(`"data":{"quantity":+1}`), InvalidJSON},
	{around(`"data":{"quantity":-}`), InvalidJSON},
	{around(`"data":{"quantity":1e}`), InvalidJSON},
	{around(`"data":{"quantity":0x10}`), InvalidJSON},
	{around(`"data":{"x":123456789012345678901234567890.123e-5000}`), ""},
	// The rest.
	{around(`"data":{ "x" : [ 1 , "a b \" c" , { "y" : null } ] , "api" : 5, "v\u0061":"\u0041 \\" }`), ""},
	{around(`"data":[1, 2]`), ""},
	{around(`"data":"text"`), ""},
	{around(`"data":{"dimensions":{ "region" : "eu west", "a":"\u0041\" b" }}`), ""},
	{around(`"data":{"dimensions":{"region":"eu","n":5}}`), ""},
	{around(`"data":{"dimensions":["eu"],"api":1}`), ""},
	{around(`"data":{"dimensions":{}}`), ""},
	{around(`"data":{"data":{"a":1},"domain":"d","error_code":"e"}`), ""},
	// Base64.
	{around(`"data_base64":"eyJhcGkiOiJhXHUwMDYxIiwieCI6MX0="`), ""},
	{around(`"data_base64":"IHsgImRpbWVuc2lvbnMiIDogeyAiYSIgOiAiYiIgfSB9IA==","subject":"\u0041"`), ""},
	{around(`"data_base64":"eyJhcGkiOg=="`), WrongType},
	{around(`"data_base64":"not base64"`), WrongType},
	{around(`"data_base64":""`), WrongType},
	{around(`"data_base64":5`), WrongType},
	{around(`"data_base64":"NQ=="`), ""},
	{around(`"data_base64":"NQ==","data":1`), InvalidEvent},
	{around(`"data_base64":"NQ==","data":null`), ""},
	{around(`"data_base64":null,"data":1`), ""},
	// Shapes.
	{around(`"data":{"api":"a",}`), InvalidJSON},
	{around(`"data":{,}`), InvalidJSON},
	{around(`"data":{"api" "a"}`), InvalidJSON},
	{around(`"data":{api:"a"}`), InvalidJSON},
	{around(`"data":{"x":[1,]}`), InvalidJSON},
	{around(`"data":{"x":[1 2]}`), InvalidJSON},
	{around(`"data":{"x":tru}`), InvalidJSON},
	{around(`"data":nul`), InvalidJSON},
	{around(`"data":nulll`), InvalidJSON},
	{around(`"data":{"x":True}`), InvalidJSON},
	{around(`"data":{"x":/**/1}`), InvalidJSON},
	{around("\"data\":{\"x\":\u00a01}"), InvalidJSON},
	{around("\"data\":{\"x\":\v1}"), InvalidJSON},
	{around(`"data":{"x":` + nested(62) + `}`), ""},
	{around(`"data":{"x":` + nested(63) + `}`), InvalidJSON},
	{around(`"data":` + nested(63)), ""},
	{around(`"data":` + nested(64)), InvalidJSON},
	{around(`"extra":` + nested(63)), ""},
	{around(`"extra":` + nested(64)), InvalidJSON},
	{around(`"data":{"api":` + nested(62) + `,"status":` + nested(62) + `,"dimensions":{"x":` + nested(61) + `}}`), ""},
	{around(`"data":{"dimensions":{"x":` + nested(62) + `}}`), InvalidJSON},
	{strings.Repeat("[", 1_000_000), InvalidJSON},
	{nested(64), InvalidEvent},
	{nested(65), InvalidJSON},
}

func nested(depth int) string {
	return strings.Repeat("[", depth) + strings.Repeat("]", depth)
}

func TestDecodeHardCases(t *testing.T) {
	var d Decoder
	for _, c := range hardCases {
		var ev Event
		var got Reason
		if rejection := d.Decode(Usage, []byte(c.record), &ev); rejection != nil {
			got = rejection.Reason
		}
		if got != c.reason {
			t.Errorf("%.300q: got reason %q, want %q", c.record, got, c.reason)
		}
		for _, topic := range Topics {
			compareToOracle(t, &d, topic, []byte(c.record))
		}
	}
}

func TestDecodeTruncated(t *testing.T) {
	var d Decoder
	for _, record := range []string{typicalEvent,
		around(`"subject":"é\ud83d\ude00","data":{"x":[true,null,-1.5e+3,{"y":"z"}],"dimensions":{"a":"b"}}`)} {
		for n := 1; n < len(record); n++ {
			var ev Event
			rejection := d.Decode(Usage, []byte(record[:n]), &ev)
			if rejection == nil || rejection.Reason != InvalidJSON {
				t.Fatalf("%q: got %v, want %s", record[:n], rejection, InvalidJSON)
			}
		}
	}
}

func TestDecodeTypical(t *testing.T) {
	var d Decoder
	var ev Event
	if rejection := d.Decode(Usage, []byte(typicalEvent), &ev); rejection != nil {
		t.Fatal(rejection)
	}
	got := fmt.Sprintf("%s %s %s %s %d %s %d %v %v %d %v %q", ev.ID, ev.Source, ev.Type, ev.Subject, ev.Time,
		ev.Strings[Endpoint], ev.Status, ev.LatencyMS, ev.Latency, ev.Bytes, ev.Quantity, ev.Rest)
	want := `9f1c2d3e-9c1d-4d0b-8a39-0123456789ab gateway-1 api.request acct-17 1767226351123456 ` +
		`/orders/{id}/items 200 12.345 12.345 5120 1 ""`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	record := []byte(typicalEvent)
	if n := testing.AllocsPerRun(100, func() { d.Decode(Usage, record, &ev) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// Slices of an event must hold their text until the next call, whatever else
// the record makes the decoder unescape or compact.
func TestDecodeViewsLast(t *testing.T) {
	var d Decoder
	var ev Event
	record := around(`"subject":"\u0041","data":{"x":"\u0042\u0042\u0042", "api":"\u0043","y":{"z":"\u0044\u0044"},` +
		`"endpoint":"` + strings.Repeat(`\u0045`, 5000) + `","dimensions":{ "region":"\u0046" }}`)
	for range 3 { // the buffers have grown by then
		if rejection := d.Decode(Usage, []byte(record), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		got := fmt.Sprintf("%s %s %s %s %s %s", ev.Subject, ev.Strings[API], ev.Strings[Endpoint], ev.Strings[Region], ev.Dimensions, ev.Rest)
		want := "A C " + strings.Repeat("E", 5000) + ` F {"region":"\u0046"} {"x":"\u0042\u0042\u0042","y":{"z":"\u0044\u0044"}}`
		if got != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	}
}

// The message points at the fault, also where the names behind it are known.
func TestDecodeFaultPlace(t *testing.T) {
	var d Decoder
	var ev Event
	if rejection := d.Decode(Usage, []byte(typicalEvent), &ev); rejection != nil {
		t.Fatal(rejection)
	}
	record := strings.Replace(typicalEvent, `"orders"`, "\"ord\x01rs\"", 1)
	rejection := d.Decode(Usage, []byte(record), &ev)
	want := fmt.Sprintf("at byte %d: control", strings.IndexByte(record, 1))
	if rejection == nil || !strings.Contains(rejection.Message, want) {
		t.Errorf("got %v, want %s", rejection, want)
	}
	record = strings.Replace(typicalEvent, `"orders"`, `fals`, 1)
	rejection = d.Decode(Usage, []byte(record), &ev)
	want = fmt.Sprintf("at byte %d: want", strings.Index(record, "fals"))
	if rejection == nil || !strings.Contains(rejection.Message, want) {
		t.Errorf("got %v, want %s", rejection, want)
	}
}

// A refused record still names its account and id.
func TestDecodeRefusedKeepsIdentity(t *testing.T) {
	var d Decoder
	for _, record := range []string{
		`{"subject":"acct-1","id":"7","data":{"x":`,
		`{"subject":"acct-1","id":"7","specversion":"0.3","source":"s","type":"t"}`,
		`{"subject":"acct-1","id":"7","specversion":"1.0","source":5,"type":"t","time":"never"}`,
		`{"specversion":"1.0","source":"s","type":"t","data_base64":"!","id":"7","subject":"acct-1"}`,
	} {
		var ev Event
		if d.Decode(Usage, []byte(record), &ev) == nil {
			t.Errorf("%s: got it accepted, want a rejection", record)
		}
		if string(ev.Subject) != "acct-1" || string(ev.ID) != "7" {
			t.Errorf("%s: got subject %q and id %q, want acct-1 and 7", record, ev.Subject, ev.ID)
		}
	}
}

func TestDecodeBadField(t *testing.T) {
	var d Decoder
	for _, c := range []struct{ data, field, reason, rest string }{
		{`{"api":5,"status":"x"}`, "data.api", "wrong_type", `{"api":5,"status":"x"}`},
		{`{"status":"x","api":5}`, "data.status", "wrong_type", `{"status":"x","api":5}`},
		{`{"bytes":1e12}`, "data.bytes", "out_of_range", `{"bytes":1e12}`},
		{`{"quantity":-1e12}`, "data.quantity", "out_of_range", `{"quantity":-1e12}`},
		{`{"latency_ms":-0.5}`, "data.latency_ms", "invalid_value", `{"latency_ms":-0.5}`},
		{`{"quantity":"NaN"}`, "", "", `{"quantity":"NaN"}`},
		{`{"dimensions":{"a":1}}`, "data.dimensions", "wrong_type", `{"dimensions":{"a":1}}`},
		{`[ 1 ]`, "data", "wrong_type", `{"data":[1]}`},
	} {
		var ev Event
		if rejection := d.Decode(Usage, []byte(around(`"data":`+c.data)), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		if ev.BadField != c.field || string(ev.BadReason) != c.reason || string(ev.Rest) != c.rest {
			t.Errorf("%s: got %s %s %s, want %s %s %s", c.data, ev.BadField, ev.BadReason, ev.Rest, c.field, c.reason, c.rest)
		}
		if (ev.BadField == "") != (ev.BadWant == "") {
			t.Errorf("%s: got field %q with want %q", c.data, ev.BadField, ev.BadWant)
		}
	}
}

// Records of random members, names in changing order, white space and faults:
// what blind fuzzing seldom builds, and what learned names must not change.
func TestDecodeRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	values := []string{`"x"`, `"\u0041\ud83d\ude00"`, `"é long enough for two words"`, `null`, `5`, `-1`, `200`, `007`, `1234567890`, `2e2`, `12.345`,
		`0.1234567895`, `1e12`, `-1e400`, `"100"`, `"NaN"`, `"-inf"`, `true`, `{}`, `[ ]`, `{"a":"b"}`, `{ "region" : "eu" , "b" : "\n" }`,
		`{"a":1}`, `{"a":1,"a":2}`, `[1, {"b": [null]}]`, `"2026-01-01T00:00:00Z"`, `"1.0"`, `""`, "\"\xff\"", `"\ud800"`, `tru`, `"`, ``}
	names := append([]string{"data", "status", "latency_ms", "bytes", "quantity", "dimensions", "x", "y", `\u0061pi`, `"`}, FieldNames[:]...)
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	space := func() string {
		if r.IntN(8) > 0 {
			return ""
		}
		return pick([]string{" ", "\n", "\t \r"})
	}
	members := func(n int, names []string) string {
		var b strings.Builder
		for i := range n {
			if i > 0 {
				b.WriteString(space() + "," + space())
			}
			value := pick(values[:len(values)-5])
			if r.IntN(60) == 0 {
				value = pick(values)
			}
			fmt.Fprintf(&b, `"%s"%s:%s%s`, pick(names), space(), space(), value)
		}
		return b.String()
	}
	var d Decoder
	accepted := 0
	for range 30_000 {
		parts := []string{`"specversion":"1.0"`, `"id":"i"`, `"source":"s"`, `"type":"t"`,
			`"data":` + space() + `{` + members(r.IntN(7), names) + space() + `}`}
		if r.IntN(2) == 0 {
			parts = append(parts, members(1, []string{"time", "subject", "ext", "data_base64", "i\\u0064"}))
		}
		if r.IntN(4) == 0 {
			r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
		record := []byte("{" + strings.Join(parts, space()+","+space()) + "}" + space())
		if r.IntN(10) == 0 {
			record[r.IntN(len(record))] = "\x00 ,:{}[]\"\\0e.\xc3"[r.IntN(14)]
		}
		topic := Topics[r.IntN(len(Topics))]
		compareToOracle(t, &d, topic, record)
		var ev Event
		if d.Decode(topic, record, &ev) == nil {
			accepted++
		}
	}
	if accepted < 5000 {
		t.Errorf("got %d records accepted, want at least 5000", accepted)
	}
}

func TestDecodeBinary(t *testing.T) {
	var d Decoder
	headers := func(pairs ...string) func(string) ([]byte, bool) {
		return func(name string) ([]byte, bool) {
			for i := 0; i < len(pairs); i += 2 {
				if pairs[i] == name {
					return []byte(pairs[i+1]), true
				}
			}
			return nil, false
		}
	}
	full := []string{"ce_specversion", "1.0", "ce_id", "7", "ce_source", "s", "ce_type", "email.opened",
		"ce_subject", "acct-1", "ce_time", "2026-01-01T00:00:00Z"}
	for _, c := range []struct {
		headers []string
		record  string
		reason  Reason
		field   string
		want    string
	}{
		{full, ` {"domain":"d","x":1} `, "", "", `7 s acct-1 1767225600000000 d opened {"x":1}`},
		{full, ``, "", "", `7 s acct-1 1767225600000000  opened `},
		{full, `"text"`, "", "", `7 s acct-1 1767225600000000  opened {"data":"text"}`},
		{full, `{"domain":`, InvalidJSON, "", ""},
		{full, `{} {}`, InvalidJSON, "", ""},
		{full, nested(63), "", "", `7 s acct-1 1767225600000000  opened {"data":` + nested(63) + `}`},
		{full, nested(64), InvalidJSON, "", ""},
		{full[2:], `{}`, InvalidEvent, "specversion", ""},
		{append([]string{"ce_id", ""}, full...), `{}`, InvalidValue, "id", ""},
		{append([]string{"ce_id", "\xff"}, full...), `{}`, WrongType, "id", ""},
		{append([]string{"ce_time", "now"}, full...), `{}`, InvalidValue, "time", ""},
		{full[:6], `{}`, MissingField, "type", ""},
	} {
		var ev Event
		rejection := d.DecodeBinary(Emails, headers(c.headers...), []byte(c.record), &ev)
		if rejection == nil {
			rejection = &Rejection{}
			got := fmt.Sprintf("%s %s %s %d %s %s %s", ev.ID, ev.Source, ev.Subject, ev.Time, ev.Strings[Domain], ev.Strings[MailEvent], ev.Rest)
			if got != c.want {
				t.Errorf("%q: got  %s\nwant %s", c.record, got, c.want)
			}
		}
		if rejection.Reason != c.reason || rejection.Field != c.field {
			t.Errorf("%q: got %v, want %s %s", c.record, rejection, c.reason, c.field)
		}
	}
}

func TestColumnNames(t *testing.T) {
	for f, name := range FieldNames {
		want := column(f)
		if Field(f) == Region {
			want = noColumn
		}
		if got := columnOf([]byte(name)); got != want {
			t.Errorf("%s: got column %d, want %d", name, got, want)
		}
	}
	for c := colStatus; c < numColumns; c++ {
		if got := columnOf([]byte(strings.TrimPrefix(columnPaths[c], "data."))); got != c {
			t.Errorf("%s: got column %d, want %d", columnPaths[c], got, c)
		}
	}
}

// FuzzDecode holds the scanner against the oracle, as a record and as data.
func FuzzDecode(f *testing.F) {
	for _, c := range hardCases {
		if len(c.record) < 10_000 {
			f.Add([]byte(c.record))
		}
	}
	var d Decoder
	f.Fuzz(func(t *testing.T, record []byte) {
		for _, topic := range Topics {
			compareToOracle(t, &d, topic, record)
		}
		compareToOracle(t, &d, Usage, []byte(around(`"data":`+string(record))))
		compareToOracle(t, &d, Usage, []byte(around(`"data_base64":"`+base64.StdEncoding.EncodeToString(record)+`"`)))
	})
}

func BenchmarkDecode(b *testing.B) {
	record := []byte(typicalEvent)
	b.Run("scanner", func(b *testing.B) {
		var d Decoder
		var ev Event
		b.ReportAllocs()
		b.SetBytes(int64(len(record)))
		for b.Loop() {
			if rejection := d.Decode(Usage, record, &ev); rejection != nil {
				b.Fatal(rejection)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(record)))
		for b.Loop() {
			var ev struct {
				SpecVersion, ID, Source, Type, Subject, Time string
				Data                                         struct {
					API, Version, Endpoint, Method string
					Status                         int32
					LatencyMS                      json.Number `json:"latency_ms"`
					Bytes                          int64
					ClientIP                       string `json:"client_ip"`
				}
			}
			if err := json.Unmarshal(record, &ev); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
