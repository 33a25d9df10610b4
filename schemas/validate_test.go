package schemas

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// event is a record of a type with the given data; more are further attributes.
func event(name, data, more string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"i","source":"s","type":"%s","data":%s%s}`, name, data, more)
}

func long(n int) string { return `"` + strings.Repeat("x", n) + `"` }

const (
	goodRequest    = `{"endpoint":"/a","status":200}`
	goodRetraction = `{"event":{"source":"s","id":"i"},"revision":1}`
)

// ruleExamples are events and what becomes of them at the clock 2026-01-01.
// beyond: a JSON Schema cannot see the fault.
var ruleExamples = []struct {
	topic  Topic
	record string
	reason Reason
	field  string
	beyond bool
}{
	{topic: Usage, record: typicalEvent},
	{topic: Usage, record: event("api.request", goodRequest, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":"200","latency_ms":"1.5","bytes":"12","quantity":"-2","dimensions":{"a":""},"key_id":null}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":0,"latency_ms":"NaN","bytes":"inf","quantity":"-Infinity"}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":999,"latency_ms":0,"bytes":999999999999,"quantity":-999999999999.5}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"error_code":5,"unknown":[1],"region":7}`, "")},
	{topic: Usage, record: event("api.request", `{"status":200}`, ""), reason: MissingField, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":null,"status":200}`, ""), reason: MissingField, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":"","status":200}`, ""), reason: InvalidValue, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":5,"status":200}`, ""), reason: WrongType, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a"}`, ""), reason: MissingField, field: "data.status"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":1000}`, ""), reason: InvalidValue, field: "data.status"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":-1}`, ""), reason: InvalidValue, field: "data.status"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200.5}`, ""), reason: WrongType, field: "data.status"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":"NaN"}`, ""), reason: WrongType, field: "data.status"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":"1000"}`, ""), reason: InvalidValue, field: "data.status", beyond: true},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"latency_ms":-1}`, ""), reason: InvalidValue, field: "data.latency_ms"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"latency_ms":1e12}`, ""), reason: OutOfRange, field: "data.latency_ms"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"latency_ms":true}`, ""), reason: WrongType, field: "data.latency_ms"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"bytes":-1}`, ""), reason: InvalidValue, field: "data.bytes"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"bytes":1.5}`, ""), reason: WrongType, field: "data.bytes"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"bytes":1000000000000}`, ""), reason: OutOfRange, field: "data.bytes"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"quantity":10000000000000}`, ""), reason: OutOfRange, field: "data.quantity"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"quantity":"many"}`, ""), reason: WrongType, field: "data.quantity"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"quantity":"+Inf"}`, ""), reason: WrongType, field: "data.quantity"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"dimensions":{"a":1}}`, ""), reason: WrongType, field: "data.dimensions"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"dimensions":{"a":null}}`, ""), reason: WrongType, field: "data.dimensions"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"dimensions":{"a":"x\u0000"}}`, ""), reason: InvalidValue, field: "data.dimensions"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"dimensions":{"a":"\\u0000 \" \u00e9"}}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a\u0000","status":200}`, ""), reason: InvalidValue, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"session":"a\nb"}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":`+long(1024)+`,"status":200}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":`+long(1025)+`,"status":200}`, ""), reason: TooLong, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"customer":`+long(1025)+`}`, ""), reason: TooLong, field: "data.customer"},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"x":`+long(64<<10-8)+`}`, "")},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"x":`+long(64<<10-7)+`}`, ""), reason: TooLong, field: "data", beyond: true},
	{topic: Usage, record: event("api.request", `{"endpoint":"/a","status":200,"dimensions":{"x":`+long(64<<10)+`}}`, ""), reason: TooLong, field: "data.dimensions", beyond: true},
	{topic: Usage, record: event("api.request", `[]`, ""), reason: WrongType, field: "data"},
	{topic: Usage, record: event("api.request", `null`, ""), reason: MissingField, field: "data.endpoint"},
	{topic: Usage, record: event("api.request", `null`, `,"data_base64":"eyJlbmRwb2ludCI6Ii9hIiwic3RhdHVzIjoyMDB9"`)},
	{topic: Usage, record: event("api.request", `null`, `,"data_base64":"e30="`), reason: MissingField, field: "data.endpoint", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"data_base64":"e30="`), reason: InvalidEvent, field: "data_base64"},
	{topic: Usage, record: event("api.request", goodRequest, `,"subject":"","time":null,"extension":1`)},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"2026-01-01T00:05:00Z"`)},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"2026-01-01T00:05:00.000001Z"`), reason: TimeAhead, field: "time", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"9999-12-31T23:59:59Z"`), reason: TimeAhead, field: "time", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"2000-01-01T00:00:00Z"`)},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"1999-12-31T23:59:59.999999Z"`), reason: TimeTooOld, field: "time", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"0001-01-01T00:00:00Z"`), reason: TimeTooOld, field: "time", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":"1 May"`), reason: InvalidValue, field: "time", beyond: true},
	{topic: Usage, record: event("api.request", goodRequest, `,"time":5`), reason: WrongType, field: "time"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":{"a":1}}`, "")},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":[0]}`, "")},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":" {\"a\":1}"}`, "")},
	{topic: Usage, record: event("app.event", `{"category":"a\u0000","name":"n","session":"s","data":{"a":1}}`, ""), reason: InvalidValue, field: "data.category"},
	{topic: Usage, record: event("app.event", `{"category":"c","session":"s","data":{"a":1}}`, ""), reason: MissingField, field: "data.name"},
	{topic: Usage, record: event("app.event", `{"name":"n","session":"s","data":{"a":1}}`, ""), reason: MissingField, field: "data.category"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","data":{"a":1}}`, ""), reason: MissingField, field: "data.session"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":{"id":"s"},"data":{"a":1}}`, ""), reason: WrongType, field: "data.session"},
	{topic: Usage, record: event("app.event", `{"name":"n","category":"","session":"s","data":{"a":1}}`, ""), reason: InvalidValue, field: "data.category"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s"}`, ""), reason: MissingField, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":null}`, ""), reason: MissingField, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":{}}`, ""), reason: EmptyData, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":[ ]}`, ""), reason: EmptyData, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":""}`, ""), reason: EmptyData, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":"{ }"}`, ""), reason: EmptyData, field: "data.data", beyond: true},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":"{\"a\":}"}`, ""), reason: InvalidData, field: "data.data", beyond: true},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":"seven"}`, ""), reason: InvalidData, field: "data.data", beyond: true},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":7}`, ""), reason: InvalidData, field: "data.data"},
	{topic: Usage, record: event("app.event", `{"category":"c","name":"n","session":"s","data":{"a":1}}`, `,"time":""`), reason: MissingField, field: "time", beyond: true},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":1}`, `,"time":"9999-12-31T23:59:59Z"`)},
	{topic: Usage, record: event("rated.usage", `"m"`, ""), reason: WrongType, field: "data"},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":"1.5"}`, `,"time":"1980-01-01T00:00:00Z"`), reason: TimeTooOld, field: "time", beyond: true},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":1,"unit":"u","price":0.1,"begin":"2019-05-01T00:00:00Z","groupby":{"a":"b"},"metadata":{}}`, "")},
	{topic: Usage, record: event("rated.usage", `{"metric":"m"}`, ""), reason: MissingField, field: "data.qty"},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":"NaN"}`, ""), reason: WrongType, field: "data.qty"},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":1,"price":1e12}`, ""), reason: OutOfRange, field: "data.price"},
	{topic: Usage, record: event("rated.usage", `{"metric":"m","qty":1,"groupby":{"a":1}}`, ""), reason: WrongType, field: "data.groupby"},
	{topic: Usage, record: event("com.example.job", `{"api":5,"quantity":"much","status":4000}`, "")},
	{topic: Usage, record: event("com.example.job", `"done"`, "")},
	{topic: Usage, record: event("com.example.job", `{"name":`+long(1025)+`}`, ""), reason: TooLong, field: "data.name", beyond: true},
	{topic: Usage, record: event("com.example.job", `{"method":"\t"}`, ""), reason: InvalidValue, field: "data.method", beyond: true},
	{topic: Usage, record: event(`bell\u0007`, `{}`, ""), reason: InvalidValue, field: "type"},
	{topic: Usage, record: event(strings.Repeat("t", 256), `{}`, ""), reason: TooLong, field: "type"},
	{topic: Usage, record: event("api.error", goodRequest, ""), reason: WrongTopic, field: "type"},
	{topic: Usage, record: event("email.opened", `{"domain":"d"}`, ""), reason: WrongTopic, field: "type"},
	{topic: Usage, record: event("mailgun.webhook", `{}`, ""), reason: WrongTopic, field: "type"},
	{topic: Usage, record: event("internal.error", `{}`, ""), reason: ReservedType, field: "type"},
	{topic: Usage, record: event("event.retracted", goodRetraction, "")},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i","more":1},"revision":1000000000,"after":null,"reason":"wrong","note":{}}`, "")},
	{topic: Usage, record: event("event.retracted", `null`, `,"data_base64":"eyJldmVudCI6eyJzb3VyY2UiOiJzIiwiaWQiOiJpIn0sInJldmlzaW9uIjoxfQ=="`)},
	{topic: Usage, record: event("event.retracted", `{}`, ""), reason: MissingField, field: "data.event"},
	{topic: Usage, record: event("event.retracted", `null`, ""), reason: MissingField, field: "data.event"},
	{topic: Usage, record: event("event.retracted", `[]`, ""), reason: MissingField, field: "data.event"},
	{topic: Usage, record: event("event.retracted", `{"event":"i","revision":1}`, ""), reason: WrongType, field: "data.event"},
	{topic: Usage, record: event("event.retracted", `{"event":{"id":"i"},"revision":1}`, ""), reason: MissingField, field: "data.event.source"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":null},"revision":1}`, ""), reason: MissingField, field: "data.event.id"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":""},"revision":1}`, ""), reason: InvalidValue, field: "data.event.id"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":5},"revision":1}`, ""), reason: WrongType, field: "data.event.id"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s\u0000","id":"i"},"revision":1}`, ""), reason: InvalidValue, field: "data.event.source"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":`+long(1025)+`},"revision":1}`, ""), reason: TooLong, field: "data.event.id"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"}}`, ""), reason: MissingField, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":0}`, ""), reason: InvalidValue, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":-1}`, ""), reason: InvalidValue, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1.5}`, ""), reason: WrongType, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":"1"}`, ""), reason: WrongType, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1000000001}`, ""), reason: InvalidValue, field: "data.revision"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1,"after":{}}`, ""), reason: InvalidValue, field: "data.after"},
	{topic: Usage, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1,"reason":5}`, ""), reason: WrongType, field: "data.reason"},
	{topic: Usage, record: event("event.amended", goodRetraction, ""), reason: MissingField, field: "data.after"},
	{topic: Usage, record: event("event.amended", `{"event":{"source":"s","id":"i"},"revision":2,"after":`+goodRequest+`}`, "")},
	{topic: Usage, record: event("event.amended", `{"event":{"source":"s","id":"i"},"revision":2,"after":{"x":`+long(100<<10)+`}}`, "")},
	{topic: Usage, record: event("event.amended", `{"event":{"source":"s","id":"i"},"revision":2,"after":{"x":`+long(256<<10)+`}}`, ""), reason: TooLong, field: "data", beyond: true},
	{topic: Usage, record: event("event.amended", `{"event":{"source":"s","id":"i"},"revision":2,"after":[]}`, ""), reason: WrongType, field: "data.after"},
	{topic: Usage, record: `{"specversion":"1.0","id":` + long(1024) + `,"source":` + long(2048) + `,"type":"t"}`},
	{topic: Usage, record: `{"specversion":"1.0","id":` + long(1025) + `,"source":"s","type":"t"}`, reason: TooLong, field: "id"},
	{topic: Usage, record: `{"specversion":"1.0","id":"i","source":` + long(2049) + `,"type":"t"}`, reason: TooLong, field: "source"},
	{topic: Usage, record: `{"specversion":"1.0","id":"a\u0000","source":"s","type":"t"}`, reason: InvalidValue, field: "id"},
	{topic: Usage, record: `{"specversion":"1.0","id":"i","source":"a\u007f","type":"t"}`, reason: InvalidValue, field: "source"},
	{topic: Errors, record: event("api.error", `{"endpoint":"/a","status":500,"error_code":"E1","error_description":"a\nb","latency_ms":3}`, "")},
	{topic: Errors, record: event("api.error", `{"endpoint":"/a","status":500,"error_description":`+long(64<<10)+`,"quantity":{},"bytes":true,"dimensions":5}`, ""),
		reason: ""},
	{topic: Errors, record: event("api.error", `{"endpoint":"/a","status":500,"error_description":`+long(64<<10+1)+`}`, ""), reason: TooLong, field: "data.error_description"},
	{topic: Errors, record: event("api.error", `{"endpoint":"/a","status":500,"error_code":"E\u0000"}`, ""), reason: InvalidValue, field: "data.error_code"},
	{topic: Errors, record: event("api.error", `{"endpoint":"/a"}`, ""), reason: MissingField, field: "data.status"},
	{topic: Errors, record: event("api.error", `{"status":500}`, ""), reason: MissingField, field: "data.endpoint"},
	{topic: Errors, record: event("api.request", goodRequest, ""), reason: WrongTopic, field: "type"},
	{topic: Errors, record: event("com.example.job", `{}`, ""), reason: WrongTopic, field: "type"},
	{topic: Errors, record: event("internal.error", `{}`, ""), reason: ReservedType, field: "type"},
	{topic: Errors, record: event("event.amended", `{"event":{"source":"s","id":"i"},"revision":1,"after":{"endpoint":"/b","status":500}}`, "")},
	{topic: Errors, record: event("event.amended", `{}`, ""), reason: MissingField, field: "data.event"},
	{topic: Emails, record: event("email.delivered", `{"domain":"d","flags":{"a":true},"recipient":"r","quantity":"x"}`, "")},
	{topic: Emails, record: event("email.failed", `{"domain":"d","event":"failed","severity":"permanent","reason":"bounce"}`, "")},
	{topic: Emails, record: event("email.failed", `{"domain":"d","event":"opened"}`, ""), reason: InvalidValue, field: "data.event", beyond: true},
	{topic: Emails, record: event("email.opened", `{}`, ""), reason: MissingField, field: "data.domain"},
	{topic: Emails, record: event("email.opened", `{"domain":["d"]}`, ""), reason: WrongType, field: "data.domain"},
	{topic: Emails, record: event("email.other", `{"domain":"d"}`, ""), reason: InvalidValue, field: "type"},
	{topic: Emails, record: event("email.", `{"domain":"d"}`, ""), reason: InvalidValue, field: "type"},
	{topic: Emails, record: event("mailgun.webhook", `{"event-data":{"event":"opened","id":"i","timestamp":1548115208.1,"domain":{"name":"d"}}}`, "")},
	{topic: Emails, record: event("mailgun.webhook", `{}`, ""), reason: MissingField, field: "data.event", beyond: true},
	{topic: Emails, record: event("mailgun.webhook", `[]`, ""), reason: MissingField, field: "data.event"},
	{topic: Emails, record: event("mandrill.webhook", `{"event":"open","ts":1548115208,"_id":"x","msg":{"sender":"a@d"}}`, "")},
	{topic: Emails, record: event("mandrill.webhook", `{}`, ""), reason: MissingField, field: "data.event", beyond: true},
	{topic: Emails, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1,"reason":"wrong","domain":5}`, "")},
	{topic: Emails, record: event("event.retracted", `{"event":{"source":"s","id":"i"},"revision":1,"reason":`+long(1025)+`}`, ""), reason: TooLong, field: "data.reason"},
	{topic: Emails, record: event("event.retracted", `{}`, ""), reason: MissingField, field: "data.event"},
	{topic: Emails, record: event("com.example.job", `{}`, ""), reason: WrongTopic, field: "type"},
}

