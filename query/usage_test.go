package query

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// timed is a request that took a time.
func timed(at, account, endpoint, status, ms string) fact {
	x := request(at, account, endpoint, status, "1")
	x.dims[1] = "v1"
	x.ValueCount, x.ValueSum, x.ValueMin, x.ValueMax = 1, dec(ms), dec(ms), dec(ms)
	return x
}

func apiError(at, account, endpoint, code string) fact {
	return fact{family: schemas.FamilyError, at: at, account: account,
		dims: []string{"web", "v1", endpoint, "500", code}, Measures: schemas.Measures{Count: 1}}
}

var errors0 = schemas.Partition{Topic: schemas.Errors, ID: 0}

func usageFixture(t *testing.T) (*fixture, *client) {
	f := newFixture(t)
	f.checkpoint(usage0, "2026-03-10T12:00:00Z",
		timed("2026-03-01T00", "acme", "/a", "200", "10"), timed("2026-03-01T23", "acme", "/a", "500", "30"),
		timed("2026-03-03T05", "acme", "/b", "200", "5.5"), timed("2026-03-03T05", "other", "/b", "200", "1000"))
	f.checkpoint(errors0, "2026-03-10T12:00:00Z",
		apiError("2026-03-01T23", "acme", "/a", "E1"), apiError("2026-03-03T05", "acme", "/b", "E1"),
		apiError("2026-03-03T06", "acme", "/b", "E2"), apiError("2026-03-03T06", "other", "/b", "E9"))
	return f, newClient(f)
}

func TestUsageByDay(t *testing.T) {
	_, c := usageFixture(t)
	got := c.call(200, "GET", "/v1/usage?intervalType=d&fromDate=2026-03-01:00:00:00&toDate=2026-03-04:00:00:00", "", "X-Account-ID", "acme")
	days := got["intervals"].([]any)
	if len(days) != 3 || got["fromDate"] != "2026-03-01T00:00:00Z" || got["toDate"] != "2026-03-04T00:00:00Z" || got["intervalType"] != "d" {
		t.Fatalf("got %v", got)
	}
	check := func(what string, is any, want string) {
		t.Helper()
		m := is.(map[string]any)
		var list []string
		for _, name := range []string{"start", "end", "requests", "errors", "averageTimeInMilliSeconds", "minTimeInMilliSeconds",
			"maxTimeInMilliSeconds", "quantity", "amount", "currency"} {
			list = append(list, fmt.Sprint(m[name]))
		}
		if got := strings.Join(list, " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, want)
		}
	}
	check("first", days[0], "2026-03-01T00:00:00Z 2026-03-02T00:00:00Z 2 1 20 10 30 2 0.00 USD")
	check("empty", days[1], "2026-03-02T00:00:00Z 2026-03-03T00:00:00Z 0 0 0 0 0 0 0.00 USD")
	check("last", days[2], "2026-03-03T00:00:00Z 2026-03-04T00:00:00Z 1 2 5.5 5.5 5.5 1 0.00 USD")
	check("totals", got["totals"], "<nil> <nil> 3 3 15.166666667 5.5 30 3 0.00 USD")
	p99 := got["totals"].(map[string]any)["p99"].(float64)
	if p99 < 29 || p99 > 31 {
		t.Errorf("got p99 %v, want about 30", p99)
	}
}

// Edges within an hour are exact, and cut the first and last interval.
func TestUsageEdges(t *testing.T) {
	_, c := usageFixture(t)
	got := c.call(200, "GET", "/v1/usage?intervalType=h&fromDate=2026-03-01:23:00:01&toDate=2026-03-02T01:30:00Z", "", "X-Account-ID", "acme")
	hours := got["intervals"].([]any)
	if len(hours) != 3 || got["totals"].(map[string]any)["requests"] != 0.0 {
		t.Errorf("got %v", got)
	}
	if first := hours[0].(map[string]any); first["start"] != "2026-03-01T23:00:01Z" || first["end"] != "2026-03-02T00:00:00Z" {
		t.Errorf("got %v", first)
	}
	got = c.call(200, "GET", "/v1/usage?intervalType=h&fromDate=2026-03-01:23:00:00&toDate=2026-03-01:23:00:00.000001", "", "X-Account-ID", "acme")
	if got["totals"].(map[string]any)["requests"] != 1.0 {
		t.Errorf("a microsecond: got %v", got)
	}
	got = c.call(200, "GET", "/v1/usage?intervalType=m&fromDate=2026-03-01:00:00:00&toDate=2026-03-01:00:00:00", "")
	if len(got["intervals"].([]any)) != 0 {
		t.Errorf("nothing: got %v", got)
	}
}

