package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/pipeline/broker"
	"tallybook/schemas"
)

// totalsCase is one of testdata/cases/account-totals.json.
type totalsCase struct {
	Name  string
	Setup struct {
		Accounts map[string]struct{ Domains []string }
	}
	Events  []totalsEvent
	Request struct {
		Method, Path string
		Query        string `json:"raw_query"`
		Headers      map[string]string
	}
	Expected struct {
		Status      int
		ContentType string `json:"content_type"`
		JSON        any
		Message     []string          `json:"message_contains_any"`
		Headers     map[string]string `json:"headers_has"`
	}
}

type totalsEvent struct {
	Provider, Account string
	Payload           map[string]any
	Times             int
}

func readTotalsCases(t *testing.T) (cases []totalsCase) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "cases", "account-totals.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []totalsCase }
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) < 29 {
		t.Fatalf("the file has %d cases", len(all.Cases))
	}
	return all.Cases
}

// The providers' payloads go over Kafka, as a customer's bridge sends them; a
// case's accounts get its number, so that cases do not meet.
func TestTotalsCases(t *testing.T) {
	s := start(t, "run", t.TempDir())
	cases := readTotalsCases(t)
	var messages []kafka.Message
	repeats := 0
	for i := range cases {
		c := &cases[i]
		ids := map[string]bool{}
		for _, e := range c.Events {
			for n := range max(e.Times, 1) {
				m := e.record(t, caseAccount(e.Account, i), n, len(messages))
				if identity := e.identity(n); ids[identity] {
					repeats++
				} else {
					ids[identity] = true
				}
				messages = append(messages, m)
			}
		}
	}
	k := broker.NewKafka(s.kafka)
	defer k.Close()
	w := k.Writer(schemas.Emails)
	defer w.Close()
	if err := w.WriteMessages(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("total: records %d = counted %d + duplicate %d", len(messages), len(messages)-repeats, repeats)
	s.until(t, want, func() bool { return strings.Contains(s.command(t, "balance").out, want) })
	for i := range cases {
		t.Run(cases[i].Name, func(t *testing.T) { s.checkTotals(t, &cases[i], i) })
	}
	s.command(t, "verify").want(t, 0)
}

func caseAccount(account string, i int) string { return fmt.Sprintf("%s-case-%d", account, i) }

// record is the n-th copy of an event.
func (e *totalsEvent) record(t *testing.T, account string, n, id int) kafka.Message {
	t.Helper()
	payload := e.Payload
	if e.Times > 1 {
		inner := maps.Clone(payload["event-data"].(map[string]any))
		inner["id"] = fmt.Sprintf("%s-%d", inner["id"], n+1)
		payload = map[string]any{"event-data": inner}
	}
	value, err := json.Marshal(map[string]any{"specversion": "1.0", "id": fmt.Sprint("bridge-", id), "source": "bridge", "type": e.Provider + ".webhook",
		"subject": account, "data": payload})
	if err != nil {
		t.Fatal(err)
	}
	return kafka.Message{Key: []byte(account), Value: value}
}

// identity is what account-totals.md calls so, in the test's words.
func (e *totalsEvent) identity(n int) string {
	if e.Provider == "mandrill" {
		x := e.Payload["mandrill_events"].([]any)[0].(map[string]any)
		return fmt.Sprint(e.Account, x["_id"], x["event"], x["ts"], x["url"], x["ip"])
	}
	x := e.Payload["event-data"].(map[string]any)
	domain := x["domain"].(map[string]any)["name"].(string)
	return fmt.Sprint(e.Account, strings.ToLower(domain), x["event"], x["id"], n, int64(x["timestamp"].(float64))/86400)
}

func (s *server) checkTotals(t *testing.T, c *totalsCase, i int) {
	for account, is := range c.Setup.Accounts {
		for _, domain := range is.Domains {
			path := "/v1/accounts/" + caseAccount(account, i) + "/domains/" + domain
			if body, status := s.ask(http.MethodPut, path, nil); status != http.StatusOK {
				t.Fatalf("PUT %s: %d %s", path, status, body)
			}
			defer s.ask(http.MethodDelete, path, nil)
		}
	}
	r, err := http.NewRequest(c.Request.Method, s.url+c.Request.Path+"?"+c.Request.Query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("apiKey", s.key)
	for name, value := range c.Request.Headers {
		if name == "X-Account-ID" {
			value = caseAccount(value, i)
		}
		r.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	want := c.Expected
	if res.StatusCode != want.Status || want.ContentType != "" && res.Header.Get("Content-Type") != want.ContentType {
		t.Errorf("got %s, %s: %s", res.Status, res.Header.Get("Content-Type"), body)
	}
	for name, value := range want.Headers {
		if got := strings.Split(res.Header.Get(name), ", "); !slices.Contains(got, value) {
			t.Errorf("header %s: got %q, want %q", name, got, value)
		}
	}
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if want.JSON != nil && (!reflect.DeepEqual(got, want.JSON) || res.Header.Get("X-Data-Source") != "rollups" || res.Header.Get("X-Data-Through") == "") {
		t.Errorf("got %s %v, want %v", body, res.Header, want.JSON)
	}
	if want.Message != nil {
		message := strings.ToLower(fmt.Sprint(got.(map[string]any)["message"]))
		if !slices.ContainsFunc(want.Message, func(word string) bool { return strings.Contains(message, strings.ToLower(word)) }) {
			t.Errorf("got %s, want a message with one of %q", body, want.Message)
		}
	}
}

// The same way over the webhooks of a running server, keys given in its
// environment and by the API.
func TestWebhooks(t *testing.T) {
	t.Setenv("TALLYBOOK_MAILGUN_SIGNING_KEY", "signing key")
	s := start(t, "run", t.TempDir(), "--mandrill-webhook-key", "mandrill key", "--public-url", "https://meter.example.com")
	post := func(path, contentType, signature, body string) int {
		t.Helper()
		r, err := http.NewRequest(http.MethodPost, s.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Mandrill-Signature", signature)
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	now := time.Now().Unix()
	mailgun := func(account, key, token string) int {
		mac := hmac.New(sha256.New, []byte(key))
		fmt.Fprintf(mac, "%d%s", now, token)
		return post("/webhooks/mailgun/"+account, "application/json", "", fmt.Sprintf(`{"signature":{"timestamp":"%d","token":%q,"signature":%q},
			"event-data":{"event":"delivered","id":"i","timestamp":%d.25,"domain":{"name":"MG.example.com"},"envelope":{"transport":"http"}}}`,
			now, token, hex.EncodeToString(mac.Sum(nil)), now))
	}
	mandrill := func(key string) int {
		events := fmt.Sprintf(`[{"event":"inbound","ts":%d,"msg":{"email":"in@mg.example.com","headers":{"Message-Id":"m"}}},
			{"event":"open","ts":%d,"_id":"x","msg":{"sender":"a@mg.example.com"},"ip":"192.0.2.1"}]`, now, now)
		mac := hmac.New(sha1.New, []byte(key))
		fmt.Fprint(mac, "https://meter.example.com/webhooks/mandrill/acme"+"mandrill_events"+events)
		return post("/webhooks/mandrill/acme", "application/x-www-form-urlencoded", base64.StdEncoding.EncodeToString(mac.Sum(nil)),
			url.Values{"mandrill_events": {events}}.Encode())
	}
	if body, status := s.ask(http.MethodPut, "/v1/accounts/bolt/webhooks/mailgun", strings.NewReader(`{"key":"bolt's"}`)); status != http.StatusOK {
		t.Fatalf("set a key: %d %s", status, body)
	}
	if body, status := s.ask(http.MethodPut, "/v1/accounts/acme/domains/mg.example.com", nil); status != http.StatusOK {
		t.Fatalf("register a domain: %d %s", status, body)
	}
	got := fmt.Sprint(mailgun("acme", "signing key", "a"), mailgun("acme", "signing key", "a"), mailgun("acme", "signing key", "b"), mailgun("acme", "wrong", "c"),
		mailgun("bolt", "signing key", "d"), mailgun("bolt", "bolt's", "d"), mandrill("mandrill key"), mandrill("mandrill key"), mandrill("wrong"))
	if want := "200 200 200 406 406 200 200 200 401"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	const want = "total: records 7 = counted 4 + duplicate 3"
	s.until(t, want, func() bool { return strings.Contains(s.command(t, "balance").out, want) })
	r, err := http.NewRequest(http.MethodGet, fmt.Sprintf("%s/v3/accounts/totals?event=accepted&event=delivered&event=stored&event=opened&resolution=month&timestamp=%d", s.url, now), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("apiKey", s.key)
	r.Header.Set("X-Account-ID", "acme")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	const counts = `"accepted":{"incoming":1,"outgoing":0,"total":1},"delivered":{"smtp":0,"http":1,"total":1},"opened":{"total":1},"stored":{"total":1}}]`
	if !strings.Contains(string(body), counts) {
		t.Errorf("got %s, want %s", body, counts)
	}
	s.command(t, "verify").want(t, 0)
	s.command(t, "balance").want(t, 0)
	if strings.Contains(s.output.String(), "signing key\"") || strings.Contains(s.output.String(), "mandrill key") || strings.Contains(s.output.String(), "bolt's") {
		t.Error("a key stands in the log")
	}
}
