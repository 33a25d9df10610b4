package query

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
)

func TestStatsTime(t *testing.T) {
	good := map[string]string{
		"Mon, 26 Jan 2018 17:00:00 UTC":      "2018-01-26T17:00:00Z", // a Friday
		"Tue, 22 Jan 2019 05:50:00 +0545":    "2019-01-22T00:05:00Z",
		"22 Jan 2019 17:00 GMT":              "2019-01-22T17:00:00Z",
		"tue,22 JAN 2019 17:00:59 ut":        "2019-01-22T17:00:59Z",
		"Tue,  2 Jan 2019  17:00:59  utc ":   "2019-01-02T17:00:59Z",
		"Mon, 21 Jan 2019 19:30:00 EST":      "2019-01-22T00:30:00Z",
		"Mon, 21 Jan 2019 19:30:00 EDT":      "2019-01-21T23:30:00Z",
		"Mon, 21 Jan 2019 18:00:00 CST":      "2019-01-22T00:00:00Z",
		"Mon, 21 Jan 2019 18:00:00 CDT":      "2019-01-21T23:00:00Z",
		"Mon, 21 Jan 2019 17:00:00 MST":      "2019-01-22T00:00:00Z",
		"Mon, 21 Jan 2019 17:00:00 MDT":      "2019-01-21T23:00:00Z",
		"Mon, 21 Jan 2019 16:00:00 PST":      "2019-01-22T00:00:00Z",
		"Mon, 21 Jan 2019 16:00:00 PDT":      "2019-01-21T23:00:00Z",
		"Thu, 29 Feb 2024 12:00:00 -0000":    "2024-02-29T12:00:00Z",
		"Tue, 31 Dec 2019 23:00:00 -0130":    "2020-01-01T00:30:00Z",
		"Tue, 22 Jan 2019 01:00 +0100 (CET)": "2019-01-22T00:00:00Z",
		"1548115200":                         "2019-01-22T00:00:00Z",
		"1548115200.999999":                  "2019-01-22T00:00:00.999999Z",
		"0":                                  "1970-01-01T00:00:00Z",
		"-1":                                 "1969-12-31T23:59:59Z",
		"0060":                               "1970-01-01T00:01:00Z",
		"2019-01-22T05:45:00+05:45":          "2019-01-22T00:00:00Z",
		"253402300799":                       "9999-12-31T23:59:59Z",
	}
	for text, want := range good {
		got, err := statsTime("timestamp", text)
		if err != nil || time.UnixMicro(got).UTC().Format(time.RFC3339Nano) != want {
			t.Errorf("%q: got %s, %v, want %s", text, time.UnixMicro(got).UTC().Format(time.RFC3339Nano), err, want)
		}
	}
	for _, text := range []string{"", " ", "-", "--5", "+5", "1e9", "yesterday", "Fri, 29 Feb 2019 00:00:00 UTC", "Mon, 21 Jan 2019 19:00:00  0000",
		"Mon, 21 Jan 2019 19:00:00", "Mon, 21 Jan 2019 19:00:00 Z", "Mon, 21 Jan 2019 19:00:00 CET", "Mon, 21 Jan 2019 19:00:00 +05:45",
		"Mon, 21 Jan 2019 19:00:00 +2400", "Mon, 21 Jan 2019 19:00:00 +0160", "Mon, 21 Jan 2019 24:00:00 UTC", "Mon, 21 Jan 2019 19:60:00 UTC",
		"Mon, 21 Jan 2019 19:00:60 UTC", "Xyz, 21 Jan 2019 19:00:00 UTC", "Mon, 32 Jan 2019 19:00:00 UTC", "Mon, 0 Jan 2019 19:00:00 UTC",
		"Mon, 21 Jan 19 19:00:00 UTC", "Mon, 21 Jan 2019 19:00:00 (UTC)", "Mon, 21 Jan 2019 19:00:00 UTC (", "Mon, 21 Jan 0000 19:00:00 UTC", "Mon, 31 Apr 2019 19:00:00 UTC", "Mon, 21 Foo 2019 19:00:00 UTC",
		"Mon, 21 Jan 2019 7:00:00 UTC", "2019-02-29T00:00:00Z", "2019-01-22 00:00:00", "253402300800", "1548115200000", "1 Jan 0001 00:00:00 +0100"} {
		if got, err := statsTime("timestamp", text); err == nil || !strings.Contains(err.Error(), "timestamp") {
			t.Errorf("%q: got %d, %v, want an error that names timestamp", text, got, err)
		}
	}
}

