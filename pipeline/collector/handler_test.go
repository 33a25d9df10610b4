package collector

import (
	"bytes"
	"fmt"
	"net/http"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

func goodEvent(id string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"s","type":"api.request","subject":"acme",`+
		`"time":"2026-01-02T03:04:05Z","data":{"endpoint":"/","status":200}}`, id)
}

func values(messages []kafka.Message) []string {
	var all []string
	for _, m := range messages {
		all = append(all, string(m.Value))
	}
	sort.Strings(all)
	return all
}

func TestForms(t *testing.T) {
	s := newSetup(t, Config{})
	one, two := goodEvent("1"), goodEvent("2")
	array := "\n[" + one + " ,\n" + two + "]\n"
	for _, c := range []struct {
		contentType, body string
		v1, api           int
	}{
		{"application/json", one, 202, 204},
		{"application/json", array, 202, 204},
		{"application/json", "[]", 202, 204},
		{"Application/JSON; charset=utf-8", array, 202, 204},
		{"", one, 202, 204},
		{"", array, 202, 204},
		{"application/cloudevents+json; charset=UTF-8", one, 202, 204},
		{"application/cloudevents+json", array, 400, 400},
		{"application/cloudevents-batch+json", array, 202, 204},
		{"application/cloudevents-batch+json", one, 400, 400},
		{"application/x-ndjson", one + "\r\n\n  " + two + "\n\n", 202, 415},
		{"application/x-ndjson", one, 202, 415},
		{"text/plain", one, 415, 415},
		{"application/xml", one, 415, 415},
		{"application/json", "", 400, 400},
		{"application/json", " \n", 400, 400},
		{"application/json", "17", 400, 400},
		{"application/json", "[" + one, 400, 400},
		{"application/json", "[" + one + ",]", 400, 400},
		{"application/json", "[," + one + "]", 400, 400},
		{"application/json", "[" + one + "]]", 400, 400},
		{"application/json", "[" + one + "] x", 400, 400},
		{"application/json", "[" + one + "}", 400, 400},
		{"application/json", `["`, 400, 400},
		{"application/json", one + one, 400, 400},
	} {
		for path, want := range map[string]int{"/v1/events": c.v1, "/api/v1/events": c.api} {
			var headers []string
			if c.contentType != "" {
				headers = []string{"Content-Type", c.contentType}
			}
			got := s.post(t, path, []byte(c.body), headers...)
			if got.status != want {
				t.Errorf("%s %q %.60q: got %d %s, want %d", path, c.contentType, c.body, got.status, got.body, want)
			}
			switch {
			case want == 204 && got.body != "":
				t.Errorf("%s %.60q: got body %q, want none", path, c.body, got.body)
			case want >= 400 && path == "/v1/events" && (got.Error == "" || got.header.Get("Content-Type") != "application/json"):
				t.Errorf("%s %.60q: got %s", path, c.body, got.body)
			case want >= 400 && path != "/v1/events" && (got.Detail == "" || got.header.Get("Content-Type") != "application/problem+json"):
				t.Errorf("%s %.60q: got %s", path, c.body, got.body)
			}
		}
	}
	for _, value := range values(s.messages(t, schemas.Usage)) {
		if value != one && value != two {
			t.Errorf("stored %q", value)
		}
	}
}

