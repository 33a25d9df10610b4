package mail_test

import (
	"testing"

	"tallybook/mail"
	"tallybook/mail/mailtest"
)

// What goes wrong on the way to a provider, and whether it may have the mail.
func TestOnTheWay(t *testing.T) {
	web := func(kind string) mailtest.Behaviour {
		return mailtest.Behaviour{Kind: kind, Status: 200, Body: `{"id": "<1@`}
	}
	talk := func(at, reply string) mailtest.Behaviour {
		return mailtest.Behaviour{Kind: "smtp", At: at, Reply: reply}
	}
	slow := mailtest.OKFor("mandrill")
	slow.DelayMS = 10_000
	cutError := mailtest.Behaviour{Kind: "truncated", Status: 503, Body: "<html>"}
	for _, c := range []struct {
		name, kind string
		behaviour  mailtest.Behaviour
		want       mail.Class
	}{
		{"refused", "mailgun", web("refused"), mail.Provider},
		{"DNS", "mandrill", web("dns_failure"), mail.Provider},
		{"untrusted TLS", "mailgun", web("tls_untrusted"), mail.Provider},
		{"TLS hangs", "mandrill", web("tls_hang"), mail.Provider},
		{"hangs", "mandrill", web("timeout_after_body"), mail.Ambiguous},
		{"answers too late", "mandrill", slow, mail.Ambiguous},
		{"resets", "mandrill", web("reset_after_body"), mail.Ambiguous},
		{"cut success", "mandrill", web("truncated"), mail.Ambiguous},
		{"cut error", "mailgun", cutError, mail.Provider},
		{"SMTP refused", "smtp", web("refused"), mail.Provider},
		{"SMTP DNS", "smtp", web("dns_failure"), mail.Provider},
		{"banner hangs", "smtp", talk("BANNER", "HANG"), mail.Provider},
		{"banner drops", "smtp", talk("BANNER", "DROP"), mail.Provider},
		{"banner is no SMTP", "smtp", talk("BANNER", "HTTP/1.1 400 Bad Request"), mail.Provider},
		{"EHLO hangs", "smtp", talk("EHLO", "HANG"), mail.Provider},
		{"AUTH fails", "smtp", talk("AUTH", "535 5.7.8 wrong"), mail.Configuration},
		{"AUTH drops", "smtp", talk("AUTH", "DROP"), mail.Provider},
		{"MAIL hangs", "smtp", talk("MAIL", "HANG"), mail.Provider},
		{"RCPT drops", "smtp", talk("RCPT", "DROP"), mail.Provider},
		{"DATA hangs", "smtp", talk("DATA", "HANG"), mail.Provider},
		{"DATA drops", "smtp", talk("DATA", "DROP"), mail.Provider},
		{"the dot hangs", "smtp", talk("EOD", "HANG"), mail.Ambiguous},
		{"the dot drops", "smtp", talk("EOD", "DROP"), mail.Ambiguous},
		{"the dot gets no SMTP", "smtp", talk("EOD", "what?"), mail.Ambiguous},
		{"the dot is refused", "smtp", talk("EOD", "554 5.6.0 no"), mail.Payload},
		{"all lines of a reply", "smtp", talk("RCPT", "450-4.2.0 wait\r\n450 4.2.0 a little"), mail.Transient},
		{"good", "smtp", talk("EOD", "250 2.0.0 queued"), mail.OK},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := mailtest.Start(t, &mailtest.Provider{Type: c.kind, Auth: c.behaviour.At == "AUTH"}, c.behaviour)
			r := newRig(t, configOf(t, map[string]any{"attempt_timeout_ms": 300}, p), mailtest.NewClock(), nil)
			rec := r.record(r.send(bill()).ID)
			if len(rec.Attempts) != 1 || rec.Attempts[0].Class != c.want {
				t.Errorf("got %+v, want %s", rec.Attempts, c.want)
			}
			failures := 0
			if c.want == mail.Provider || c.want == mail.Ambiguous {
				failures = 1
			}
			if got := r.Providers()[0].ConsecutiveFailures; got != failures {
				t.Errorf("%d failures counted, want %d", got, failures)
			}
		})
	}
}