func TestUsageMessages(t *testing.T) {
	_, c := usageFixture(t)
	for query, want := range map[string]string{
		"intervalType=d&fromDate=2026-01-01:00:00:00&toDate=2026-03-02:00:00:01": "Please provide a range less than 60 days",
		"intervalType=h&fromDate=2026-03-01:00:00:00&toDate=2026-03-08:00:00:01": "Please provide a range less than 7 days",
		"intervalType=m&fromDate=2020-03-01:00:00:00&toDate=2025-03-01:00:00:01": "Please provide a range less than 5 years",
		"fromDate=2026-03-01:00:00:00":                                           "intervalType is required",
		"intervalType=w&fromDate=2026-03-01:00:00:00":                            "intervalType must be",
		"intervalType=d":                                                           "fromDate is required",
		"intervalType=d&fromDate=yesterday":                                        "fromDate must be a date",
		"intervalType=d&fromDate=2026-02-30:00:00:00":                              "fromDate must be a date",
		"intervalType=d&fromDate=2026-03-02:00:00:00&toDate=2026-03-01:00:00:00":   "fromDate must not be after toDate",
		"intervalType=d&fromDate=2026-03-11:00:00:00":                              "fromDate must not be after toDate",
		"intervalType=d&fromDate=2026-03-01:00:00:00&endPointName=/none":           `endPointName "/none" is not registered`,
		"intervalType=d&fromDate=2026-03-01:00:00:00&color=red":                    `unknown parameter "color"`,
		"intervalType=d&fromDate=2026-03-01:00:00:00&fromDate=2026-03-01:00:00:00": "given 2 times",
	} {
		for _, path := range []string{"/v1/usage", "/v1/errors"} {
			got := c.call(400, "GET", path+"?"+query, "")
			if text, _ := got["error"].(string); !strings.HasPrefix(text, want) && !strings.Contains(text, want) || strings.HasPrefix(want, "Please") && text != want {
				t.Errorf("%s: got %v, want %s", query, got, want)
			}
		}
	}
	c.call(200, "GET", "/v1/usage?intervalType=d&fromDate=2026-01-01:00:00:00&toDate=2026-03-02:00:00:00", "")
	c.call(200, "GET", "/v1/usage?intervalType=y&fromDate=1999-01-01:00:00:00", "")
}

func TestUsageOfAnEndpoint(t *testing.T) {
	_, c := usageFixture(t)
	c.call(201, "POST", "/v1/routes", `{"apiName":"web","apiVersion":"v1","endpointName":"/b","prices":[`+perUnit+`]}`)
	c.call(201, "POST", "/v1/customers", `{"apiKey":"the-key-of-acme-1","customerName":"Acme","pricingModelName":"standard","account":"acme","currency":"EUR"}`)
	const ask = "/v1/usage?intervalType=d&fromDate=2026-03-01:00:00:00&endPointName="
	for _, headers := range [][]string{{"apiKey", "the-key-of-acme-1"}, {"apiKey", "the-key-of-acme-1", "apiVersion", "v1"}} {
		total := c.call(200, "GET", ask+url.QueryEscape("/b"), "", headers...)["totals"].(map[string]any)
		if total["requests"] != 1.0 || total["errors"] != 2.0 || total["currency"] != "EUR" {
			t.Errorf("%v: got %v", headers, total)
		}
	}
	c.call(400, "GET", ask+url.QueryEscape("/a"), "", "apiKey", "the-key-of-acme-1")
	c.call(400, "GET", ask+url.QueryEscape("/b"), "", "apiKey", "the-key-of-acme-1", "apiVersion", "v2")
	c.call(201, "POST", "/v1/routes", `{"apiName":"web","apiVersion":"v1","endpointName":null}`)
	total := c.call(200, "GET", ask+url.QueryEscape("/a"), "", "apiKey", "the-key-of-acme-1")["totals"].(map[string]any)
	if total["requests"] != 2.0 {
		t.Errorf("by the route of every endpoint: got %v", total)
	}
	total = c.call(200, "GET", "/v1/usage?intervalType=d&fromDate=2026-03-01:00:00:00", "", "apiKey", "the-key-of-acme-1", "apiVersion", "v9")["totals"].(map[string]any)
	if total["requests"] != 0.0 {
		t.Errorf("another version: got %v", total)
	}
}

func TestErrorsByDay(t *testing.T) {
	_, c := usageFixture(t)
	got := c.call(200, "GET", "/v1/errors?intervalType=d&fromDate=2026-03-01:00:00:00&toDate=2026-03-04:00:00:00&limit=2", "", "X-Account-ID", "acme")
	if totals := fmt.Sprint(got["totals"]); totals != "map[errorCodes:map[E1:2 E2:1] errors:3]" {
		t.Errorf("got totals %s", totals)
	}
	days := got["intervals"].([]any)
	if fmt.Sprint(days[1].(map[string]any)["errorCodes"], days[2].(map[string]any)["errors"]) != "map[] 2" {
		t.Errorf("got intervals %v", days)
	}
	events := got["events"].([]any)
	cursor, more := got["next"].(string)
	if len(events) != 2 || !more || events[0].(map[string]any)["errorCode"] != "E2" || events[0].(map[string]any)["time"] != "2026-03-03T06:00:00Z" {
		t.Fatalf("got %v, next %s", events, cursor)
	}
	rest := c.call(200, "GET", "/v1/errors?intervalType=d&fromDate=2026-03-01:00:00:00&toDate=2026-03-04:00:00:00&limit=2&cursor="+cursor, "", "X-Account-ID", "acme")
	if events := rest["events"].([]any); len(events) != 1 || events[0].(map[string]any)["time"] != "2026-03-01T23:00:00Z" || rest["next"] != nil {
		t.Errorf("got %v", rest)
	}
	c.call(400, "GET", "/v1/errors?intervalType=d&fromDate=2026-03-01:00:00:00&cursor=1.2", "")
	for code, want := range map[string]int{"E1": 2, "E2": 1, "E3": 0} {
		got := c.call(200, "GET", "/v1/errors?intervalType=d&fromDate=2026-03-01:00:00:00&toDate=2026-03-04:00:00:00&errorCode="+code, "", "X-Account-ID", "acme")
		if n := len(got["events"].([]any)); n != want || got["totals"].(map[string]any)["errors"] != float64(want) {
			t.Errorf("%s: got %d events, totals %v, want %d", code, n, got["totals"], want)
		}
	}
}

