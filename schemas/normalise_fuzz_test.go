package schemas

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// Whatever data says, normalising does not panic, what it leaves is JSON, and
// doing it again changes nothing.
func FuzzNormalise(f *testing.F) {
	for _, data := range []string{
		`{"event-data":{"event":"failed","id":"i","timestamp":1548115208.1,"domain":{"name":"D."},"flags":{"is-delayed-bounce":true},"reason":"x y"}}`,
		`{"mandrill_events":[{"event":"inbound","ts":5,"msg":{"email":"a@b","raw_msg":"x"}}]}`,
		`{"event":"reject","ts":"5","_id":"x","msg":{"sender":"a@b","reject":{"reason":"spam"}},"url":"u"}`,
		`{"domain":"D","direction":"IN","severity":"x","reason":"A B","flags":{"is-authenticated":false}}`,
		`{"metric":"m","qty":"1.5","price":1,"groupby":{"b":"\"","a":"\\"},"metadata":{"z":"\n"},"begin":"2031-05-01T02:00:00+02:00"}`,
	} {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data string) {
		for _, kind := range []struct {
			topic Topic
			name  string
		}{{Emails, TypeMailgunWebhook}, {Emails, TypeMandrill}, {Emails, "email.accepted"}, {Emails, "email.failed"}, {Usage, TypeRatedUsage}} {
			var d Decoder
			var ev Event
			if d.Decode(kind.topic, []byte(event(kind.name, data, "")), &ev) != nil || (Rules{}).Validate(kind.topic, &ev, 1<<61) != nil {
				continue
			}
			if len(ev.Rest) > 0 && !json.Valid(ev.Rest) || !utf8.Valid(ev.ID) || len(ev.ID) == 0 || hasControl(ev.ID) {
				t.Fatalf("%s of %s: id %q, data %s", kind.name, data, ev.ID, ev.Rest)
			}
			if r := ev.Rated; r != nil && (!json.Valid(r.Groupby) || !json.Valid(r.Metadata)) {
				t.Fatalf("%s: groupby %s, metadata %s", data, r.Groupby, r.Metadata)
			}
			if kind.topic == Usage {
				continue
			}
			before := mailFacts(&ev) + string(ev.ID) + string(ev.Rest)
			if rejection := (Rules{}).Validate(kind.topic, &ev, 1<<61); rejection != nil || mailFacts(&ev)+string(ev.ID)+string(ev.Rest) != before {
				t.Fatalf("%s of %s: again %v, %s, before %s", kind.name, data, rejection, mailFacts(&ev)+string(ev.ID)+string(ev.Rest), before)
			}
		}
	})
}
