package collector

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// corrected writes the state of an event as a worker would.
func corrected(t *testing.T, st *store.Store, topic schemas.Topic, key store.EventKey, rows ...string) {
	t.Helper()
	tp := schemas.Partition{Topic: topic}
	from, err := st.TakeOver(t.Context(), tp, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &store.Checkpoint{From: from, To: from, ClosedAt: time.Unix(1, 0)}
	for i, row := range rows {
		f := store.Correction{Event: key, Revision: int64(i) + 1, Source: "fix", ID: string(rune('a' + i))}
		if row != "" {
			f.Rows = []byte(row)
		}
		c.Corrections = append(c.Corrections, f)
	}
	n := int64(len(rows))
	c.To.Next, c.To.LastOffset = from.Next+n, from.Next+n-1
	c.Ledger = store.Ledger{First: from.Next, Next: from.Next + n, Records: n, Counted: n}
	if res, err := st.Checkpoint(t.Context(), []*store.Checkpoint{c}); err != nil || res[0].Outcome != store.Applied {
		t.Fatalf("%+v, %v", res, err)
	}
}

func TestPostCorrections(t *testing.T) {
	s := appSetup(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	st := s.collector.cfg.Store
	const row = `[{"account":"acme","type":"api.error","time":1}]`
	corrected(t, st, schemas.Errors, store.EventKey{Account: "acme", Source: "s", ID: "amended"}, row, row)
	corrected(t, st, schemas.Usage, store.EventKey{Account: "acme", Source: "s", ID: "gone"}, "")
	corrected(t, st, schemas.Usage, store.EventKey{Account: "acme", Source: "s", ID: "twice"}, row)
	corrected(t, st, schemas.Emails, store.EventKey{Account: "acme", Source: "s", ID: "twice"}, row)
	for _, is := range []struct {
		path, body, account string
		status              int
		field               string
		topic               schemas.Topic
		revision            int64
	}{
		{"retract", `{"source":"s","id":"new","account":"acme","reason":"wrong"}`, "", 202, "", schemas.Usage, 1},
		{"retract", `{"source":"s","id":"new"}`, "acme", 202, "", schemas.Usage, 1},
		{"retract", `{"source":"s","id":"new","account":"acme","topic":"emails"}`, "acme", 202, "", schemas.Emails, 1},
		{"retract", `{"source":"s","id":"amended","account":"acme"}`, "", 202, "", schemas.Errors, 3},
		{"amend", `{"source":"s","id":"amended","account":"acme","after":{"endpoint":"/","status":500}}`, "", 202, "", schemas.Errors, 3},
		{"amend", `{"source":"s","id":"new","account":"acme","after":{"any":1}}`, "", 202, "", schemas.Usage, 1}, // its type is not known here
		{"retract", `{"source":"s","id":"new"}`, "", 400, "account", "", 0},
		{"retract", `{"source":"s","id":"new","account":"acme"}`, "bolt", 400, "account", "", 0},
		{"retract", `{"source":"s","account":"acme"}`, "", 400, "id", "", 0},
		{"retract", `{"source":"","id":"new","account":"acme"}`, "", 400, "source", "", 0},
		{"retract", `{"source":"s","id":5,"account":"acme"}`, "", 400, "id", "", 0},
		{"retract", `{"source":"s","id":"new","account":"acme","topic":"other"}`, "", 400, "topic", "", 0},
		{"retract", `{"source":"s","id":"new","account":"acme","after":{}}`, "", 400, "after", "", 0},
		{"retract", `{"source":"s","id":"new","account":"a\u0000"}`, "", 400, "account", "", 0},
		{"retract", `{"source":"s","id":"gone","account":"acme"}`, "", 409, "id", "", 0},
		{"amend", `{"source":"s","id":"gone","account":"acme","after":{"endpoint":"/","status":500}}`, "", 409, "id", "", 0},
		{"retract", `{"source":"s","id":"twice","account":"acme"}`, "", 409, "topic", "", 0},
		{"amend", `{"source":"s","id":"new","account":"acme"}`, "", 400, "after", "", 0},
		{"amend", `{"source":"s","id":"new","account":"acme","after":null}`, "", 400, "after", "", 0},
		{"amend", `{"source":"s","id":"new","account":"acme","after":[]}`, "", 400, "after", "", 0},
		{"amend", `{"source":"s","id":"amended","account":"acme","after":{"endpoint":"/"}}`, "", 400, "after.status", "", 0},
		{"amend", `{`, "", 400, "", "", 0},
	} {
		before := map[schemas.Topic]int{}
		for _, topic := range schemas.Topics {
			before[topic] = len(s.messages(t, topic))
		}
		got := s.post(t, "/v1/events/"+is.path, []byte(is.body), "X-Account-ID", is.account)
		if got.status != is.status || is.status != 202 && (got.Error == "" || got.Field != is.field) {
			t.Errorf("%s %s: got %d %s; want %d, field %q", is.path, is.body, got.status, got.body, is.status, is.field)
			continue
		}
		for _, topic := range schemas.Topics {
			if n := len(s.messages(t, topic)) - before[topic]; (n == 1) != (topic == is.topic) {
				t.Errorf("%s %s: got %d records on %s", is.path, is.body, n, topic)
			}
		}
		if is.status != 202 {
			continue
		}
		var answer acceptedCorrection
		if err := json.Unmarshal([]byte(got.body), &answer); err != nil || answer.ID == "" || answer.Revision != is.revision {
			t.Errorf("%s: got %s, want revision %d", is.body, got.body, is.revision)
		}
	}
}

// The record that a retraction becomes is what workers take.
func TestRetractionRecord(t *testing.T) {
	s := appSetup(t, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	got := s.post(t, "/v1/events/retract", []byte(`{"source":"s","id":"i","account":"acme","reason":"wrong <meter>"}`))
	all := s.messages(t, schemas.Usage)
	if got.status != http.StatusAccepted || len(all) != 1 || string(all[0].Key) != "acme" {
		t.Fatalf("got %d %s, %d records", got.status, got.body, len(all))
	}
	var d schemas.Decoder
	var ev schemas.Event
	if why := d.Decode(schemas.Usage, all[0].Value, &ev); why != nil {
		t.Fatal(why)
	}
	c, why := schemas.ParseCorrection(&ev)
	if want := (schemas.Correction{Source: "s", ID: "i", Revision: 1, Reason: "wrong <meter>"}); why != nil ||
		c.Source != want.Source || c.ID != want.ID || c.Revision != want.Revision || c.Reason != want.Reason || c.After != nil {
		t.Errorf("got %+v, %v; want %+v", c, why, want)
	}
	if string(ev.Subject) != "acme" || string(ev.Type) != schemas.TypeRetracted {
		t.Errorf("got %s of %s", ev.Type, ev.Subject)
	}
}

// What takes from the counts, or brings its own money, is the administrators'
// alone: a customer's own key may write events too.
func TestOnlyAdministratorsTakeAway(t *testing.T) {
	c := &Collector{cfg: Config{Rules: schemas.DefaultRules(), MaxEventBytes: 1 << 20, Now: time.Now}}
	for data, free := range map[string]bool{
		`"api.request","data":{"endpoint":"/","status":200}`:                                                                       true,
		`"api.request","data":{"endpoint":"/","status":200,"quantity":0}`:                                                          true,
		`"api.request","data":{"endpoint":"/","status":200,"quantity":-1}`:                                                         false,
		`"api.request","data":{"endpoint":"/","status":200,"quantity":"-0.000000001"}`:                                             false,
		`"event.retracted","data":{"event":{"source":"s","id":"x"},"revision":1,"reason":"r"}`:                                     false,
		`"event\u002eretracted","data":{"event":{"source":"s","id":"x"},"revision":1,"reason":"r"}`:                                false,
		`"event.amended","data":{"event":{"source":"s","id":"x"},"revision":1,"after":{"endpoint":"/","status":200},"reason":"r"}`: false,
		`"rated.usage","data":{"metric":"m","qty":1,"price":-5,"begin":"2026-01-01T00:00:00Z","groupby":{}}`:                       false,
	} {
		value := []byte(`{"specversion":"1.0","id":"1","source":"s","subject":"a","type":` + data + `}`)
		for _, caller := range []api.Caller{{Role: store.RoleAdmin}, {Role: store.RoleAccount, Account: "a"}, {Role: store.RoleIngest, Account: "a"}, {Role: store.RoleIngest}} {
			e := c.check(&decoder{}, value, caller, time.Now())
			if got, want := e.rejected == nil, free || caller.IsAdmin(); got != want {
				t.Errorf("%s as %s: accepted is %t, want %t (%v)", data, caller.Role, got, want, e.rejected)
			}
		}
	}
}
