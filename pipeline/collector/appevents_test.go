package collector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

func appSetup(t *testing.T, now time.Time) *setup {
	t.Helper()
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return newSetup(t, Config{Store: st, Now: func() time.Time { return now }})
}

// What POST /events/ puts into the log, and when.
func TestPostAppEvent(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_000_001, time.UTC)
	s := appSetup(t, now)
	body := `{"session":{"id":"S"},"category":"c","name":"n","data":{"a": 1.50},"timestamp":"2026-01-02 03:04:05.678001","status":"x"}`
	got := s.post(t, "/events/", []byte(body), "X-Account-ID", "acme")
	var answer struct{ ID, Message string }
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil || got.status != http.StatusAccepted || answer.Message == "" {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	all := s.messages(t, schemas.Usage)
	if len(all) != 1 || string(all[0].Key) != "acme" || len(all[0].Headers) != 0 {
		t.Fatalf("got %v", all)
	}
	// The receipt is rounded up: what was before it is not after the record's time.
	if want := now.Add(999_999 * time.Nanosecond); !all[0].Time.Equal(want) {
		t.Errorf("time: got %s, want %s", all[0].Time, want)
	}
	want := fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/events/","type":"app.event","subject":"acme","time":"2026-01-02T03:04:05.678001Z",`+
		`"timestamp":"2026-01-02 03:04:05.678001","data":{"session":"S","category":"c","name":"n","data":{"a":1.50}}}`, answer.ID)
	if string(all[0].Value) != want {
		t.Errorf("record:\n got %s\nwant %s", all[0].Value, want)
	}
	if at, ok := timeOfUUID(answer.ID); !ok || at.Sub(now) > time.Millisecond || at.Before(now) {
		t.Errorf("id %s: got %s, %t", answer.ID, at, ok)
	}

	got = s.post(t, "/events", []byte("{\n"), "X-Account-ID", "acme")
	all = s.messages(t, schemas.Usage)
	if got.status != http.StatusBadRequest || got.Error == "" || len(all) != 2 {
		t.Fatalf("no JSON: got %d %s, %d records", got.status, got.body, len(all))
	}
	last := all[0]
	if string(last.Value) != "{\n" {
		last = all[1]
	}
	if refusal, ok := schemas.ParseRefusal(last.Headers[0].Value); !ok || refusal.Endpoint != schemas.AppSource || refusal.Reason != schemas.InvalidJSON || string(last.Key) != "acme" {
		t.Errorf("no JSON: got %+v %s", refusal, last.Key)
	}

	for _, is := range []struct {
		account, body string
		status        int
	}{
		{"", body, http.StatusBadRequest},
		{strings.Repeat("x", 256), body, http.StatusBadRequest},
		{"acme", `{"data":"` + strings.Repeat("x", 1<<20) + `"}`, http.StatusRequestEntityTooLarge},
	} {
		if got := s.post(t, "/events/", []byte(is.body), "X-Account-ID", is.account); got.status != is.status || got.Error == "" {
			t.Errorf("%.10s: got %d %s, want %d", is.account, got.status, got.body, is.status)
		}
	}
	if n := len(s.messages(t, schemas.Usage)); n != 2 {
		t.Errorf("refused requests left %d records", n-2)
	}
}

// On /v1/events the moment of receipt is as exact.
func TestAppEventIsNotFromTheFuture(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 678_400_000, time.UTC)
	s := appSetup(t, now)
	event := func(at time.Time) []byte {
		return []byte(`{"specversion":"1.0","id":"1","source":"s","type":"app.event","subject":"a","time":"` + at.Format(time.RFC3339Nano) +
			`","data":{"session":"s","category":"c","name":"n","data":{"a":1}}}`)
	}
	if got := s.post(t, "/v1/events", event(now)); got.status != http.StatusAccepted {
		t.Errorf("of now: got %d %s", got.status, got.body)
	}
	if got := s.post(t, "/v1/events", event(now.Add(time.Millisecond))); got.status != http.StatusBadRequest || got.Field != "time" {
		t.Errorf("of a millisecond later: got %d %s", got.status, got.body)
	}
	for _, m := range s.messages(t, schemas.Usage) {
		if m.Time.Before(now) {
			t.Errorf("the record is of %s, before its event, %s", m.Time, now)
		}
	}
}

func TestAppEventWithoutBroker(t *testing.T) {
	s := appSetup(t, time.Now())
	s.broker.Close()
	body := `{"session":{"id":"S"},"category":"c","name":"n","data":{"a":1},"timestamp":"2026-01-02 03:04:05"}`
	for _, body := range []string{body, "{"} {
		if got := s.post(t, "/events/", []byte(body), "X-Account-ID", "acme"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
			t.Errorf("%s: got %d %s, want 503", body, got.status, got.body)
		}
	}
	if got := s.post(t, "/sessions/", nil, "X-Account-ID", "acme"); got.status != http.StatusCreated {
		t.Errorf("a session needs no Kafka: got %d %s", got.status, got.body)
	}
}