// mailFact is one e-mail event; dims as domain,event,direction,transport,severity,reason.
func mailFact(at, account, dims string) fact {
	return fact{family: schemas.FamilyEmail, at: at, account: account, dims: strings.Split(dims, ","), Measures: schemas.Measures{Count: 1}}
}

var emails0 = schemas.Partition{Topic: schemas.Emails, ID: 0}

func mailFixture(t *testing.T) *fixture {
	f := newFixture(t)
	for _, domain := range []string{"a.example", "b.example", "silent.example"} {
		if _, _, err := f.store.PutDomain(t.Context(), "test", "acme", domain); err != nil {
			t.Fatal(err)
		}
	}
	f.checkpoint(emails0, "2026-03-10T12:00:00Z",
		mailFact("2026-03-09T00", "acme", "a.example,accepted,incoming,,,"),
		mailFact("2026-03-09T23", "acme", "a.example,accepted,outgoing,smtp,,"),
		mailFact("2026-03-10T00", "acme", "a.example,accepted,,,,"),
		mailFact("2026-03-09T05", "acme", "a.example,delivered,,http,,"),
		mailFact("2026-03-09T05", "acme", "a.example,delivered,,smtp,,"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,temporary,espblock"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,temporary,generic"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,espblock"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,bounce"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,delayed-bounce"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,suppress-bounce"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,suppress-unsubscribe"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,permanent,suppress-complaint"),
		mailFact("2026-03-09T05", "acme", "a.example,failed,,,,"),
		mailFact("2026-03-09T05", "acme", "b.example,opened,,,,"),
		mailFact("2026-03-09T05", "acme", "other.example,opened,,,,"),
		mailFact("2026-03-09T05", "acme", "b.example,rejected,,,,"),
		mailFact("2026-03-09T05", "bolt", "a.example,opened,,,,"))
	return f
}

func TestTotals(t *testing.T) {
	f := mailFixture(t)
	const at = `"Mon, 09 Mar 2026 00:00:00 UTC"`
	one := func(domain, at, counts string) string {
		return fmt.Sprintf(`"%s":[{"time":%s,%s}]`, domain, at, counts)
	}
	get := func(query string) string {
		w := f.get("/v3/accounts/totals?"+query, "X-Account-ID", "acme")
		if w.Code != 200 || w.Header().Get("X-Data-Source") != "rollups" || w.Header().Get("X-Data-Through") != "2026-03-10T12:00:00Z; emails=0:18" {
			t.Errorf("%s: got %d, %v", query, w.Code, w.Header())
		}
		return strings.TrimSpace(w.Body.String())
	}
	want := func(query, resolution, at string, stats ...string) {
		t.Helper()
		want := fmt.Sprintf(`{"resolution":"%s","timestamp":%s,"stats":{%s}}`, resolution, at, strings.Join(stats, ","))
		if got := get(query); got != want {
			t.Errorf("%s: got\n%s, want\n%s", query, got, want)
		}
	}
	accepted := func(in, out int) string {
		return fmt.Sprintf(`"accepted":{"incoming":%d,"outgoing":%d,"total":%d}`, in, out, in+out)
	}
	want("event=accepted&timestamp=Sun,+09+Mar+2026+17:00:00+UTC", "day", at,
		one("a.example", at, accepted(1, 1)), one("b.example", at, accepted(0, 0)), one("silent.example", at, accepted(0, 0)))
	now := `"Tue, 10 Mar 2026 00:00:00 UTC"`
	want("event=accepted", "day", now, one("a.example", now, accepted(0, 1)), one("b.example", now, accepted(0, 0)), one("silent.example", now, accepted(0, 0)))
	hour := `"Mon, 09 Mar 2026 23:00:00 UTC"`
	want("event=accepted&resolution=hour&timestamp=2026-03-09T23:59:59.999999Z", "hour", hour,
		one("a.example", hour, accepted(0, 1)), one("b.example", hour, accepted(0, 0)), one("silent.example", hour, accepted(0, 0)))
	month := `"Sun, 01 Mar 2026 00:00:00 UTC"`
	const zero = `"failed":{"temporary":{"espblock":0,"total":0},"permanent":{"suppress-bounce":0,"suppress-unsubscribe":0,"suppress-complaint":0,"bounce":0,"delayed-bounce":0,"total":0}}`
	want("event=failed&event=delivered&event=failed&resolution=month&event=opened", "month", month,
		one("a.example", month, `"delivered":{"smtp":1,"http":1,"total":2},"failed":{"temporary":{"espblock":1,"total":2},"permanent":`+
			`{"suppress-bounce":1,"suppress-unsubscribe":1,"suppress-complaint":1,"bounce":1,"delayed-bounce":1,"total":7}},"opened":{"total":0}`),
		one("b.example", month, `"delivered":{"smtp":0,"http":0,"total":0},`+zero+`,"opened":{"total":1}`),
		one("silent.example", month, `"delivered":{"smtp":0,"http":0,"total":0},`+zero+`,"opened":{"total":0}`))
	if got := f.get("/accounts/totals?event=stored", "X-Account-ID", "nobody"); !strings.Contains(got.Body.String(), `"stats":{}`) {
		t.Errorf("an account without domains: got %s", got.Body)
	}
}

