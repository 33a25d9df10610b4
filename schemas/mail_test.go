package schemas

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// mailFacts is what totals and archive are told of an e-mail event.
func mailFacts(ev *Event) string {
	facts := []string{string(ev.Type)}
	for _, f := range []Field{Domain, Direction, Transport, Severity, MailReason, Recipient, MessageID, Provider} {
		facts = append(facts, ev.text(f))
	}
	return strings.Join(facts, "|")
}

func decodeMail(t *testing.T, kind, data string) (*Event, *Rejection) {
	t.Helper()
	var d Decoder
	var ev Event
	if rejection := d.Decode(Emails, []byte(event(kind, data, `,"subject":"acc-1","time":"2019-01-22T12:00:00Z"`)), &ev); rejection != nil {
		t.Fatalf("%s: %v", data, rejection)
	}
	return &ev, Rules{}.Validate(Emails, &ev, 1<<60)
}

// samples reads the file of complete provider payloads.
func samples(t *testing.T, part string) map[string]json.RawMessage {
	t.Helper()
	text, err := os.ReadFile("../testdata/cases/email-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]json.RawMessage
	var cases map[string]json.RawMessage
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(all[part], &cases); err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestMailgunSamples(t *testing.T) {
	const id = "20190122000000.1.AB12CD34@mg.example.com"
	want := map[string]string{
		"accepted":                         "email.accepted|mg.example.com|outgoing|smtp|||ann@example.net|" + id,
		"rejected":                         "email.rejected|mg.example.com||||other|ann@example.net|" + id,
		"delivered":                        "email.delivered|mg.example.com||smtp|||ann@example.net|" + id,
		"failed_permanent_bounce":          "email.failed|mg.example.com||smtp|permanent|bounce|ann@example.net|" + id,
		"failed_permanent_suppress_bounce": "email.failed|mg.example.com||smtp|permanent|suppress-bounce|ann@example.net|" + id,
		"failed_permanent_delayed_bounce":  "email.failed|mg.example.com|||permanent|delayed-bounce|ann@example.net|" + id,
		"failed_temporary":                 "email.failed|mg.example.com||smtp|temporary|generic|ann@example.net|" + id,
		"opened":                           "email.opened|mg.example.com|||||ann@example.net|" + id,
		"clicked":                          "email.clicked|mg.example.com|||||ann@example.net|" + id,
		"unsubscribed":                     "email.unsubscribed|mg.example.com|||||ann@example.net|" + id,
		"complained":                       "email.complained|mg.example.com|||||ann@example.net|" + id,
		"stored":                           "email.stored|mg.example.com|incoming|||||" + id,
	}
	all := samples(t, "mailgun")
	if len(all) != len(want) {
		t.Errorf("the file has %d samples, want %d", len(all), len(want))
	}
	for name, payload := range all {
		inner := jsonObject(payload)["event-data"]
		for _, data := range []json.RawMessage{payload, inner} { // the whole body, and event-data alone
			ev, rejection := decodeMail(t, TypeMailgunWebhook, string(data))
			if rejection != nil {
				t.Errorf("%s: %v", name, rejection)
				continue
			}
			if got, want := mailFacts(ev), want[name]+"|mailgun"; got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
			fields := jsonObject(inner)
			identity := "mg.example.com/" + jsonString(fields["event"]) + "/" + jsonString(fields["id"]) + "/2019-01-22"
			if string(ev.ID) != identity || string(ev.Source) != "mailgun" || string(ev.Subject) != "acc-1" {
				t.Errorf("%s: got identity %s of %s, account %s, want %s of mailgun, acc-1", name, ev.ID, ev.Source, ev.Subject, identity)
			}
			if got := ev.Time; got%1_000_000 != 123456 || DayOf(got).String() != "2019-01-22" {
				t.Errorf("%s: got time %d", name, got)
			}
			payload := jsonObject(jsonObject(ev.Rest)["payload"])
			if got, want := string(payload["id"]), string(fields["id"]); got != want || payload["signature"] != nil {
				t.Errorf("%s: the data keeps id %s, want %s; signature %s, want none", name, got, want, payload["signature"])
			}
		}
	}
}

func TestMandrillSamples(t *testing.T) {
	const id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	want := map[string]string{
		"send":        "email.accepted|mg.example.com|outgoing||||ann@example.net|" + id,
		"delivered":   "email.delivered|mg.example.com||smtp|||ann@example.net|" + id,
		"deferral":    "email.failed|mg.example.com|||temporary|deferral|ann@example.net|" + id,
		"hard_bounce": "email.failed|mg.example.com|||permanent|bounce|ann@example.net|" + id,
		"soft_bounce": "email.failed|mg.example.com|||permanent|soft-bounce|ann@example.net|" + id,
		"open":        "email.opened|mg.example.com|||||ann@example.net|" + id,
		"click":       "email.clicked|mg.example.com|||||ann@example.net|" + id,
		"spam":        "email.complained|mg.example.com|||||ann@example.net|" + id,
		"unsub":       "email.unsubscribed|mg.example.com|||||ann@example.net|" + id,
		"reject":      "email.failed|mg.example.com|||permanent|rejected|ann@example.net|" + id,
		"inbound":     "email.accepted|mg.example.com|incoming||||inbox@mg.example.com|",
	}
	var identities []string
	for name, payload := range samples(t, "mandrill_events") {
		if name == "sync_blacklist" {
			if !MandrillSync(payload) {
				t.Errorf("%s is not recognised", name)
			}
			continue
		}
		list, err := json.Marshal(string(payload))
		if err != nil {
			t.Fatal(err)
		}
		var id string
		for _, data := range []string{string(payload), `{"mandrill_events":[` + string(payload) + `]}`, `{"mandrill_events":"[` + strings.Trim(string(list), `"`) + `]"}`} {
			ev, rejection := decodeMail(t, TypeMandrill, data)
			if rejection != nil {
				t.Errorf("%s: %v", name, rejection)
				continue
			}
			if got, want := mailFacts(ev), want[name]+"|mandrill"; got != want {
				t.Errorf("%s: got %s, want %s", name, got, want)
			}
			if twin := map[bool]string{true: "stored"}[name == "inbound"]; ev.Twin != twin {
				t.Errorf("%s: got twin %q, want %q", name, ev.Twin, twin)
			}
			if id == "" {
				id = string(ev.ID)
				identities = append(identities, id)
			}
			if string(ev.ID) != id || MandrillSync(payload) {
				t.Errorf("%s: got identity %s, want %s", name, ev.ID, id)
			}
			if strings.Contains(string(ev.Rest), "raw_msg") {
				t.Errorf("%s: the data keeps the message itself: %s", name, ev.Rest)
			}
		}
	}
	slices.Sort(identities)
	if got := len(slices.Compact(identities)); got != len(want) {
		t.Errorf("%d identities, want %d", got, len(want))
	}
}

func TestMailForms(t *testing.T) {
	cases := []struct{ kind, data, want, rest string }{
		{"email.accepted", `{"domain":"MG.Example.COM."}`, "email.accepted|mg.example.com|outgoing||||||", ""},
		{"email.accepted", `{"domain":"d","flags":{"is-authenticated":false}}`, "email.accepted|d|incoming||||||", `{"flags":{"is-authenticated":false}}`},
		{"email.accepted", `{"domain":"d","direction":"Incoming","flags":{"is-authenticated":true}}`, "email.accepted|d|incoming||||||", `{"flags":{"is-authenticated":true}}`},
		{"email.delivered", `{"domain":"d"}`, "email.delivered|d||smtp|||||", ""},
		{"email.delivered", `{"domain":"d","transport":"HTTP"}`, "email.delivered|d||http|||||", ""},
		{"email.failed", `{"domain":"d","severity":"Permanent","reason":"generic","flags":{"is-delayed-bounce":true}}`,
			"email.failed|d|||permanent|delayed-bounce|||", `{"flags":{"is-delayed-bounce":true},"provider_reason":"generic"}`},
		{"email.failed", `{"domain":"d","severity":"temporary","reason":"espblock","flags":{"is-delayed-bounce":true}}`,
			"email.failed|d|||temporary|espblock|||", `{"flags":{"is-delayed-bounce":true}}`},
		{"email.failed", `{"domain":"d","severity":"permanent","reason":"delayed-bounce"}`, "email.failed|d|||permanent|delayed-bounce|||", ""},
		{"email.failed", `{"domain":"d","severity":"permanent","reason":"delayed-bounce","flags":{"is-delayed-bounce":false}}`,
			"email.failed|d|||permanent|other|||", `{"flags":{"is-delayed-bounce":false},"provider_reason":"delayed-bounce"}`},
		{"email.failed", `{"domain":"d","reason":"550 5.1.1 no such user"}`, "email.failed|d||||other|||", `{"provider_reason":"550 5.1.1 no such user"}`},
		{"email.failed", `{"domain":"d","reason":"BOUNCE","provider_reason":"x"}`, "email.failed|d||||bounce|||", `{"provider_reason":"x"}`},
		{"mailgun.webhook", `{"event":"failed","id":"i","timestamp":"0","domain":"D.","severity":"permanent","reason":"delayed-bounce"}`,
			"email.failed|d|||permanent|other|||mailgun", `{"payload":{"domain":"D.","event":"failed","id":"i","reason":"delayed-bounce","severity":"permanent","timestamp":"0"}}`},
		{"mandrill.webhook", `{"event":"reject","ts":1,"_id":"x","msg":{"sender":"a@b","reject":{"reason":"unsub"}}}`,
			"email.failed|b|||permanent|suppress-unsubscribe||x|mandrill", `{"payload":{"_id":"x","event":"reject","msg":{"reject":{"reason":"unsub"},"sender":"a@b"},"ts":1}}`},
		{"mandrill.webhook", `{"event":"reject","ts":1,"_id":"x","msg":{"sender":"a@b","reject_reason":"spam"}}`,
			"email.failed|b|||permanent|suppress-complaint||x|mandrill", `{"payload":{"_id":"x","event":"reject","msg":{"reject_reason":"spam","sender":"a@b"},"ts":1}}`},
	}
	for _, c := range cases {
		ev, rejection := decodeMail(t, c.kind, c.data)
		if rejection != nil {
			t.Errorf("%s: %v", c.data, rejection)
			continue
		}
		if got := mailFacts(ev); got != c.want {
			t.Errorf("%s: got %s, want %s", c.data, got, c.want)
		}
		if string(ev.Rest) != c.rest {
			t.Errorf("%s: got data %s, want %s", c.data, ev.Rest, c.rest)
		}
	}
}

func TestWebhooksRefused(t *testing.T) {
	cases := []struct {
		kind, data string
		reason     Reason
		field      string
	}{
		{"mailgun.webhook", `{}`, MissingField, "data.event"},
		{"mailgun.webhook", `{"event-data":[]}`, WrongType, "data.event-data"},
		{"mailgun.webhook", `{"event-data":{"event":"bounced"}}`, InvalidValue, "data.event-data.event"},
		{"mailgun.webhook", `{"event-data":{"event":"opened"}}`, MissingField, "data.event-data.id"},
		{"mailgun.webhook", `{"event-data":{"event":"opened","id":"i"}}`, InvalidValue, "data.event-data.timestamp"},
		{"mailgun.webhook", `{"event-data":{"event":"opened","id":"i","timestamp":1e11,"domain":{"name":"d"}}}`, TimeAhead, "time"},
		{"mailgun.webhook", `{"event-data":{"event":"opened","id":"i","timestamp":999999999999,"domain":{"name":"d"}}}`, InvalidValue, "data.event-data.timestamp"},
		{"mailgun.webhook", `{"event-data":{"event":"opened","id":"i","timestamp":5,"recipient-domain":"d"}}`, MissingField, "data.event-data.domain.name"},
		{"mandrill.webhook", `{"mandrill_events":[]}`, InvalidValue, "data.mandrill_events"},
		{"mandrill.webhook", `{"mandrill_events":[{},{}]}`, InvalidValue, "data.mandrill_events"},
		{"mandrill.webhook", `{"mandrill_events":[5]}`, WrongType, "data.mandrill_events[0]"},
		{"mandrill.webhook", `{"event":"sent","ts":5}`, InvalidValue, "data.event"},
		{"mandrill.webhook", `{"event":"send"}`, InvalidValue, "data.ts"},
		{"mandrill.webhook", `{"event":"send","ts":5,"msg":{"email":"a@b"}}`, MissingField, "data.msg.sender"},
		{"mandrill.webhook", `{"type":"blacklist","action":"add","ts":5}`, MissingField, "data.event"},
	}
	for _, c := range cases {
		var d Decoder
		var ev Event
		if rejection := d.Decode(Emails, []byte(event(c.kind, c.data, "")), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		got := Rules{}.Validate(Emails, &ev, 1_000_000_000)
		if got == nil {
			got = &Rejection{}
		}
		if got.Reason != c.reason || got.Field != c.field {
			t.Errorf("%s: got %v, want %s of %s", c.data, got, c.reason, c.field)
		}
	}
}

func TestUnixMicros(t *testing.T) {
	for text, want := range map[string]int64{"1548115201.123456": 1548115201123456, "1548161999.999999": 1548161999999999,
		"1548161999.9999996": 1548162000000000, "1548115201.1234564": 1548115201123456, "1.548115201e9": 1548115201000000,
		`"1548115201.5"`: 1548115201500000, "-0.5": -500000, "0": 0} {
		if got, ok := unixMicros(json.RawMessage(text)); !ok || got != want {
			t.Errorf("%s: got %d, %v, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", "null", `""`, `"now"`, "{}", "1e12", "253402300800"} {
		if got, ok := unixMicros(json.RawMessage(text)); ok {
			t.Errorf("%s: got %d, want none", text, got)
		}
	}
}

// A payload beyond what an event's data may hold loses its longest parts, and
// says so.
func TestLongPayload(t *testing.T) {
	data := `{"event":"opened","id":"i","timestamp":5,"domain":{"name":"d"},"user-variables":` + long(70<<10) + `,"tags":["a"]}`
	ev, rejection := decodeMail(t, TypeMailgunWebhook, data)
	if rejection != nil {
		t.Fatal(rejection)
	}
	const want = `{"tags":["a"],"payload":{"domain":{"name":"d"},"event":"opened","id":"i","tags":["a"],"timestamp":5},"payload_left_out":["user-variables"]}`
	if string(ev.Rest) != want {
		t.Errorf("got %.300s, want %s", ev.Rest, want)
	}
}

// A mail of our own that two providers took is delivered once, whoever tells of
// it; what its reader does is told by each.
func TestMailOfOurOwn(t *testing.T) {
	const id = "0123456789abcdef0123456789abcdef"
	gun := func(event, outbox string) string {
		return `{"event":"` + event + `","id":"g","timestamp":5,"domain":{"name":"d"},"user-variables":{"outbox_id":"` + outbox + `"}}`
	}
	drill := func(event, outbox string) string {
		return `{"event":"` + event + `","_id":"m","ts":5,"msg":{"sender":"a@d","email":"b@x","metadata":{"outbox_id":"` + outbox + `"}}}`
	}
	identity := func(kind, data string) string {
		t.Helper()
		ev, rejection := decodeMail(t, kind, data)
		if rejection != nil {
			t.Fatal(rejection)
		}
		return string(ev.Source) + " " + string(ev.ID)
	}
	if got, want := identity(TypeMailgunWebhook, gun("delivered", id)), OutboxSource+" "+id+"/delivered"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := identity(TypeMandrill, drill("delivered", id)), identity(TypeMailgunWebhook, gun("delivered", id)); got != want {
		t.Errorf("two providers: got %s, want %s", got, want)
	}
	if got, want := identity(TypeMandrill, drill("send", id)), OutboxSource+" "+id+"/accepted"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, data := range []string{gun("opened", id), gun("delivered", "not-ours")} {
		if got := identity(TypeMailgunWebhook, data); !strings.HasPrefix(got, "mailgun d/") {
			t.Errorf("%s: got %s, want Mailgun's own identity", data, got)
		}
	}
}