// An id that the store does not have may still come while a worker is behind the
// log, and never will once the log clock has left it behind.
func TestChangeOfWhatIsNotThere(t *testing.T) {
	now := time.Now()
	s := appSetup(t, now)
	st := s.collector.cfg.Store
	body := `{"session":{"id":"S"},"category":"c","name":"n","data":{"a":1},"timestamp":"2026-01-02 03:04:05"}`
	got := s.post(t, "/events/", []byte(body), "X-Account-ID", "acme")
	var posted struct{ ID string }
	if err := json.Unmarshal([]byte(got.body), &posted); err != nil {
		t.Fatal(err)
	}
	change := func(id string, want int) {
		t.Helper()
		for _, account := range []string{"acme", ""} {
			r, err := http.NewRequest("DELETE", s.url+"/events/"+id+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Account-ID", account)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want || want == http.StatusConflict && response.Header.Get("Retry-After") == "" {
				t.Errorf("%s of %q: got %s, want %d", id, account, response.Status, want)
			}
		}
	}
	change(posted.ID, http.StatusConflict)
	change(randomUUID(), http.StatusNotFound)
	change(timedUUID(now), http.StatusConflict)
	// The workers get to where the log ended; the event was not created.
	for _, l := range s.collector.lanes[schemas.Usage] {
		_, end, err := s.kafka.Offsets(t.Context(), l.tp)
		if err != nil {
			t.Fatal(err)
		}
		from, err := st.TakeOver(t.Context(), l.tp, 0)
		if err != nil {
			t.Fatal(err)
		}
		if end == 0 {
			continue
		}
		to := from
		to.Next, to.Clock, to.LastOffset = end, now.UnixMicro(), end-1
		c := &store.Checkpoint{From: from, To: to, ClosedAt: now, Ledger: store.Ledger{Next: end, Records: end, Duplicate: end}}
		if results, err := st.Checkpoint(t.Context(), []*store.Checkpoint{c}); err != nil || results[0].Outcome != store.Applied {
			t.Fatalf("%v, %v", results, err)
		}
	}
	change(posted.ID, http.StatusNotFound)
}

func TestUUIDs(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	seen := map[string]bool{}
	for range 1000 {
		id := timedUUID(at)
		if got, ok := timeOfUUID(id); seen[id] || !ok || !got.Equal(at) || id[14] != '7' {
			t.Fatalf("%s: got %s, %t, want %s", id, got, ok, at)
		}
		seen[id] = true
	}
	for _, id := range []string{"", "x", randomUUID(), strings.Replace(timedUUID(at), "-", "0", 1), "g" + timedUUID(at)[1:], timedUUID(at) + "0"} {
		if at, ok := timeOfUUID(id); ok {
			t.Errorf("%q: got %s, want none", id, at)
		}
	}
}

// The examples of RFC 7396, appendix A, whose target is an object.
func TestMergePatch(t *testing.T) {
	for _, is := range [][3]string{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`{"a":"foo"}`, `{"b":12345678901234567890}`, `{"a":"foo","b":12345678901234567890}`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
	} {
		var objects [3]map[string]any
		for i, text := range is {
			var err error
			if objects[i], err = jsonObject([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if got := mergePatch(objects[0], objects[1]); !reflect.DeepEqual(got, any(objects[2])) {
			t.Errorf("%s with %s: got %v, want %s", is[0], is[1], got, is[2])
		}
	}
	for _, bad := range []string{``, `null`, `[]`, `1`, `{"a":1} {}`, `{"a":1}}`, `{"a":1,"a":2}`, `{`} {
		if got, err := jsonObject([]byte(bad)); err == nil {
			t.Errorf("%s: got %v, want an error", bad, got)
		}
	}
}

func TestIfMatch(t *testing.T) {
	for text, want := range map[string]string{
		``: "0 1 2", `*`: "0 1 2", `"1"`: "1", `"0", "2"`: "0 2", `W/"1"`: "", `"x"`: "", `""`: "", `1`: "error", `"1`: "error", `"1",`: "error",
	} {
		r, err := http.NewRequest("PUT", "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if text != "" {
			r.Header.Set("If-Match", text)
		}
		match, err := ifMatch(r)
		got := []string{}
		for revision := range int64(3) {
			if err == nil && match.allows(revision) {
				got = append(got, fmt.Sprint(revision))
			}
		}
		if err != nil {
			got = []string{"error"}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %v, want %s", text, got, want)
		}
	}
}