func TestValidate(t *testing.T) {
	var d Decoder
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	for _, e := range ruleExamples {
		at := clock
		if e.record == typicalEvent {
			at += time.Hour.Microseconds()
		}
		var ev Event
		rejection := d.Decode(e.topic, []byte(e.record), &ev)
		if rejection == nil {
			rejection = DefaultRules().Validate(e.topic, &ev, at)
		}
		if rejection == nil {
			rejection = &Rejection{}
		} else if rejection.Message == "" {
			t.Errorf("%s %.300s: got no message", e.topic, e.record)
		}
		if rejection.Reason != e.reason || rejection.Field != e.field {
			t.Errorf("%s %.300s: got %v, want %s %s", e.topic, e.record, rejection, e.reason, e.field)
		}
	}
}

func TestHasControl(t *testing.T) {
	for c := range 256 {
		for place := range 20 {
			text := bytes.Repeat([]byte("a\x80"), 10)
			text[place] = byte(c)
			if got, want := hasControl(text), c < 0x20 || c == 0x7f; got != want {
				t.Fatalf("byte %#x at %d: got %v, want %v", c, place, got, want)
			}
		}
	}
}

func TestValidateAllocations(t *testing.T) {
	var d Decoder
	var ev Event
	if rejection := d.Decode(Usage, []byte(typicalEvent), &ev); rejection != nil {
		t.Fatal(rejection)
	}
	rules := DefaultRules()
	if n := testing.AllocsPerRun(100, func() { rules.Validate(Usage, &ev, ev.Time) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestAccount(t *testing.T) {
	for _, c := range []struct {
		subject, key, want string
		reason             Reason
		field              string
	}{
		{"a", "b", "a", "", ""},
		{"", "b", "b", "", ""},
		{"", "", "", NoAccount, "subject"},
		{strings.Repeat("a", 255), "", strings.Repeat("a", 255), "", ""},
		{strings.Repeat("a", 256), "b", "", TooLong, "subject"},
		{"", strings.Repeat("b", 256), "", TooLong, ""},
		{"a\x00", "b", "", InvalidValue, "subject"},
		{"", "b\n", "", InvalidValue, ""},
		{"", "b\xff", "", InvalidValue, ""},
	} {
		got, rejection := Account(&Event{Subject: []byte(c.subject)}, []byte(c.key))
		if rejection == nil {
			rejection = &Rejection{}
		}
		if string(got) != c.want || rejection.Reason != c.reason || rejection.Field != c.field {
			t.Errorf("subject %.20q, key %.20q: got %.20q %v, want %.20q %s %s", c.subject, c.key, got, rejection, c.want, c.reason, c.field)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	var d Decoder
	var ev Event
	if rejection := d.Decode(Usage, []byte(typicalEvent), &ev); rejection != nil {
		b.Fatal(rejection)
	}
	rules := DefaultRules()
	b.ReportAllocs()
	for b.Loop() {
		if rejection := rules.Validate(Usage, &ev, ev.Time); rejection != nil {
			b.Fatal(rejection)
		}
	}
}
