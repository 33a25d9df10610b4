package collector

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// providerFile is the file of complete payloads, with signatures that are good
// for its keys.
type providerFile struct {
	Keys struct {
		Mailgun  string `json:"mailgun_webhook_signing_key"`
		Mandrill string `json:"mandrill_webhook_key"`
		URL      string `json:"mandrill_webhook_url"`
	}
	Mailgun          map[string]json.RawMessage
	MandrillRequests map[string]struct {
		Headers map[string]string
		Body    string
	} `json:"mandrill_requests"`
}

func readProviderFile(t *testing.T) *providerFile {
	t.Helper()
	text, err := os.ReadFile("../../testdata/cases/email-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var f providerFile
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return &f
}

// webhookSetup is a collector whose clock stands in the day of the samples.
func webhookSetup(t *testing.T, keys Webhooks) (*setup, *atomic.Int64) {
	t.Helper()
	var now atomic.Int64
	now.Store(time.Date(2019, 1, 22, 0, 5, 0, 0, time.UTC).UnixNano())
	clock := func() time.Time { return time.Unix(0, now.Load()).UTC() }
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Log: quiet, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return newSetup(t, Config{Store: st, Webhooks: keys, Now: clock}), &now
}

// mails decodes what stands on the topic emails, as the worker does.
func (s *setup) mails(t *testing.T) (mails []string) {
	t.Helper()
	var d schemas.Decoder
	var ev schemas.Event
	for _, m := range s.messages(t, schemas.Emails) {
		rejection := d.Decode(schemas.Emails, m.Value, &ev)
		if rejection == nil {
			rejection = schemas.Rules{}.Validate(schemas.Emails, &ev, 1<<60)
		}
		if rejection != nil || string(m.Key) != string(ev.Subject) {
			t.Errorf("%s: %v", m.Value, rejection)
		}
		mails = append(mails, fmt.Sprintf("%s %s %s %s", ev.Subject, ev.Source, ev.Type, ev.ID))
	}
	return mails
}

func TestMailgunSamplesAreTaken(t *testing.T) {
	f := readProviderFile(t)
	s, now := webhookSetup(t, Webhooks{MailgunKey: f.Keys.Mailgun})
	for name, body := range f.Mailgun {
		for range 2 { // the second time as Mailgun's retry
			if a := s.post(t, "/webhooks/mailgun/acc-1", body, "Content-Type", "application/json"); a.status != 200 || a.body != `{"accepted":1,"ignored":0,"refused":0}`+"\n" {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
	}
	if got := s.mails(t); len(got) != len(f.Mailgun) {
		t.Errorf("got %d records, want %d: %v", len(got), len(f.Mailgun), got)
	}
	// Another body under a token that is known.
	body := f.Mailgun["opened"]
	other := strings.Replace(string(body), "ann@example.net", "bob@example.net", 1)
	if a := s.post(t, "/webhooks/mailgun/acc-1", []byte(other)); a.status != 406 || !strings.Contains(a.body, "token") {
		t.Errorf("another body: got %d %s", a.status, a.body)
	}
	spaced := strings.Replace(string(body), "{", "{ \n", 1)
	if a := s.post(t, "/webhooks/mailgun/acc-1", []byte(spaced)); a.status != 200 {
		t.Errorf("the same with white space: got %d %s", a.status, a.body)
	}
	if got := s.mails(t); len(got) != len(f.Mailgun) {
		t.Errorf("got %d records, want %d", len(got), len(f.Mailgun))
	}
	for at, status := range map[string]int{"2019-01-23T00:00:01Z": 200, "2019-01-23T00:00:30Z": 406, "2019-01-21T23:55:00Z": 406} {
		moment, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		now.Store(moment.UnixNano())
		if a := s.post(t, "/webhooks/mailgun/acc-1", f.Mailgun["accepted"]); a.status != status {
			t.Errorf("at %s: got %d %s, want %d", at, a.status, a.body, status)
		}
	}
}

// signMailgun is a body signed now.
func signMailgun(key, token, eventData string) []byte {
	const stamp = "1548115500"
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(stamp + token))
	return fmt.Appendf(nil, `{"signature":{"timestamp":%q,"token":%q,"signature":%q},"event-data":%s}`,
		stamp, token, hex.EncodeToString(mac.Sum(nil)), eventData)
}

func TestMailgunRefuses(t *testing.T) {
	const good = `{"event":"opened","id":"i","timestamp":1548115208.1,"domain":{"name":"d"}}`
	s, _ := webhookSetup(t, Webhooks{MailgunKey: "right"})
	cases := map[string][]byte{
		"another key":    signMailgun("wrong", "a", good),
		"no JSON":        []byte(`{"signature":`),
		"a list":         []byte(`[]`),
		"no signature":   []byte(`{"event-data":` + good + `}`),
		"no event":       []byte(strings.Replace(string(signMailgun("right", "b", good)), "event-data", "event", 1)),
		"another token":  []byte(strings.Replace(string(signMailgun("right", "c", good)), `"c"`, `"d"`, 1)),
		"no hexadecimal": []byte(strings.Replace(string(signMailgun("right", "e", good)), `"signature":"`, `"signature":"x`, 1)),
		"empty token":    signMailgun("right", "", good),
	}
	for name, body := range cases {
		if a := s.post(t, "/webhooks/mailgun/acc-1", body); a.status != 406 || !strings.HasPrefix(a.body, `{"message":`) {
			t.Errorf("%s: got %d %s, want 406", name, a.status, a.body)
		}
	}
	if got := len(s.messages(t, schemas.Usage)) + len(s.messages(t, schemas.Emails)); got != 0 {
		t.Errorf("unsigned requests left %d records", got)
	}
	// Signed, but no good: it is kept as an error, since it will not come again.
	if a := s.post(t, "/webhooks/mailgun/acc-1", signMailgun("right", "f", `{"event":"bounced"}`)); a.status != 406 || !strings.Contains(a.body, "data.event-data.event") {
		t.Errorf("unknown event: got %d %s", a.status, a.body)
	}
	kept := s.messages(t, schemas.Usage)
	if len(kept) != 1 || string(kept[0].Key) != "acc-1" || kept[0].Headers[0].Key != schemas.RefusalHeader || string(kept[0].Value) != `{"event-data":{"event":"bounced"}}` {
		t.Errorf("kept as errors: %v", kept)
	}
	if a := s.post(t, "/webhooks/mailgun/acc-1", append(signMailgun("right", "g", good), make([]byte, 1<<20)...)); a.status != 413 {
		t.Errorf("a large body: got %d %s", a.status, a.body)
	}
}

func TestAccountsKeys(t *testing.T) {
	const data = `{"event":"opened","id":"i","timestamp":1548115208.1,"domain":{"name":"d"}}`
	s, _ := webhookSetup(t, Webhooks{})
	st := s.collector.cfg.Store
	status := func(account, key string) int {
		return s.post(t, "/webhooks/mailgun/"+account, signMailgun(key, account+key, data)).status
	}
	if got := status("own", "k"); got != 406 {
		t.Errorf("no key: got %d", got)
	}
	if got := status("own", ""); got != 406 {
		t.Errorf("no key, signed with none: got %d", got)
	}
	if err := st.PutWebhookKey(t.Context(), "test", "own", "mailgun", "k"); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(status("own", "k"), status("own", "x"), status("other", "k")); got != "200 406 406" {
		t.Errorf("a key of its own: got %s, want 200 406 406", got)
	}
	s.collector.cfg.Webhooks.MailgunKey = "installation"
	if got := fmt.Sprint(status("own", "installation"), status("other", "installation")); got != "406 200" {
		t.Errorf("the installation's key beside one of its own: got %s, want 406 200", got)
	}
}

func signMandrill(key, over, events string) (body []byte, signature string) {
	mac := hmac.New(sha1.New, []byte(key))
	mac.Write([]byte(over + "mandrill_events" + events))
	return []byte(url.Values{"mandrill_events": {events}}.Encode()), base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

const formType = "application/x-www-form-urlencoded"

func TestMandrillSamplesAreTaken(t *testing.T) {
	f := readProviderFile(t)
	s, _ := webhookSetup(t, Webhooks{MandrillKey: f.Keys.Mandrill, PublicURL: f.Keys.URL})
	post := func(name string) answer {
		request := f.MandrillRequests[name]
		return s.post(t, "/webhooks/mandrill/acc-1", []byte(request.Body), "Content-Type", request.Headers["Content-Type"],
			"X-Mandrill-Signature", request.Headers["X-Mandrill-Signature"])
	}
	if a := post("url_check_empty"); a.status != 200 || a.body != `{"accepted":0,"ignored":0,"refused":0}`+"\n" {
		t.Errorf("set-up check: got %d %s", a.status, a.body)
	}
	a := post("all_message_events")
	if a.status != 200 || !strings.Contains(a.body, `"refused":0`) {
		t.Errorf("all events: got %d %s", a.status, a.body)
	}
	kinds := map[string]int{}
	for _, mail := range s.mails(t) {
		kinds[strings.Fields(mail)[2]]++
	}
	want := map[string]int{"email.accepted": 1, "email.delivered": 1, "email.failed": 4, "email.opened": 1, "email.clicked": 1, "email.complained": 1, "email.unsubscribed": 1}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", kinds, want)
	}
	response, err := http.Head(s.url + "/webhooks/mandrill/acc-1")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("HEAD: got %s", response.Status)
	}
}

func TestMandrillSignatures(t *testing.T) {
	const events = `[{"event":"open","ts":1548115206,"_id":"x","msg":{"sender":"a@d"}}]`
	s, _ := webhookSetup(t, Webhooks{MandrillKey: "k"})
	post := func(key, over, events string, headers ...string) int {
		body, signature := signMandrill(key, over, events)
		return s.post(t, "/webhooks/mandrill/acc%201", body, append([]string{"Content-Type", formType, "X-Mandrill-Signature", signature}, headers...)...).status
	}
	own := s.url + "/webhooks/mandrill/acc%201"
	secure := strings.Replace(own, "http:", "https:", 1)
	cases := []struct {
		public, key, over, events string
		want                      int
	}{
		{"", "k", own, events, 200},
		{"", "k", secure, events, 200},
		{"", "x", own, events, 401},
		{"", "k", own + "?", events, 401},
		{"", "test-webhook", own, events, 401},
		{"", "test-webhook", own, "[]", 200},
		{"", "k", own, "[]", 200},
		{"", "x", own, "[]", 401},
		{"https://meter.example.com/", "k", "https://meter.example.com/webhooks/mandrill/acc%201", events, 200},
		{"https://meter.example.com/base", "k", "https://meter.example.com/base/webhooks/mandrill/acc%201", events, 200},
		{"https://meter.example.com", "k", own, events, 401},
		{"https://meter.example.com/webhooks/mandrill?a=b", "k", "https://meter.example.com/webhooks/mandrill?a=b", events, 200},
		{"", "k", own, `{}`, 400},
		{"", "k", own, `null`, 400},
		{"", "k", own, ``, 400},
	}
	for _, c := range cases {
		s.collector.cfg.Webhooks.PublicURL = c.public
		if got := post(c.key, c.over, c.events); got != c.want {
			t.Errorf("%+v: got %d", c, got)
		}
	}
	s.collector.cfg.Webhooks = Webhooks{}
	if got := fmt.Sprint(post("k", own, events), post("", own, events), post("test-webhook", own, "[]")); got != "401 401 200" {
		t.Errorf("no key: got %s, want 401 401 200", got)
	}
	s.collector.cfg.Webhooks.MandrillKey = "k"
	if got := post("k", own, events, "Content-Type", "application/json"); got != 415 {
		t.Errorf("JSON: got %d, want 415", got)
	}
	if got := post("k", own, events, "X-Mandrill-Signature", "!"); got != 401 {
		t.Errorf("no base64: got %d, want 401", got)
	}
}

// One event that is no good must not keep Mandrill from getting rid of the others.
func TestMandrillListWithBadEvents(t *testing.T) {
	s, _ := webhookSetup(t, Webhooks{MandrillKey: "k", PublicURL: "https://m"})
	body, signature := signMandrill("k", "https://m/webhooks/mandrill/acc-1", `[{"event":"open","ts":1548115206,"_id":"x","msg":{"sender":"a@d"}},
		{"type":"blacklist","action":"add","ts":1548115211,"reject":{}}, {"event":"sent","ts":1}, 5,
		{"event":"inbound","ts":1548115212,"msg":{"email":"in@d","raw_msg":"`+strings.Repeat("x", 2<<20)+`","headers":{"Message-Id":"m"}}}]`)
	for range 2 {
		a := s.post(t, "/webhooks/mandrill/acc-1", body, "Content-Type", formType, "X-Mandrill-Signature", signature)
		if want := `{"accepted":2,"ignored":1,"refused":2}` + "\n"; a.status != 200 || a.body != want {
			t.Errorf("got %d %s, want %s", a.status, a.body, want)
		}
	}
	mails := s.mails(t)
	if len(mails) != 4 || mails[0] != mails[2] || mails[1] != mails[3] || !strings.Contains(mails[0]+mails[1], "acc-1 mandrill email.accepted msg:") {
		t.Errorf("got %v, want two events twice, with the same identities", mails)
	}
	if kept := s.messages(t, schemas.Usage); len(kept) != 4 || string(kept[1].Value) != "5" && string(kept[0].Value) != "5" {
		t.Errorf("kept as errors: %v", kept)
	}
}

// A signature seen once is good for its own event alone: it speaks neither for
// another account nor for another event. Of accounts' own keys each has its tokens.
func TestTokenIsOfOneAccount(t *testing.T) {
	const data, other = `{"event":"opened","id":"i","timestamp":1548115208.1,"domain":{"name":"d"}}`, `{"event":"complained","id":"j","timestamp":1548115208.1,"domain":{"name":"d"}}`
	s, _ := webhookSetup(t, Webhooks{MailgunKey: "k"})
	if err := s.collector.cfg.Store.PutWebhookKey(t.Context(), "test", "own", "mailgun", "k2"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account, key, data string
		status             int
	}{{"a", "k", data, 200}, {"b", "k", data, 406}, {"b", "k", other, 406}, {"own", "k2", other, 200}, {"a", "k", data, 200}, {"a", "k", other, 406}} {
		if a := s.post(t, "/webhooks/mailgun/"+c.account, signMailgun(c.key, "token", c.data)); a.status != c.status {
			t.Errorf("%s, %s: got %d %s, want %d", c.account, c.data[:20], a.status, a.body, c.status)
		}
	}
	if got := s.mails(t); len(got) != 2 {
		t.Errorf("got %d records, want 2: %v", len(got), got)
	}
}

// Whoever has no key cannot take the memory of those who have: bodies of webhooks
// that never end leave room for events.
func TestUnsignedBodiesLeaveRoom(t *testing.T) {
	st, err := store.Open(t.Context(), storetest.URL(t), store.Options{Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	const room = 1 << 20
	s := newSetup(t, Config{Store: st, MaxInFlight: room, Webhooks: Webhooks{MailgunKey: "m", MandrillKey: "n"}})
	for i := range 64 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		path := []string{"mailgun", "mandrill"}[i%2]
		if _, err := fmt.Fprintf(conn, "POST /webhooks/%s/a HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n{", path, formType, room/32); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(10 * time.Second); s.collector.unsigned.used.Load() < room*9/10; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes of webhooks are in flight, want nearly %d", s.collector.unsigned.used.Load(), room)
		}
	}
	event := `{"specversion":"1.0","id":"1","source":"t","type":"api.request","subject":"a","data":{"endpoint":"/` + strings.Repeat("x", 1000) + `","status":200}}`
	if a := s.post(t, "/v1/events", []byte("["+event+strings.Repeat(","+event, 99)+"]")); a.status != http.StatusAccepted {
		t.Errorf("events beside them: got %d %s", a.status, a.body)
	}
}