func TestTotalsRefuses(t *testing.T) {
	f := mailFixture(t)
	cases := []struct{ query, header, names string }{
		{"", "acme", "event"}, {"event=", "acme", "event"}, {"event=rejected", "acme", "rejected"}, {"event=opened&event=nope", "acme", "nope"},
		{"event=opened&resolution=week", "acme", "week"}, {"event=opened&resolution=", "acme", "resolution"},
		{"event=opened&resolution=day&resolution=day", "acme", "resolution"}, {"event=opened&timestamp=", "acme", "timestamp"},
		{"event=opened&timestamp=1&timestamp=1", "acme", "timestamp"}, {"event=opened&start=1", "acme", "start"}, {"event=opened", "", "X-Account-ID"},
		{"event=opened", "  ", "X-Account-ID"}, {"event=opened&%zz", "acme", "query"},
	}
	for _, path := range []string{"/v3/accounts/totals", "/v3/account/totals", "/accounts/totals"} {
		for _, c := range cases {
			w := f.get(path+"?"+c.query, "X-Account-ID", c.header)
			if w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"message":`) || !strings.Contains(w.Body.String(), c.names) {
				t.Errorf("%s?%s: got %d %s, want 400 that names %s", path, c.query, w.Code, w.Body, c.names)
			}
		}
		if w := f.do("POST", path+"?event=opened", "X-Account-ID", "acme"); w.Code != 405 || w.Header().Get("Allow") != "GET" {
			t.Errorf("POST: got %d, Allow %q", w.Code, w.Header().Get("Allow"))
		}
	}
}

func TestStats(t *testing.T) {
	f := mailFixture(t)
	want := func(path, start, end string, windows int, counts string) {
		t.Helper()
		w := f.get(path, "X-Account-ID", "acme")
		body := w.Body.String()
		head := fmt.Sprintf(`{"start":"%s","end":"%s","resolution":`, start, end)
		if w.Code != 200 || !strings.HasPrefix(body, head) || strings.Count(body, `"time":`) != windows || !strings.Contains(body, counts) {
			t.Errorf("%s: got %d %s, want %s, %d windows, %s", path, w.Code, body, head, windows, counts)
		}
	}
	const day = " 00:00:00 UTC"
	want("/v3/stats/total?event=opened", "Tue, 03 Mar 2026"+day, "Tue, 10 Mar 2026"+day, 8, `{"time":"Mon, 09 Mar 2026 00:00:00 UTC","opened":{"total":2}}`)
	want("/v3/B.example./stats/total?event=opened", "Tue, 03 Mar 2026"+day, "Tue, 10 Mar 2026"+day, 8, `{"time":"Mon, 09 Mar 2026 00:00:00 UTC","opened":{"total":1}}`)
	want("/v3/a.example/stats/total?event=accepted&resolution=hour&start=1773010800&end=1773097200", "Sun, 08 Mar 2026 23:00:00 UTC", "Mon, 09 Mar 2026 23:00:00 UTC", 25,
		`{"time":"Mon, 09 Mar 2026 23:00:00 UTC","accepted":{"incoming":0,"outgoing":1,"total":1}}`)
	want("/v3/a.example/stats/total?event=accepted&resolution=month&duration=1m", "Sun, 01 Feb 2026"+day, "Sun, 01 Mar 2026"+day, 2,
		`{"time":"Sun, 01 Mar 2026 00:00:00 UTC","accepted":{"incoming":1,"outgoing":2,"total":3}}`)
	want("/v3/stats/total?event=opened&duration=36h&end=2026-03-31T01:00:00Z", "Sun, 29 Mar 2026"+day, "Tue, 31 Mar 2026"+day, 3, `"opened":{"total":0}`)
	want("/v3/stats/total?event=opened&duration=1m&end=2026-03-31T01:00:00Z", "Sat, 28 Feb 2026"+day, "Tue, 31 Mar 2026"+day, 32, `"opened":{"total":2}`)
	for query, status := range map[string]int{"/v3/other.example/stats/total?event=opened": 404, "/v3/stats/total?event=opened&duration=1w": 400,
		"/v3/stats/total?event=opened&duration=": 400, "/v3/stats/total?event=opened&duration=d": 400, "/v3/stats/total?event=opened&start=5&end=4": 400,
		"/v3/stats/total?event=opened&start=0&resolution=hour": 400, "/v3/stats/total?event=opened&timestamp=0": 400, "/v3/stats/total": 400,
		"/v3/stats/total?event=opened&start=0001-01-01T00:00:00Z&resolution=month&end=0001-02-01T00:00:00Z": 200, "/v3/stats/total?event=opened&duration=999999d&resolution=month": 400} {
		if w := f.get(query, "X-Account-ID", "acme"); w.Code != status {
			t.Errorf("%s: got %d %s, want %d", query, w.Code, w.Body, status)
		}
	}
}

func TestDomainEndpoints(t *testing.T) {
	f := newFixture(t)
	do := func(method, path, body string, status int, has string) {
		t.Helper()
		w := f.send(method, path, body)
		if w.Code != status || !strings.Contains(w.Body.String(), has) {
			t.Errorf("%s %s: got %d %s, want %d %s", method, path, w.Code, w.Body, status, has)
		}
	}
	const made = `{"domain":"mg.example.com","account":"acme","createdAt":"2026-03-10T12:30:00Z"}`
	do("PUT", "/v1/accounts/acme/domains/MG.Example.com.", "", 200, made)
	do("PUT", "/v1/accounts/acme/domains/mg.example.com", "", 200, made)
	do("PUT", "/v1/accounts/bolt/domains/mg.example.com", "", 409, "another account's")
	do("GET", "/v1/accounts/acme/domains", "", 200, `{"domains":[`+made+`]}`)
	do("GET", "/v1/accounts/bolt/domains", "", 200, `{"domains":[]}`)
	do("GET", "/v1/accounts/bolt/domains?x=1", "", 400, "unknown parameter")
	for _, bad := range []string{"a..b", "-a.b", "a-.b", "a%20b", "%C3%A9.example", strings.Repeat("a", 64), strings.Repeat("a.", 127) + "b"} {
		do("PUT", "/v1/accounts/acme/domains/"+bad, "", 400, `"field":"domain"`)
	}
	do("PUT", "/v1/accounts/*/domains/a.example", "", 400, `"field":"account"`)
	do("DELETE", "/v1/accounts/bolt/domains/mg.example.com", "", 404, "no domain")
	do("DELETE", "/v1/accounts/acme/domains/MG.example.com", "", 204, "")
	do("GET", "/v1/accounts/acme/domains", "", 200, `{"domains":[]}`)

	do("PUT", "/v1/accounts/acme/webhooks/mailgun", `{"key":"k"}`, 200, `{"provider":"mailgun","changedAt":"2026-03-10T12:30:00Z"}`)
	do("GET", "/v1/accounts/acme/webhooks", "", 200, `{"webhooks":[{"provider":"mailgun","changedAt":"2026-03-10T12:30:00Z"}]}`)
	do("PUT", "/v1/accounts/acme/webhooks/mandrill", `{"key":""}`, 400, `"field":"key"`)
	do("PUT", "/v1/accounts/acme/webhooks/ses", `{"key":"k"}`, 404, "")
	do("DELETE", "/v1/accounts/acme/webhooks/mailgun", "", 204, "")
	do("DELETE", "/v1/accounts/acme/webhooks/mailgun", "", 404, "no mailgun webhook key")
}

// send is do with a JSON body.
func (f *fixture) send(method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	f.router.ServeHTTP(w, r)
	return w
}
