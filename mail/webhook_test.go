package mail

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

func TestFeedbackOfSamples(t *testing.T) {
	text, err := os.ReadFile("../testdata/cases/email-events.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Mailgun  map[string]json.RawMessage
		Mandrill map[string]json.RawMessage `json:"mandrill_events"`
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	const bounced, complained = "a mail to the recipient bounced hard", "the recipient complained"
	suppressing := map[string]string{
		"mailgun failed_permanent_bounce": bounced, "mailgun failed_permanent_suppress_bounce": bounced, "mailgun failed_permanent_delayed_bounce": bounced,
		"mailgun complained": complained, "mandrill hard_bounce": bounced, "mandrill spam": complained,
	}
	check := func(provider, name string, payload []byte, ignored bool) {
		said, ok := FeedbackOf(provider, payload)
		if ok == ignored {
			t.Errorf("%s %s: ok %v", provider, name, ok)
		}
		if !ok {
			return
		}
		if said.Recipient != "ann@example.net" || said.OutboxID != "42" || said.ProviderType != provider || said.At.Format(time.DateOnly) != "2019-01-22" {
			t.Errorf("%s %s: %+v", provider, name, said)
		}
		if got := suppression(said); got != suppressing[provider+" "+name] {
			t.Errorf("%s %s: suppresses for %q, want %q", provider, name, got, suppressing[provider+" "+name])
		}
		delete(suppressing, provider+" "+name)
	}
	for name, payload := range f.Mailgun {
		if name == "stored" {
			continue // a mail to us
		}
		check("mailgun", name, payload, false)
	}
	for name, payload := range f.Mandrill {
		if name == "inbound" {
			continue // a mail to us
		}
		check("mandrill", name, payload, name == "reject" || name == "sync_blacklist")
	}
	if len(suppressing) > 0 {
		t.Errorf("no sample of %v", suppressing)
	}
	for _, payload := range []string{"", "[]", "{}", `{"event": 5}`, `{"event": "spam", "msg": {"metadata": []}, "ts": -1e300}`} {
		for _, provider := range []string{"mailgun", "mandrill", "pigeon"} {
			if said, ok := FeedbackOf(provider, []byte(payload)); ok && said.OutboxID != "" {
				t.Errorf("%s %s: %+v", provider, payload, said)
			}
		}
	}
}
