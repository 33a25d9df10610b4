package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tallybook/mail"
	"tallybook/mail/mailtest"
)

const oneMail = `{"to": "ann@example.net", "to_name": "Ann", "from": "noreply@mg.example.com", "from_name": "Rides", "subject": "Trip", "body": "<p>$10</p>"}`

type mailAnswer struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Provider *string
	Attempts []struct{ Provider, Class string }
}

func (s *server) postMail(t *testing.T) (a mailAnswer, status int) {
	t.Helper()
	body, status := s.ask(http.MethodPost, "/email", strings.NewReader(oneMail))
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%d %s", status, body)
	}
	return a, status
}

func (s *server) mail(t *testing.T, id string) (a mailAnswer) {
	t.Helper()
	body, status := s.get("/email/" + id)
	if err := json.Unmarshal([]byte(body), &a); err != nil || status != http.StatusOK {
		t.Fatalf("GET /email/%s: %d %s", id, status, body)
	}
	return a
}

// Without a configuration mails go to a folder, and are in the account's totals.
func TestMailsAreCounted(t *testing.T) {
	s := start(t, "run", t.TempDir())
	if body, status := s.ask(http.MethodPut, "/v1/accounts/acme/domains/mg.example.com", nil); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	a, status := s.postMail(t)
	if status != http.StatusOK || a.Status != "sent" || *a.Provider != "log" {
		t.Fatalf("%d %+v", status, a)
	}
	text, err := os.ReadFile(filepath.Join(s.data, "mail", a.ID+".eml"))
	if err != nil || !strings.Contains(string(text), "X-Outbox-Id: "+a.ID) {
		t.Errorf("%v\n%s", err, text)
	}
	s.until(t, "it is counted", func() bool { return s.total(t, "emails", "acme") == 1 })
	other := strings.Replace(oneMail, "mg.example.com", "nobodys.example.com", 1)
	if body, status := s.ask(http.MethodPost, "/email", strings.NewReader(other)); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	s.until(t, "a mail of no account is counted", func() bool { return s.total(t, "emails", mail.OwnAccount) == 1 })
	if got := s.stop(t); got != 0 {
		t.Errorf("exit code %d\n%s", got, s.output)
	}
}

// A deferred mail is sent by a later process; one that was being sent when the
// process was killed is unknown.
func TestMailsOfAProcessThatDied(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, "") // providers on this machine are reached directly
	}
	mailgun := mailtest.Start(t, &mailtest.Provider{Type: "mailgun"}, mailtest.Behaviour{Kind: "http", Status: 503, Body: "x"})
	data := t.TempDir()
	config := filepath.Join(data, "providers.yaml")
	text := "retry_ms: [200]\nbreaker: {open_ms: 1}\nproviders: [{name: first, type: mailgun, url: '" + mailgun.URL + "', api_key: k}]\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "run", data, "--mail-config", config)
	deferred, status := s.postMail(t)
	if status != http.StatusAccepted || deferred.Status != "deferred" {
		t.Fatalf("%d %+v", status, deferred)
	}
	mailgun.Behave(mailtest.OKFor("mailgun"))
	s.until(t, "the deferred mail is sent", func() bool { return s.mail(t, deferred.ID).Status == "sent" })
	mailgun.Behave(mailtest.Behaviour{Kind: "timeout_after_body"})
	calls := len(mailgun.Calls())
	go http.DefaultTransport.RoundTrip(s.mailRequest(t)) // whose answer nobody hears
	s.until(t, "the provider is asked", func() bool { return len(mailgun.Calls()) > calls })
	s.kill(t)
	s = start(t, "run", data, "--mail-config", config)
	list := mailgun.Calls()
	dead := s.mail(t, list[len(list)-1].OutboxID)
	if dead.Status != "unknown" || len(dead.Attempts) != 1 || dead.Attempts[0].Class != "ambiguous" {
		t.Errorf("got %+v, want unknown after an ambiguous attempt", dead)
	}
}

func (s *server) mailRequest(t *testing.T) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, s.url+"/email", strings.NewReader(oneMail))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.key)
	return req
}

func TestMailConfigIsChecked(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "mail.json")
	if err := os.WriteFile(bad, []byte(`{"providers": [{"name": "missing_url", "type": "mailgun", "api_key": "any-key"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	both := filepath.Join(dir, "config.yaml")
	if err := os.WriteFile(both, []byte("mail: {providers: [{name: a, type: log}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := []string{"run", "--data", filepath.Join(dir, "data"), "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--mail-config", bad}, `mail.json: provider "missing_url": it has no url`},
		{[]string{"--mail-config", dir + "/none"}, "--mail-config: open"},
		{[]string{"--config", both}, `the section mail of the configuration file: provider "a": it has no url`},
		{[]string{"--config", both, "--mail-config", bad}, "configured twice"},
	} {
		tallybook(t, append(run, c.args...)...).want(t, 2, c.want)
	}
}

func TestDoctorReadsMailConfig(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"doctor", "--data", dir, "--http", "127.0.0.1:0", "--kafka-listen", "127.0.0.1:0"}
	tallybook(t, flags...).want(t, 0, "mails are written to "+dir+"/mail")
	tallybook(t, append(flags, "--mail-config", "contrib/providers.json")...).want(t, 1, `provider "mailgun_email" has a placeholder`)
	good := filepath.Join(dir, "mail.yaml")
	text := "default: b\nproviders: [{name: a, type: mailgun, url: 'http://127.0.0.1:1/x', api_key: k}, {name: b, type: smtp, url: 'smtp://u:hunter2@h'}]\n"
	if err := os.WriteFile(good, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o := tallybook(t, append(flags, "--mail-config", good)...)
	o.want(t, 0, "in this order: b (smtp), a (mailgun)", `the key of provider "a" goes over the network in clear`)
	if strings.Contains(o.out+o.errors, "hunter2") {
		t.Errorf("the password is shown:\n%s", o.out)
	}
}