func TestResultsInOrder(t *testing.T) {
	s := newSetup(t, Config{})
	body := "[" + strings.Join([]string{
		goodEvent("1"),
		`{"specversion":"1.0","id":"2","source":"s","type":"api.request","subject":"acme","data":{"endpoint":"/","status":"abc"}}`,
		`{"specversion":"1.0","id":"3","source":"s","type":"app.event"}`,
		`{"specversion":"1.0","id":"4","id":"5","source":"s","type":"t","subject":"acme"}`,
		`17`,
		`{"specversion":"1.0","id":"6","type":"t","subject":"acme"}`,
		`{"specversion":"1.0","id":"7","source":"s","type":"api.request","subject":"acme","time":"2999-01-01T00:00:00Z","data":{"endpoint":"/","status":200}}`,
		`{"specversion":"1.0","id":"8","source":"s","type":"internal.error","subject":"acme"}`,
		`{"specversion":"1.0","id":"9","source":"s","type":"anything","subject":"acme","data":[",","\"]}"]}`,
		`{"specversion":"1.0","id":"10","source":"s","type":"event.retracted","subject":"acme"}`,
		`{"specversion":"1.0","id":"11","source":"s","type":"anything"}`,
	}, ",") + "]"
	got := s.post(t, "/v1/events", []byte(body))
	want := []result{{"1", "accepted", "", ""}, {"2", "rejected", "", "data.status"}, {"3", "rejected", "", "data.session"},
		{"4", "rejected", "", "id"}, {"", "rejected", "", "specversion"}, {"6", "rejected", "", "source"}, {"7", "rejected", "", "time"},
		{"8", "rejected", "", "type"}, {"9", "accepted", "", ""}, {"10", "rejected", "", "data.event"}, {"11", "rejected", noAccount, "subject"}}
	if got.status != 202 || len(got.Results) != len(want) {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	for i, w := range want {
		g := got.Results[i]
		if g.Status != w.Status || (g.Error != "") != (w.Status == "rejected") || w.Error != "" && g.Error != w.Error {
			t.Errorf("result %d: got %+v, want %+v", i, g, w)
		}
		// What is left of broken JSON is the decoder's own affair.
		if i != 3 && (g.ID != w.ID || g.Field != w.Field) {
			t.Errorf("result %d: got %+v, want %+v", i, g, w)
		}
	}
	if got := len(s.messages(t, schemas.Usage)); got != 2 {
		t.Errorf("got %d records, want 2", got)
	}
	for outcome, want := range map[string]float64{"accepted": 2, "time_ahead": 1, "no_account": 1} {
		if got := s.metric(t, "tallybook_collector_events_total", outcome); got != want {
			t.Errorf("metric: got %v %s, want %v", got, outcome, want)
		}
	}

	api := s.post(t, "/api/v1/events", []byte(body))
	if api.status != 400 || !strings.Contains(api.Detail, "event 2 of 11") || api.Field != "data.status" {
		t.Errorf("got %d %s", api.status, api.body)
	}
	if got := len(s.messages(t, schemas.Usage)); got != 2 {
		t.Errorf("a malformed request was stored: got %d records, want still 2", got)
	}
	single := s.post(t, "/v1/events", []byte(`{"specversion":"1.0","id":"6","type":"t","subject":"acme"}`))
	if single.status != 400 || single.Field != "source" {
		t.Errorf("got %d %s", single.status, single.body)
	}
}

func TestRouting(t *testing.T) {
	s := newSetup(t, Config{})
	events := []string{
		goodEvent("1"),
		`{"specversion":"1.0","id":"2","source":"s","type":"api.error","subject":"acme","time":"2026-01-02T03:04:05Z","data":{"endpoint":"/","status":500}}`,
		`{"specversion":"1.0","id":"3","source":"s","type":"email.delivered","subject":"acme","time":"2026-01-02T03:04:05Z","data":{"domain":"example.org"}}`,
		`{"specversion":"1.0","id":"4","source":"s","type":"custom.thing","subject":"acme","time":"2026-01-02T03:04:05Z"}`,
		`{"subject":"acme", "time":"2026-01-02T03:04:05Z", "data":{"endpoint":"/","status":500}, "specversion":"1.0","id":"5","source":"s","type":"api.error"}`,
	}
	before := time.Now().Truncate(time.Millisecond)
	if got := s.post(t, "/v1/events", []byte("["+strings.Join(events, ",")+"]")); got.status != 202 || strings.Contains(got.body, "rejected") {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	for topic, want := range map[schemas.Topic][]string{schemas.Usage: {events[0], events[3]},
		schemas.Errors: {events[1], events[4]}, schemas.Emails: {events[2]}} {
		messages := s.messages(t, topic)
		sort.Strings(want)
		if got := values(messages); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
		for _, m := range messages {
			home := broker.Partitioner.Balance(kafka.Message{Key: []byte("acme")}, 0, 1, 2, 3)
			if string(m.Key) != "acme" || m.Partition != home || m.Time.Before(before) || m.Time.After(time.Now()) {
				t.Errorf("%s: got key %q on partition %d at %v, want acme on %d, now", topic, m.Key, m.Partition, m.Time, home)
			}
		}
	}
}

func TestTimeAndAccountAreFilledIn(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 8, 9, 123456789, time.UTC)
	s := newSetup(t, Config{Now: func() time.Time { return now }})
	body := `[{ "specversion":"1.0","id":"1","source":"s","type":"t","subject":"sub\u006aect"},
		{"id":"2","time":null, "specversion":"1.0","source":"s","type":"t","data":{"time":1}},
		{"id":"3","\u0074ime":null, "specversion":"1.0","source":"s","type":"t","subject":null}]`
	if got := s.post(t, "/v1/events", []byte(body), "X-Account-ID", "head"); got.status != 202 || strings.Contains(got.body, "rejected") {
		t.Fatalf("got %d %s", got.status, got.body)
	}
	const stamp = `"time":"2026-05-06T07:08:09.123Z"`
	want := map[string]string{
		`{` + stamp + `, "specversion":"1.0","id":"1","source":"s","type":"t","subject":"sub\u006aect"}`: "subject",
		`{` + stamp + `,"id":"2","specversion":"1.0","source":"s","type":"t","data":{"time":1}}`:         "head",
		`{` + stamp + `,"id":"3","specversion":"1.0","source":"s","type":"t","subject":null}`:            "head",
	}
	messages := s.messages(t, schemas.Usage)
	for _, m := range messages {
		if key, found := want[string(m.Value)]; !found || key != string(m.Key) {
			t.Errorf("got %q for %q", m.Value, m.Key)
		}
		if !m.Time.Equal(now.Truncate(time.Millisecond)) {
			t.Errorf("got record time %v, want %v", m.Time, now)
		}
	}
	if len(messages) != len(want) {
		t.Errorf("got %d records, want %d", len(messages), len(want))
	}

	homeless := `{"id":"2","specversion":"1.0","source":"s","type":"t"}`
	for _, body := range []string{homeless, "[" + homeless + "," + homeless + "]"} {
		if got := s.post(t, "/v1/events", []byte(body)); got.status != 400 || got.Error != noAccount || got.Field != "subject" {
			t.Errorf("got %d %s", got.status, got.body)
		}
		if got := s.post(t, "/api/v1/events", []byte(body)); got.status != 400 || got.Detail != noAccount || got.Field != "subject" {
			t.Errorf("got %d %s", got.status, got.body)
		}
	}
	long := s.post(t, "/v1/events", []byte(homeless), "X-Account-ID", strings.Repeat("a", 300))
	if long.status != 400 || long.Field != "X-Account-ID" {
		t.Errorf("got %d %s", long.status, long.body)
	}
}

// Events that the worker's clock would find too far ahead must not pass here.
func TestClockIsTheRecordsTimestamp(t *testing.T) {
	now := time.Date(2026, 5, 6, 7, 0, 0, 999_999_000, time.UTC)
	s := newSetup(t, Config{Now: func() time.Time { return now }})
	for ahead, want := range map[string]int{"2026-05-06T07:05:00.999Z": 202, "2026-05-06T07:05:00.9995Z": 400} {
		body := strings.Replace(goodEvent("1"), "2026-01-02T03:04:05Z", ahead, 1)
		if got := s.post(t, "/v1/events", []byte(body)); got.status != want {
			t.Errorf("%s: got %d %s, want %d", ahead, got.status, got.body, want)
		}
	}
}

func TestConcurrentRequests(t *testing.T) {
	s := newSetup(t, Config{})
	const senders, each = 16, 25
	var running sync.WaitGroup
	for n := range senders {
		running.Go(func() {
			for i := range each {
				body := batchOf((n*each+i)*3, 3)
				if got := s.post(t, "/v1/events", body); got.status != 202 || strings.Contains(got.body, "rejected") {
					t.Errorf("got %d %s", got.status, got.body)
				}
			}
		})
	}
	running.Wait()
	want := map[string]bool{}
	for i := range senders * each * 3 {
		want[sample(i)] = true
	}
	messages := s.messages(t, schemas.Usage)
	if len(messages) != len(want) {
		t.Errorf("got %d records, want %d", len(messages), len(want))
	}
	for _, m := range messages {
		if !want[string(m.Value)] || !bytes.Contains(m.Value, append(append([]byte(`"subject":"`), m.Key...), '"')) {
			t.Errorf("got %q for %q", m.Value, m.Key)
		}
		delete(want, string(m.Value))
	}
	// The handlers may still be on their way out.
	waitFor(t, "bytes in flight to be given back", func() bool { return s.collector.inFlight.used.Load() == 0 })
}

func waitFor(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestMethods(t *testing.T) {
	s := newSetup(t, Config{})
	response, err := http.Get(s.url + "/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("got %d, want 405", response.StatusCode)
	}
}
