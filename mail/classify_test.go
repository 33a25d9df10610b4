package mail

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"os"
	"testing"
	"time"

	"tallybook/store"
)

var at = time.Unix(1_700_000_000, 0)

func answerWith(status int, body string, headers ...string) *httpAnswer {
	a := &httpAnswer{status: status, body: []byte(body), header: http.Header{}, now: at}
	for i := 0; i < len(headers); i += 2 {
		a.header.Set(headers[i], headers[i+1])
	}
	return a
}

func said(message string) string { return fmt.Sprintf(`{"message": %q}`, message) }

func TestClassifyMailgun(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		want   Class
	}{
		{200, `{"id": "<1@mg.example.com>", "message": "Queued. Thank you."}`, OK},
		{200, "Mailgun Magnificent API", Configuration},
		{200, `{"message": "Queued."}`, Ambiguous},
		{200, `<html>`, Ambiguous},
		{200, ``, Ambiguous},
		{204, ``, Ambiguous},
		{301, ``, Configuration}, {302, ``, Configuration}, {307, ``, Configuration}, {308, ``, Configuration},
		{400, said("'to' parameter is not a valid address. please check documentation"), Payload},
		{400, said("'from' parameter is missing"), Payload},
		{400, said("Need at least one of 'text', 'html' parameters specified"), Payload},
		{400, said("Too many recipients"), Payload},
		{400, said("Something new"), Unclassified},
		{400, said("Please activate your Mailgun account. Check your inbox"), Configuration},
		{400, said("Sandbox subdomains are for test purposes only."), Configuration},
		{403, said("Domain mg.example.com is not allowed to send: The domain is unverified"), Configuration},
		{403, said("Forbidden"), Unclassified},
		{401, "Forbidden", Configuration},
		{402, "", Configuration},
		{404, said("Domain not found: mg.example.com"), Configuration},
		{404, "page not found", Unclassified},
		{405, "", Unclassified},
		{413, "", Payload},
		{429, said("Domain mg.example.com is not allowed to send: recipient limit exceeded, try again after 300 seconds"), RateLimit},
		{500, "", Provider}, {502, "<html>", Provider}, {503, "", Provider}, {504, "", Provider}, {520, "", Provider},
	} {
		o := classifyMailgun(answerWith(c.status, c.body))
		if o.Class != c.want || o.StatusCode != c.status || c.status >= 300 && o.Accepted2xx || o.Healthy || o.HoldAccount {
			t.Errorf("%d %s: got %+v, want %s", c.status, c.body, o, c.want)
		}
		if o.Class == Ambiguous && !o.final(false) {
			t.Errorf("%d %s: another provider would be asked", c.status, c.body)
		}
	}
	cut := answerWith(200, `{"id": "<1@mg.example.com>"}`)
	cut.cut = true
	if o := classifyMailgun(cut); o.Class != Ambiguous || !o.Accepted2xx {
		t.Errorf("a cut answer: got %+v, want ambiguous, no failover", o)
	}
}

