package schemas

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseAppTime(t *testing.T) {
	at := time.Date(2021, 6, 15, 0, 0, 0, 0, time.UTC).UnixMicro()
	for text, want := range map[string]int64{
		"2021-06-15 00:00:00":              at,
		"2021-06-15 00:00:00.000001":       at + 1,
		"2021-06-15 00:00:00.5":            at + 500_000,
		"2021-06-15T00:00:00Z":             at,
		"2021-06-15T02:00:00.000001+02:00": at + 1,
		"2021-06-15 02:00:00+02:00":        at,
	} {
		if got, ok := ParseAppTime(text); !ok || got != want {
			t.Errorf("%s: got %d, %t, want %d", text, got, ok, want)
		}
	}
	for _, text := range []string{"", " ", "2021-06-15", "2021-06-15 00:00", "2021-06-15T00:00:00", "2021-06-31 00:00:00",
		"2021-06-15 24:00:00", "2021-06-15 00:00:00.", "15.06.2021 00:00:00", "1623715200", "2021-06-15  00:00:00"} {
		if got, ok := ParseAppTime(text); ok {
			t.Errorf("%s: got %d, want none", text, got)
		}
	}
}

const goodBody = `{"session":{"id":"s"},"category":"page interaction","name":"pageview","data":{"host":"h","path":"/"},"timestamp":"2021-06-15 00:00:00"}`

// A body as a record: what the worker finds in it, in the words of the body.
func TestAppRecord(t *testing.T) {
	without := func(name string) string {
		var members map[string]any
		if err := json.Unmarshal([]byte(goodBody), &members); err != nil {
			t.Fatal(err)
		}
		delete(members, name)
		b, err := json.Marshal(members)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	with := func(name, value string) string {
		return without(name)[:len(without(name))-1] + `,"` + name + `":` + value + `}`
	}
	cases := []struct {
		body   string
		reason Reason
		field  string
	}{
		{goodBody, "", ""},
		{with("more", `{"x":[1]}`), "", ""},
		{with("status", `"no number"`), "", ""},
		{without("session"), MissingField, "session.id"},
		{with("session", `null`), MissingField, "session.id"},
		{with("session", `{}`), MissingField, "session.id"},
		{with("session", `{"id":5}`), WrongType, "session.id"},
		{with("session", `[]`), WrongType, "session.id"},
		{with("session", `{"id":""}`), InvalidValue, "session.id"},
		{without("category"), MissingField, "category"},
		{with("category", `7`), WrongType, "category"},
		{without("name"), MissingField, "name"},
		{without("data"), MissingField, "data"},
		{with("data", `{}`), EmptyData, "data"},
		{with("data", `"{not json"`), InvalidData, "data"},
		{without("timestamp"), MissingField, "timestamp"},
		{with("timestamp", `null`), MissingField, "timestamp"},
		{with("timestamp", `""`), MissingField, "timestamp"},
		{with("timestamp", `"yesterday"`), InvalidValue, "timestamp"},
		{with("timestamp", `1623715200`), InvalidValue, "timestamp"},
		{with("timestamp", `"2021-06-16 00:00:00.000001"`), TimeAfterReceipt, "timestamp"},
		{with("timestamp", `"2021-06-16T01:00:00.000001+01:00"`), TimeAfterReceipt, "timestamp"},
		{with("timestamp", `"2021-06-16 00:00:00"`), "", ""},
		{with("timestamp", `"1980-01-01 00:00:00"`), TimeTooOld, "timestamp"},
	}
	received := time.Date(2021, 6, 16, 0, 0, 0, 0, time.UTC).UnixMicro()
	var d Decoder
	for _, c := range cases {
		record, err := NewAppRecord("id", "acme", []byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", c.body, err)
		}
		var ev Event
		why := d.Decode(Usage, record, &ev)
		if why == nil {
			why = DefaultRules().Validate(Usage, &ev, received)
		}
		if why == nil {
			why = CheckReceipt(&ev, received)
		}
		if c.reason == "" && why != nil {
			t.Errorf("%s: got %v, want none", c.body, why)
		}
		if c.reason != "" && (why == nil || why.Reason != c.reason || why.OfAppBody().Field != c.field || why.Message == "") {
			t.Errorf("%s: got %v, want %s of %s", c.body, why, c.reason, c.field)
		}
		if string(ev.ID) != "id" || string(ev.Subject) != "acme" || string(ev.Source) != AppSource {
			t.Errorf("%s: identity %s, %s, %s", c.body, ev.ID, ev.Subject, ev.Source)
		}
		back, ok := AppBody(record)
		if !ok || !sameMembers(t, back, []byte(c.body)) {
			t.Errorf("%s: its record shows %s", c.body, back)
		}
	}
	for _, body := range []string{``, `{`, `[]`, `"x"`, `null`, `{"a":1}{}`, `{"data":1,"data":2}`, "{\"a\":\"\xff\"}"} {
		record, err := NewAppRecord("id", "acme", []byte(body))
		if err == nil || strings.Contains(err.Error(), "schemas.") || strings.Contains(err.Error(), "jsontext") {
			t.Errorf("%q: got %s, %v, want an error in words of JSON", body, record, err)
		}
	}
	if body, ok := AppBody([]byte(typicalEvent)); ok {
		t.Errorf("another event's body: %s", body)
	}
}

// sameMembers compares what of body is known, and what is not null.
func sameMembers(t *testing.T, got, body []byte) bool {
	t.Helper()
	var is, want map[string]any
	if err := json.Unmarshal(got, &is); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, &want); err != nil {
		t.Fatal(err)
	}
	delete(want, "more")
	delete(want, "status")
	for _, m := range []map[string]any{is, want} {
		if s, ok := m["session"].(map[string]any); ok && len(s) == 0 || m["session"] == nil {
			delete(m, "session")
		}
	}
	if _, ok := want["session"].([]any); ok { // a list stands where the id should
		delete(want, "session")
		delete(is, "session")
	}
	return reflect.DeepEqual(is, want)
}

func TestAppPayload(t *testing.T) {
	for data, want := range map[string]string{
		`{"a": [1, "\u00e9"]}`: `{"a":[1,"\u00e9"]}`,
		`[1]`:                  `[1]`,
		`" { \"a\" : 1 } "`:    `{"a":1}`,
	} {
		var d Decoder
		var ev Event
		if r := d.Decode(Usage, []byte(event("app.event", `{"x":"data","data":`+data+`,"y":{"data":2}}`, "")), &ev); r != nil {
			t.Fatal(r)
		}
		got, why := AppPayload(&ev)
		if why != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", data, got, why, want)
		}
	}
}
