package worker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// session is the one session of an account.
func session(account string) string {
	return "5e550000-0000-4000-8000-" + fmt.Sprintf("%012x", account[max(0, len(account)-6):])
}

// makeSessions makes those of the accounts that load uses.
func (r *rig) makeSessions(accounts ...string) {
	r.t.Helper()
	s := r.openStore()
	defer s.Close()
	for _, account := range accounts {
		if _, err := s.SessionAccount(context.Background(), session(account)); !errors.Is(err, store.ErrNotFound) {
			continue
		}
		if _, err := s.CreateSession(context.Background(), session(account), account); err != nil {
			r.t.Fatal(err)
		}
	}
}

func appMessage(account, id, at, data string) kafka.Message {
	return message(account, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"app.event","subject":%q,"time":%q,"data":%s}`, id, account, at, data))
}

func goodData(account string) string {
	return fmt.Sprintf(`{"session":%q,"category":"page interaction","name":"pageview","data":{"path":"/"}}`, session(account))
}

// app is an application event that will be counted.
func (r *rig) app(account, id, at string) kafka.Message {
	r.apps[account+" "+id] = true
	return appMessage(account, id, at, goodData(account))
}

// checkApps: the store has a row for each application event that was counted,
// and so has the archive; every failed creation has its error row.
func (r *rig) checkApps(s *store.Store) {
	r.t.Helper()
	err := s.View(context.Background(), func(v *store.View) error {
		events, err := v.AppEvents(store.AppEventFilter{From: 0, To: 1 << 60})
		if err != nil {
			return err
		}
		rows := map[string]bool{}
		for _, e := range events {
			if key := e.Account + " " + e.ID; rows[key] || !r.apps[key] {
				r.t.Errorf("a row too many of %s", key)
			} else {
				rows[key] = true
			}
		}
		if len(rows) != len(r.apps) {
			r.t.Errorf("%d application events in the store, want %d", len(rows), len(r.apps))
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	archived := 0
	a := archive.New(r.bucket)
	for _, folder := range []string{string(schemas.Usage) + "/"} {
		err := r.bucket.List(context.Background(), folder, "", func(name string, _ int64) error {
			return a.Read(context.Background(), name, []string{"id", "account", "type"}, func(rows *archive.Rows) error {
				for i := range rows.Len() {
					if rows.String(rows.Type[i]) == schemas.TypeAppEvent {
						archived++
						if key := rows.String(rows.Account[i]) + " " + string(rows.ID.At(i)); !r.apps[key] {
							r.t.Errorf("the archive has %s, which should not be there", key)
						}
					}
				}
				return nil
			})
		})
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if archived != len(r.apps) {
		r.t.Errorf("%d application events in the archive, want %d", archived, len(r.apps))
	}
}

// Each rule of application events, and what is just right, from Kafka.
func TestAppEvents(t *testing.T) {
	r := newRig(t)
	received := time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	stamp := func(d time.Duration) string { return received.Add(d).Format(time.RFC3339Nano) }
	with := func(name, value string) string {
		members := map[string]string{"session": `"` + session("acct-0") + `"`, "category": `"c"`, "name": `"n"`, "data": `{"a":1}`}
		members[name] = value
		text := "{"
		for _, name := range []string{"session", "category", "name", "data"} {
			if members[name] != "" {
				text += fmt.Sprintf(`,"%s":%s`, name, members[name])
			}
		}
		return "{" + text[2:] + "}"
	}
	cases := []struct {
		name   string
		record kafka.Message
		reason schemas.Reason
		field  string
	}{
		{"good", appMessage("acct-0", "good", stamp(0), goodData("acct-0")), "", ""},
		{"a session in capitals", appMessage("acct-0", "capitals", stamp(0), with("session", `"5E55`+session("acct-0")[4:]+`"`)), "", ""},
		{"data as text", appMessage("acct-0", "text", stamp(0), with("data", `"{\"a\":1}"`)), "", ""},
		{"a µs after its receipt", appMessage("acct-0", "future", stamp(time.Microsecond), goodData("acct-0")), schemas.TimeAfterReceipt, "time"},
		{"a minute after its receipt", appMessage("acct-0", "future", stamp(time.Minute), goodData("acct-0")), schemas.TimeAfterReceipt, "time"},
		{"unknown session", appMessage("acct-0", "s", stamp(0), with("session", `"5e550000-0000-4000-8000-000000000000"`)), schemas.UnknownSession, "data.session"},
		{"session of another account", appMessage("acct-0", "s", stamp(0), goodData("acct-1")), schemas.UnknownSession, "data.session"},
		{"no session", appMessage("acct-0", "s", stamp(0), with("session", "")), schemas.MissingField, "data.session"},
		{"no category", appMessage("acct-0", "s", stamp(0), with("category", "")), schemas.MissingField, "data.category"},
		{"no name", appMessage("acct-0", "s", stamp(0), with("name", "")), schemas.MissingField, "data.name"},
		{"no data", appMessage("acct-0", "s", stamp(0), with("data", "")), schemas.MissingField, "data.data"},
		{"empty data", appMessage("acct-0", "s", stamp(0), with("data", "{}")), schemas.EmptyData, "data.data"},
		{"data that is no JSON", appMessage("acct-0", "s", stamp(0), with("data", `"{a:1}"`)), schemas.InvalidData, "data.data"},
		{"a category that the store cannot hold", appMessage("acct-0", "s", stamp(0), with("category", `"a\u0000"`)), schemas.InvalidValue, "data.category"},
	}
	for _, c := range cases {
		c.record.Time = received
		r.produce(c.record)
		if c.reason != "" {
			r.bad++
		}
	}
	for _, id := range []string{"good", "capitals", "text", "untimed", "binary"} {
		r.apps["acct-0 "+id] = true
	}
	untimed := message("acct-0", `{"specversion":"1.0","id":"untimed","source":"test","type":"app.event","data":`+goodData("acct-0")+`}`)
	untimed.Time = received
	binary := kafka.Message{Key: []byte("acct-0"), Value: []byte(goodData("acct-0")), Time: received}
	for name, value := range map[string]string{"specversion": "1.0", "id": "binary", "source": "test", "type": "app.event", "time": stamp(0)} {
		binary.Headers = append(binary.Headers, kafka.Header{Key: "ce_" + name, Value: []byte(value)})
	}
	refused := kafka.Message{Key: []byte("acct-0"), Value: []byte("{"), Headers: []kafka.Header{{Key: schemas.RefusalHeader,
		Value: schemas.Refusal{Endpoint: schemas.AppSource, Reason: schemas.InvalidJSON, Message: "no JSON"}.Text()}}}
	other := message("acct-0", `{"specversion":"1.0","id":"other","source":"test","type":"api.request","data":{}}`)
	r.produce(untimed, binary, refused, other, cases[0].record)
	r.bad += 2
	r.dup++
	r.start().drain()
	r.check()

	s := r.openStore()
	defer s.Close()
	err := s.View(context.Background(), func(v *store.View) error {
		failed, err := v.AppErrors(store.AppErrorFilter{From: 0, To: 1 << 60})
		if err != nil {
			return err
		}
		byOffset := map[int64]store.ErrorRow{}
		for _, e := range failed {
			byOffset[e.Offset] = e
		}
		for offset, c := range cases {
			if e := byOffset[int64(offset)]; e.Reason != c.reason || e.Field != c.field || c.reason != "" && (e.Account != "acct-0" || string(e.Input) != string(c.record.Value)) {
				t.Errorf("%s: got %q of %q (%s) for %q, want %q of %q", c.name, e.Reason, e.Field, e.Message, e.Account, c.reason, c.field)
			}
		}
		if e := byOffset[int64(len(cases)+2)]; e.Reason != schemas.InvalidJSON || e.Account != "acct-0" || string(e.Input) != "{" {
			t.Errorf("refused by the endpoint: got %+v", e)
		}
		if e, ok := byOffset[int64(len(cases)+3)]; ok {
			t.Errorf("a bad request is among the application events' errors: %+v", e)
		}
		e, err := v.AppEvent("acct-0", "test", "untimed")
		if err != nil || e.Time != received.UnixMicro() || e.Revision != 0 || e.Offset != int64(len(cases)) || string(e.Data) != `{"path":"/"}` {
			t.Errorf("untimed: got %+v, %v", e, err)
		}
		if e, err = v.AppEvent("acct-0", "test", "capitals"); err != nil || e.Session != session("acct-0") {
			t.Errorf("capitals: got %+v, %v", e, err)
		}
		if e, err = v.AppEvent("acct-0", "test", "text"); err != nil || string(e.Data) != `{"a":1}` {
			t.Errorf("data as text: got %+v, %v", e, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A session that is made after an event of it was refused is known to the next.
func TestSessionIsFoundWhenMade(t *testing.T) {
	r := newRig(t)
	p := r.start()
	r.produce(appMessage("acct-9", "early", "2026-01-01T00:00:00Z", goodData("acct-9")))
	r.bad++
	r.until("the first is refused", func() bool { return p.part.nextPos.Load() == r.end() })
	if _, err := p.store.CreateSession(context.Background(), session("acct-9"), "acct-9"); err != nil {
		t.Fatal(err)
	}
	r.produce(r.app("acct-9", "late", "2026-01-01T00:00:00Z"))
	p.drain()
	r.check()
}

// While the store does not answer, an event is not judged; a partition that must
// stop meanwhile gives up.
func TestSessionWhileStoreIsAway(t *testing.T) {
	r := newRig(t)
	p := r.start()
	p.stop()
	<-p.exited // the store is closed
	hard, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	why, err := p.part.judgeSession(hard, session("acct-0"), "acct-0")
	if why != nil || !errors.Is(err, errCut) || !losesPartition(err) {
		t.Errorf("got %v, %v, want %v", why, err, errCut)
	}
}

// What is remembered of sessions is bounded, and the recently used ones stay.
func TestSessionsRemembered(t *testing.T) {
	var s sessions
	for i := range 5 * maxSessions {
		s.put(fmt.Sprint(i), "a")
		if account, ok := s.account("0"); !ok || account != "a" {
			t.Fatalf("at %d the one in use was forgotten", i)
		}
	}
	if n := len(s.now) + len(s.old); n > 2*maxSessions {
		t.Errorf("got %d, want up to %d", n, 2*maxSessions)
	}
	if _, ok := s.account("1"); ok {
		t.Error("the first is remembered")
	}
}