func TestClassifyMandrill(t *testing.T) {
	taken := func(status, more string) string {
		return fmt.Sprintf(`[{"email": "ann@example.net", "status": %q, "_id": "abc" %s}]`, status, more)
	}
	failed := func(name, message string) string {
		return fmt.Sprintf(`{"status": "error", "code": -1, "name": %q, "message": %q}`, name, message)
	}
	type want struct {
		class                       Class
		healthy, holdAccount, alert bool
	}
	for _, c := range []struct {
		status int
		body   string
		want   want
	}{
		{200, taken("sent", ""), want{class: OK}},
		{200, taken("queued", ""), want{class: OK}},
		{200, taken("scheduled", ""), want{class: OK}},
		{200, taken("queued", `, "queued_reason": "attachments"`), want{class: OK}},
		{200, taken("queued", `, "queued_reason": "hourly-quota"`), want{class: OK}},
		{200, taken("queued", `, "queued_reason": "account-suspended"`), want{OK, false, true, true}},
		{200, taken("queued", `, "queued_reason": "sending-suspended"`), want{OK, false, true, true}},
		{200, taken("queued", `, "queued_reason": "sending-paused"`), want{OK, false, true, true}},
		{200, taken("queued", `, "queued_reason": "monthly-limit-reached"`), want{OK, false, true, true}},
		{200, taken("queued", `, "queued_reason": "free-trial-sends-exhausted"`), want{OK, false, true, true}},
		{200, `[{"email": "a@b.c", "status": "sent"}]`, want{class: Ambiguous}},
		{200, taken("invalid", ""), want{Payload, true, false, false}},
		{200, `[{"email": "a@b.c", "status": "invalid", "reject_reason": null}]`, want{Payload, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "hard-bounce"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "soft-bounce"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "spam"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "unsub"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "custom"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "rule"`), want{Recipient, true, false, false}},
		{200, taken("rejected", `, "reject_reason": "unsigned"`), want{class: Configuration}},
		{200, taken("rejected", `, "reject_reason": "invalid-sender"`), want{class: Configuration}},
		{200, taken("rejected", `, "reject_reason": "test-mode-limit"`), want{class: Configuration}},
		{200, taken("rejected", `, "reject_reason": "something-new"`), want{class: Unclassified}},
		{200, taken("something-new", ""), want{class: Ambiguous}},
		{200, `[]`, want{class: Ambiguous}}, {200, `{}`, want{class: Ambiguous}}, {200, `[{"st`, want{class: Ambiguous}},
		{500, failed("ValidationError", "Validation error: {\"message\":…}"), want{class: Payload}},
		{500, failed("ValidationError", "You must specify a key value"), want{class: Configuration}},
		{500, failed("Invalid_Key", "Invalid API key"), want{class: Configuration}},
		{401, failed("Invalid_Key", "Invalid API key"), want{class: Configuration}},
		{500, failed("PaymentRequired", ""), want{class: Configuration}},
		{500, failed("Unknown_Subaccount", ""), want{class: Configuration}},
		{500, failed("PoorReputation", ""), want{class: Configuration}},
		{500, failed("GeneralError", ""), want{class: Provider}},
		{500, failed("ServiceUnavailable", ""), want{class: Provider}},
		{500, failed("Brand_New", ""), want{Provider, false, false, true}},
		{400, failed("Brand_New", ""), want{Provider, false, false, true}},
		{502, "<html>", want{class: Provider}}, {500, `{"status": "error"}`, want{class: Provider}}, {503, "", want{class: Provider}},
		{302, "", want{class: Configuration}},
		{404, "", want{class: Unclassified}},
		{413, "", want{class: Payload}},
		{429, "", want{class: RateLimit}},
	} {
		o := classifyMandrill(answerWith(c.status, c.body))
		if got := (want{o.Class, o.Healthy, o.HoldAccount, o.Alert}); got != c.want {
			t.Errorf("%d %s: got %+v, want %+v", c.status, c.body, got, c.want)
		}
	}
}

func TestClassifySMTP(t *testing.T) {
	for _, c := range []struct {
		at   stage
		code int
		text string
		want Class
	}{
		{stageConnect, 421, "4.3.2 Service shutting down", Provider},
		{stageConnect, 554, "5.7.1 No service", Provider},
		{stageConnect, 421, "Domain is not allowed to send", Configuration},
		{stageHello, 502, "no", Provider},
		{stageAuth, 454, "4.7.0 Temporary authentication failure", Provider},
		{stageAuth, 530, "5.7.0", Configuration}, {stageAuth, 534, "5.7.9", Configuration}, {stageAuth, 535, "5.7.8", Configuration},
		{stageAuth, 504, "5.5.4 unknown", Configuration},
		{stageMail, 530, "5.7.0 Authentication required", Configuration},
		{stageMail, 550, "5.7.1 Sender not allowed", Configuration},
		{stageMail, 550, "Blocked by policy\n5.7.1 see there", Configuration}, // a code on the last line alone
		{stageMail, 550, "5.1.8 Bad sender", Unclassified}, {stageMail, 550, "not 5.7.1", Unclassified},
		{stageMail, 451, "4.3.0", Provider}, {stageMail, 421, "4.7.0 not allowed to send", Configuration},
		{stageRcpt, 550, "5.1.1 No such user", Recipient}, {stageRcpt, 550, "5.7.1 Relaying denied", Recipient}, {stageRcpt, 553, "", Recipient},
		{stageRcpt, 530, "5.7.0 Authentication required", Configuration},
		{stageRcpt, 451, "4.7.1 Greylisted", Transient}, {stageRcpt, 452, "4.2.2 Mailbox full", Transient},
		{stageData, 451, "", Provider}, {stageData, 554, "", Payload},
		{stageDot, 451, "4.3.0", Provider}, {stageDot, 452, "", Provider}, {stageDot, 552, "5.3.4 Too big", Payload}, {stageDot, 554, "5.6.0", Payload},
		{stageDot, 354, "", Ambiguous},
	} {
		o := classifySMTP(c.at, &textproto.Error{Code: c.code, Msg: c.text})
		if o.Class != c.want || o.StatusCode != c.code {
			t.Errorf("%d %s to %v: got %s %d, want %s", c.code, c.text, c.at, o.Class, o.StatusCode, c.want)
		}
	}
	for at := stageConnect; at <= stageDot; at++ {
		want := Provider
		if at == stageDot {
			want = Ambiguous
		}
		for _, err := range []error{os.ErrDeadlineExceeded, errors.New("EOF"), textproto.ProtocolError("short response")} {
			if o := classifySMTP(at, err); o.Class != want {
				t.Errorf("%v at %v: got %s, want %s", err, at, o.Class, want)
			}
		}
	}
}

func TestRateLimited(t *testing.T) {
	for _, c := range []struct {
		message string
		headers []string
		want    time.Duration
	}{
		{"slow down", nil, 0},
		{"", []string{"Retry-After", "7"}, 7 * time.Second},
		{"", []string{"Retry-After", " 0 "}, time.Second},
		{"", []string{"Retry-After", at.Add(20 * time.Second).UTC().Format(http.TimeFormat)}, 20 * time.Second},
		{"", []string{"Retry-After", at.Add(-time.Hour).UTC().Format(http.TimeFormat)}, time.Second},
		{"", []string{"Retry-After", "soon", "X-RateLimit-Reset", "1700000015"}, 15 * time.Second},
		{"", []string{"X-RateLimit-Reset", "99999999999999999"}, 0},
		{"", []string{"Retry-After", "-5"}, 0},
		{"try again after 300 seconds", nil, 300 * time.Second},
		{"try again after 300 seconds", []string{"Retry-After", "3"}, 3 * time.Second},
	} {
		if o := answerWith(429, "", c.headers...).rateLimited(c.message); o.Class != RateLimit || o.Hold != c.want {
			t.Errorf("%q %q: got %v, want %v", c.message, c.headers, o.Hold, c.want)
		}
	}
}

// What a round's outcomes mean for the mail.
func TestVerdict(t *testing.T) {
	o := func(c Class, status ...int) Outcome {
		out := Outcome{Class: c}
		if len(status) > 0 {
			out.StatusCode = status[0]
		}
		return out
	}
	for i, c := range []struct {
		outcomes []Outcome
		want     store.MailStatus
	}{
		{[]Outcome{o(OK)}, store.MailSent},
		{[]Outcome{o(Ambiguous), o(OK)}, store.MailSent},
		{[]Outcome{o(Provider, 503), o(Payload)}, store.MailRejected},
		{[]Outcome{o(Transient)}, store.MailDeferred},
		{[]Outcome{o(Provider), o(Configuration, 401), o(RateLimit, 429)}, store.MailDeferred},
		{[]Outcome{o(Ambiguous)}, store.MailUnknown},
		{[]Outcome{o(Ambiguous), o(Provider, 503)}, store.MailUnknown},
		{[]Outcome{o(Provider, 503), o(Ambiguous)}, store.MailUnknown},
		{[]Outcome{o(Ambiguous), o(Unclassified, 400)}, store.MailUnknown},
		{[]Outcome{o(Unclassified, 400)}, store.MailRejected},
		{[]Outcome{o(Provider, 503), o(Unclassified, 400)}, store.MailRejected},
		{[]Outcome{o(Unclassified, 400), o(Provider, 503)}, store.MailDeferred},
		{[]Outcome{o(Unclassified, 400), o(Provider)}, store.MailDeferred},
		{[]Outcome{o(Unclassified, 400), o(Configuration, 401)}, store.MailRejected},
		{[]Outcome{o(Configuration, 401), o(RateLimit, 429)}, store.MailDeferred},
		{[]Outcome{o(Unclassified, 400), classifySMTP(stageRcpt, &textproto.Error{Code: 451, Msg: "4.7.1 Greylisted"})}, store.MailDeferred},
		{[]Outcome{o(Unclassified, 400), classifySMTP(stageConnect, &textproto.Error{Code: 421, Msg: "4.3.2 Shutting down"})}, store.MailDeferred},
	} {
		if got := verdict(c.outcomes); got != c.want {
			t.Errorf("%d %v: got %s, want %s", i, c.outcomes, got, c.want)
		}
	}
}