// Corrected error events are listed as they are now, retracted ones not at all.
func TestErrorEventsAreCorrected(t *testing.T) {
	f := newFixture(t)
	const hour = 3600_000_000
	base := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	rows := &archive.Rows{Dataset: schemas.Errors, Dict: []string{"", "acme", "api.error", "test", "a", "b", "c", "E1", "E2"}}
	add := func(id string, at int64, sign int8, target, code archive.Code, offset int64, row int32) {
		rows.ID.Append([]byte(id))
		rows.Source, rows.Account, rows.Type = append(rows.Source, 3), append(rows.Account, 1), append(rows.Type, 2)
		rows.Time, rows.LogTime, rows.Offset, rows.Row = append(rows.Time, base+at), append(rows.LogTime, base+at), append(rows.Offset, offset), append(rows.Row, row)
		rows.Sign, rows.TargetID = append(rows.Sign, sign), append(rows.TargetID, target)
		rows.Strings[schemas.ErrorCode] = append(rows.Strings[schemas.ErrorCode], code)
		rows.Status = append(rows.Status, 500)
		rows.LatencyMS = append(rows.LatencyMS, 1)
	}
	add("a", 1*hour, 1, 0, 7, 0, 0)
	add("b", 2*hour, 1, 0, 7, 1, 0)
	add("c", 3*hour, 1, 0, 7, 2, 0)
	add("fix-b", 2*hour, -1, 5, 7, 3, 0) // b is amended
	add("fix-b", 2*hour, 1, 5, 8, 3, 1)
	add("drop-c", 3*hour, -1, 6, 7, 4, 0) // c is retracted
	day := archive.ByDay(rows)[0]
	from, err := f.store.TakeOver(t.Context(), errors0, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := f.archive.Stage(t.Context(), archive.StageFile{Rows: rows, Day: day, Source: errors0, Epoch: from.Epoch, Random: "r"})
	if err == nil {
		err = f.archive.Publish(t.Context(), file)
	}
	if err != nil {
		t.Fatal(err)
	}
	to := from
	to.Next, to.Clock, to.LastOffset = 5, base+4*hour, 4
	series := schemas.Series{Account: "acme", Family: schemas.FamilyError.Name, Dims: []string{"", "", "", "500", "E1"}}
	series.ID = schemas.MakeSeriesID(series.Family, series.Account, series.Dims)
	results, err := f.store.Checkpoint(t.Context(), []*store.Checkpoint{{From: from, To: to, ClosedAt: testNow,
		Ledger: store.Ledger{First: 0, Next: 5, Records: 5, Counted: 5, Extra: 1}, Files: []store.ArchiveFile{store.ArchiveFile(file)},
		Series: []schemas.Series{series}, Deltas: []store.Delta{{Hour: schemas.HourOf(base + hour), Measures: schemas.Measures{Count: 2}}}}})
	if err != nil || results[0].Outcome != store.Applied {
		t.Fatalf("checkpoint: %v, %v", results, err)
	}
	c := newClient(f)
	got := c.call(200, "GET", "/v1/errors?intervalType=d&fromDate=2026-03-01:00:00:00&toDate=2026-03-02:00:00:00", "")
	var list []string
	for _, e := range got["events"].([]any) {
		m := e.(map[string]any)
		list = append(list, fmt.Sprint(m["id"], m["errorCode"]))
	}
	if text := fmt.Sprint(list); text != "[bE2 aE1]" {
		t.Errorf("got %s, want b as it is now, then a", text)
	}
}

func TestUsageAsCSV(t *testing.T) {
	f, _ := usageFixture(t)
	w := f.get("/v1/usage?intervalType=d&fromDate=2026-03-02:00:00:00&toDate=2026-03-04:00:00:00", "X-Account-ID", "acme", "Accept", "text/csv")
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if w.Code != 200 || len(lines) != 3 || !strings.HasPrefix(lines[0], "start,end,requests,errors,") ||
		!strings.HasPrefix(lines[2], "2026-03-03T00:00:00Z,2026-03-04T00:00:00Z,1,2,5.5,5.5,5.5,") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}
