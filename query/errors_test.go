package query

import (
	"context"
	"strings"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// refused writes error rows as a checkpoint does.
func (f *fixture) refused(rows ...store.ErrorRow) {
	f.t.Helper()
	from, err := f.store.TakeOver(context.Background(), usage0, 0)
	if err != nil {
		f.t.Fatal(err)
	}
	n := int64(0)
	for i := range rows {
		r := &rows[i]
		r.Origin, r.Offset = usage0, from.Next+n
		n += r.Records
		r.LastOffset = from.Next + n - 1
	}
	to := from
	to.Next, to.Clock, to.LastOffset = from.Next+n, testNow.UnixMicro(), from.Next+n-1
	results, err := f.store.Checkpoint(context.Background(), []*store.Checkpoint{{From: from, To: to, ClosedAt: testNow,
		Ledger: store.Ledger{First: from.Next, Next: to.Next, Records: n, Rejected: n}, Errors: rows}})
	if err != nil || results[0].Outcome != store.Applied {
		f.t.Fatal(results, err)
	}
}

func TestListInternalErrors(t *testing.T) {
	f := newFixture(t)
	text := store.ErrorRow{ID: "a1", Time: testNow.UnixMicro() - 1e6, Account: "acme", Reason: schemas.InvalidJSON, Message: "not JSON",
		Input: []byte(`{"x`), InputBytes: 3, Records: 1, Whole: true}
	binary := store.ErrorRow{ID: "b2", Time: testNow.UnixMicro(), Account: "_unknown", Reason: schemas.WrongType, Field: "data", Message: "no",
		Input: []byte{0xff, 1}, InputBytes: 2, Records: 2}
	endpoint := store.ErrorRow{ID: "c3", Time: testNow.UnixMicro(), Account: "_unknown", Reason: schemas.UnknownKey, Message: "no key",
		Records: 1, Endpoint: "/v1/usage"}
	f.refused(text, binary, endpoint)
	c := newClient(f)

	const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
	c3 := `{"id":"c3","internal":true,"time":"2026-03-10T12:30:00Z","account":"_unknown","reason":"unknown_key","message":"no key","input":"",` +
		`"input_bytes":0,"input_sha256":"` + zeros + `","origin":{"endpoint":"/v1/usage"},"records":1,"status":0,"can_retry":false}`
	b2 := `{"id":"b2","internal":true,"time":"2026-03-10T12:30:00Z","account":"_unknown","reason":"wrong_type","field":"data","message":"no","input_base64":"/wE=",` +
		`"input_bytes":2,"input_sha256":"` + zeros + `","origin":{"topic":"usage","partition":0,"offset":1},"records":2,"status":0,"can_retry":false}`
	a1 := `{"id":"a1","internal":true,"time":"2026-03-10T12:29:59Z","account":"acme","reason":"invalid_json","message":"not JSON","input":"{\"x",` +
		`"input_bytes":3,"input_sha256":"` + zeros + `","origin":{"topic":"usage","partition":0,"offset":0},"records":1,"status":0,"can_retry":true}`
	for query, want := range map[string]string{
		"":                              c3 + "," + b2 + "," + a1,
		"&reason=unknown_key":           c3,
		"&status=1":                     "",
		"&account=acme":                 a1,
		"&fromDate=2026-03-10:12:30:00": c3 + "," + b2,
		"&toDate=2026-03-10T12:30:00Z":  a1,
	} {
		f.want("/v1/errors?internal=true"+query, 200, `{"errors":[`+want+`]}`)
	}
	f.want("/v1/errors/b2", 200, b2)

	var seen []string
	cursor := ""
	for range 4 {
		page := c.call(200, "GET", "/v1/errors?internal=true&limit=1&cursor="+cursor, "")
		seen = append(seen, page["errors"].([]any)[0].(map[string]any)["id"].(string))
		next, more := page["next"].(string)
		if !more {
			break
		}
		cursor = next
	}
	if got := strings.Join(seen, " "); got != "c3 b2 a1" {
		t.Errorf("page by page: got %s", got)
	}
	for _, query := range []string{"", "?internal=yes", "?internal=true&limit=0", "?internal=true&limit=1001", "?internal=true&x=1",
		"?internal=true&status=3", "?internal=true&cursor=x", "?internal=true&intervalType=d"} {
		c.call(400, "GET", "/v1/errors"+query, "")
	}
}

// An account sees and settles its own errors alone.
func TestInternalErrorsOfAnAccount(t *testing.T) {
	f := newFixture(t)
	f.refused(store.ErrorRow{ID: "a1", Time: 1, Account: "acme", Reason: schemas.InvalidJSON, Records: 1},
		store.ErrorRow{ID: "b2", Time: 2, Account: "other", Reason: schemas.InvalidJSON, Records: 1})
	c := newClient(f)
	list := c.call(200, "GET", "/v1/errors?internal=true", "", "X-Account-ID", "acme")["errors"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["id"] != "a1" {
		t.Errorf("got %v", list)
	}
	c.call(403, "GET", "/v1/errors?internal=true&account=other", "", "X-Account-ID", "acme")
	c.call(404, "GET", "/v1/errors/b2", "", "X-Account-ID", "acme")
	c.call(404, "PATCH", "/v1/errors/b2", `{"status":1}`, "X-Account-ID", "acme")
	c.call(200, "GET", "/v1/errors/b2", "")
}

func TestResolveError(t *testing.T) {
	f := newFixture(t)
	f.refused(store.ErrorRow{ID: "a1", Time: 1, Account: "acme", Reason: schemas.InvalidJSON, Records: 1, Whole: true})
	c := newClient(f)
	for _, body := range []string{`{}`, `{"status":2}`, `{"status":"1"}`, `[]`} {
		c.call(400, "PATCH", "/v1/errors/a1", body)
	}
	for range 2 {
		if got := c.call(200, "PATCH", "/v1/errors/a1", `{"status":1}`); got["status"] != 1.0 || got["can_retry"] != false {
			t.Errorf("got %v", got)
		}
	}
	if got := c.call(200, "PATCH", "/v1/errors/a1", `{"status":0}`); got["status"] != 0.0 {
		t.Errorf("got %v", got)
	}
	if n := len(c.call(200, "GET", "/v1/audit", "")["audit"].([]any)); n != 2 {
		t.Errorf("%d changes, want 2", n)
	}
	if _, first, err := f.store.ClaimError(t.Context(), "test", "", "a1"); err != nil || !first {
		t.Fatal(first, err)
	}
	c.call(409, "PATCH", "/v1/errors/a1", `{"status":1}`)
}
