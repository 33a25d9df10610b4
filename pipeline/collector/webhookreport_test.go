package collector

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// Whoever sends mails by the installation's providers hears what became of them;
// an account that signs with its own key cannot speak for them.
func TestWebhooksAreReported(t *testing.T) {
	f := readProviderFile(t)
	var heard []string
	var failing error
	keys := Webhooks{MailgunKey: f.Keys.Mailgun, Report: func(_ context.Context, provider string, event []byte) error {
		heard = append(heard, provider+" "+string(event))
		return failing
	}}
	s, _ := webhookSetup(t, keys)
	failing = errors.New("the store is away")
	for _, want := range []struct{ status, heard int }{{503, 1}, {200, 2}, {200, 2}} { // the last is a known token
		if a := s.post(t, "/webhooks/mailgun/acc-1", f.Mailgun["complained"], "Content-Type", "application/json"); a.status != want.status || len(heard) != want.heard {
			t.Errorf("got %d %s, heard %d times, want %d, %d", a.status, a.body, len(heard), want.status, want.heard)
		}
		failing = nil
	}
	if !strings.HasPrefix(heard[0], "mailgun {") || !strings.Contains(heard[0], `"complained"`) {
		t.Errorf("heard %s", heard[0])
	}
	if err := s.collector.cfg.Store.PutWebhookKey(t.Context(), "test", "own", "mailgun", "k"); err != nil {
		t.Fatal(err)
	}
	const data = `{"event":"complained","id":"i","timestamp":1548115208.1,"domain":{"name":"d"}}`
	if a := s.post(t, "/webhooks/mailgun/own", signMailgun("k", "token", data)); a.status != 200 || len(heard) != 2 {
		t.Errorf("signed with the account's own key: got %d %s, heard %q", a.status, a.body, heard[2:])
	}
}
