package mail

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// The sample of the source document, without its remarks.
const documentSample = `{ "default" : "mailgun_email",
  "providers": [
    { "name": "mailgun_email",
      "type": "mailgun",
      "url": "https://api.mailgun.net/v3/<your sandbox>.mailgun.org/messages",
      "api_key": "<your API key given by Mailgun>"
    },
    { "name": "mandrill_email",
      "type": "mandrill",
      "url": "https://mandrillapp.com/api/1.0/messages/send.json",
      "api_key": "<your API key given by Mandrill>"
    }
  ]
}
`

func TestParseConfig(t *testing.T) {
	c, err := ParseConfig([]byte(documentSample))
	if err != nil {
		t.Fatal(err)
	}
	want := Defaults()
	want.Providers = []ProviderConfig{
		{"mailgun_email", "mailgun", "https://api.mailgun.net/v3/<your sandbox>.mailgun.org/messages", "<your API key given by Mailgun>"},
		{"mandrill_email", "mandrill", "https://mandrillapp.com/api/1.0/messages/send.json", "<your API key given by Mandrill>"}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestParseConfigYAML(t *testing.T) {
	c, err := ParseConfig([]byte(`
# tried in this order, the default first
default: relay
attempt_timeout_ms: 2000
round_timeout_ms: 9000
breaker: {open_after_consecutive_provider_failures: 3, open_ms: 1000, open_max_ms: 8000, half_open_probes: 2}
rate_limit_default_hold_s: 20
configuration_hold_s: 60
retry_ms: [500, 1000]
give_up_after_ms: 5000
providers:
  - {name: mandrill, type: mandrill, url: "http://127.0.0.1:1/x", api_key: k}
  - {name: relay, type: smtp, url: "smtp://user:secret@mail.example.com:587"}
  - {name: file, type: log, url: "file:///tmp/mails"}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Config{AttemptTimeout: 2 * time.Second, RoundTimeout: 9 * time.Second,
		Breaker:       BreakerConfig{Failures: 3, OpenFor: time.Second, OpenForAtMost: 8 * time.Second, Probes: 2},
		RateLimitHold: 20 * time.Second, ConfigurationHold: time.Minute,
		Retry: []time.Duration{500 * time.Millisecond, time.Second}, GiveUpAfter: 5 * time.Second,
		Providers: []ProviderConfig{{"relay", "smtp", "smtp://user:secret@mail.example.com:587", ""},
			{"mandrill", "mandrill", "http://127.0.0.1:1/x", "k"}, {"file", "log", "file:///tmp/mails", ""}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestParseConfigRefuses(t *testing.T) {
	one := func(provider string) string { return `{"providers": [` + provider + `]}` }
	for _, c := range []struct{ config, want string }{
		{`{`, "unexpected EOF"},
		{``, "providers: at least one"},
		{`{"providers": []}`, "at least one"},
		{`{"default": "x", "providers": [{"name": "a", "type": "log", "url": "file:///x"}]}`, `default "x" is not the name of a provider`},
		{one(`{"name": "missing_url", "type": "mailgun", "api_key": "any-key"}`), `provider "missing_url": it has no url`},
		{one(`{"name": "a", "type": "mandrill", "url": "https://x.example/"}`), `provider "a": it has no api_key`},
		{one(`{"name": "a", "type": "pigeon", "url": "https://x.example/"}`), `type "pigeon": allowed are mailgun, mandrill, smtp, log`},
		{one(`{"type": "log", "url": "file:///x"}`), "providers[0] has no name"},
		{one(`{"name": "a", "type": "log", "url": "file:///x"}, {"name": "a", "type": "log", "url": "file:///y"}`), `two providers are named "a"`},
		{one(`{"name": "a", "type": "mailgun", "url": "ftp://x", "api_key": "k"}`), "allowed is https://… or http://…"},
		{one(`{"name": "a", "type": "mailgun", "url": "https:///v3", "api_key": "k"}`), "no host"},
		{one(`{"name": "a", "type": "smtp", "url": "mail.example.com:25"}`), "allowed is smtp://… or smtps://…"},
		{one(`{"name": "a", "type": "log", "url": "file://tmp"}`), "file:///absolute/folder"},
		{one(`{"name": "a", "type": "log", "url": "file:///x", "apikey": "k"}`), `unknown field "apikey"`},
		{`{"retry_ms": [], "providers": [{"name": "a", "type": "log", "url": "file:///x"}]}`, "retry_ms has 0 times"},
		{`{"retry_ms": [0], "providers": []}`, "retry_ms[0] 0"},
		{`{"attempt_timeout_ms": 0, "providers": []}`, "attempt_timeout_ms 0: allowed are"},
		{`{"breaker": {"half_open_probes": 0}, "providers": []}`, "breaker.half_open_probes 0"},
		{`{"follow_redirects": true}`, "follow_redirects"},
	} {
		_, err := ParseConfig([]byte(c.config))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.config, err, c.want)
		}
	}
	_, err := ParseConfig([]byte(one(`{"name": "a", "type": "smtp", "url": "smtp://user:hunter2@:x y:z"}`)))
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// The sample that people copy.
func TestContribSample(t *testing.T) {
	text, err := os.ReadFile("../contrib/providers.json")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := ParseConfig(text); err != nil || len(c.Providers) != 3 || c.Providers[0].Name != "mailgun_email" {
		t.Errorf("got %+v, %v", c.Providers, err)
	}
}
