package query

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"tallybook/query/engine"
	"tallybook/schemas"
)

// filled has requests of two accounts around the turn of a month, with
// latencies, and an error.
func filled(t *testing.T) *fixture {
	f := newFixture(t)
	slow := request("2026-03-01T00", "acme", "/a", "200", "2")
	slow.ValueCount, slow.ValueSum, slow.ValueMin, slow.ValueMax = 1, dec("1"), dec("1"), dec("1")
	slower := request("2026-03-01T00", "acme", "/a", "200", "0.25")
	slower.ValueCount, slower.ValueSum, slower.ValueMin, slower.ValueMax = 1, dec("4"), dec("4"), dec("4")
	slowest := request("2026-03-01T00", "acme", "/a", "200", "0.25")
	slowest.ValueCount, slowest.ValueSum, slowest.ValueMin, slowest.ValueMax = 1, dec("5"), dec("5"), dec("5")
	f.checkpoint(usage0, "2026-03-01T01:00:00Z",
		request("2026-02-28T22", "acme", "/a", "200", "1"),
		request("2026-02-28T23", "acme", "/b", "404", "3"),
		slow, slower, slowest,
		request("2026-03-01T05", "bolt", "/a", "200", "0.000000001"))
	f.checkpoint(schemas.Partition{Topic: schemas.Usage, ID: 1}, "2026-03-01T00:59:59.5Z")
	f.checkpoint(schemas.Partition{Topic: schemas.Errors, ID: 0}, "2026-03-01T00:59:59Z",
		fact{family: schemas.FamilyError, at: "2026-03-01T00", account: "acme", dims: []string{"web", "", "/a", "500", ""}, Measures: schemas.Measures{Count: 4}})
	return f
}

const all = "from=2026-02-01T00:00:00Z&to=2026-04-01T00:00:00Z"

func TestMeterQuery(t *testing.T) {
	f := filled(t)
	const head = `{"from":"2026-02-01T00:00:00Z","to":"2026-04-01T00:00:00Z"`
	const edges = `"windowStart":"2026-02-01T00:00:00Z","windowEnd":"2026-04-01T00:00:00Z"`
	for query, want := range map[string]string{
		"requests/query?" + all:                   head + `,"data":[{"value":6.500000001,` + edges + `,"subject":null,"groupBy":{}}]}`,
		"requests/query?" + all + "&subject=acme": head + `,"data":[{"value":6.5,` + edges + `,"subject":"acme","groupBy":{}}]}`,
		"requests/query?" + all + "&subject=acme&subject=bolt&groupBy=subject": head + `,"data":[{"value":6.5,` + edges + `,"subject":"acme","groupBy":{}},` +
			`{"value":0.000000001,` + edges + `,"subject":"bolt","groupBy":{}}]}`,
		"requests/query?" + all + "&groupBy=endpoint&groupBy=status": head + `,"data":[{"value":3.500000001,` + edges + `,"subject":null,"groupBy":{"endpoint":"/a","status":"200"}},` +
			`{"value":3,` + edges + `,"subject":null,"groupBy":{"endpoint":"/b","status":"404"}}]}`,
		"requests/query?" + all + "&filterGroupBy[endpoint]=/b&filterGroupBy[status]=404&filterGroupBy[status]=200": head + `,"data":[{"value":3,` + edges + `,"subject":null,"groupBy":{}}]}`,
		"requests/query?" + all + "&filterGroupBy%5Bendpoint%5D=/none":                                              head + `,"data":[]}`,
		"latency/query?" + all:                         head + `,"data":[{"value":3.333333333,` + edges + `,"subject":null,"groupBy":{},"count":3,"sum":10,"min":1,"max":5,"percentiles":{"50":4.015625,"95":5,"99":5}}]}`,
		"latency/query?" + all + "&groupBy=endpoint":   head + `,"data":[{"value":3.333333333,` + edges + `,"subject":null,"groupBy":{"endpoint":"/a"},"count":3,"sum":10,"min":1,"max":5,"percentiles":{"50":4.015625,"95":5,"99":5}}]}`,
		"errors/query?" + all:                          head + `,"data":[{"value":4,` + edges + `,"subject":null,"groupBy":{}}]}`,
		"emails/query?" + all:                          head + `,"data":[{"value":0,` + edges + `,"subject":null,"groupBy":{}}]}`,
		"emails/query?" + all + "&subject=x":           head + `,"data":[{"value":0,` + edges + `,"subject":"x","groupBy":{}}]}`,
		"emails/query?" + all + "&groupBy=event":       head + `,"data":[]}`,
		"emails/query?" + all + "&windowSize=DAY":      head + `,"windowSize":"DAY","data":[]}`,
		"latency/query?" + all + "&subject=none":       head + `,"data":[]}`,
		"requests/query?" + all + "&subject=none":      head + `,"data":[]}`,
		"errors/query?" + all + "&windowSize=HOUR":     head + `,"windowSize":"HOUR","data":[{"value":4,"windowStart":"2026-03-01T00:00:00Z","windowEnd":"2026-03-01T01:00:00Z","subject":null,"groupBy":{}}]}`,
		"requests/query?to=2026-03-01T00:00:00Z":       `{"from":"2026-02-01T00:00:00Z","to":"2026-03-01T00:00:00Z","data":[{"value":4,"windowStart":"2026-02-01T00:00:00Z","windowEnd":"2026-03-01T00:00:00Z","subject":null,"groupBy":{}}]}`,
		"requests/query?from=2026-03-01T05:00:00Z":     `{"from":"2026-03-01T05:00:00Z","to":"2026-03-10T13:00:00Z","data":[{"value":0.000000001,"windowStart":"2026-03-01T05:00:00Z","windowEnd":"2026-03-10T13:00:00Z","subject":null,"groupBy":{}}]}`,
		"emails/query":                                 `{"to":"2026-03-10T13:00:00Z","data":[{"value":0,"windowStart":null,"windowEnd":"2026-03-10T13:00:00Z","subject":null,"groupBy":{}}]}`,
		"bytes/query?" + all + "&filterGroupBy[api]=x": head + `,"data":[]}`,
	} {
		f.want("/api/v1/meters/"+query, 200, want)
	}
}

func TestMeterWindows(t *testing.T) {
	f := filled(t)
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"windowSize=HOUR&subject=acme", []string{"02-28T22 02-28T23 1", "02-28T23 03-01T00 3", "03-01T00 03-01T01 2.5"}},
		{"windowSize=DAY", []string{"02-28T00 03-01T00 4", "03-01T00 03-02T00 2.500000001"}},
		{"windowSize=MONTH", []string{"02-01T00 03-01T00 4", "03-01T00 04-01T00 2.500000001"}},
		{"windowSize=DAY&windowTimeZone=Europe/Berlin", []string{"02-27T23 02-28T23 1", "02-28T23 03-01T23 5.500000001"}},
		{"windowSize=MONTH&windowTimeZone=Europe/Berlin", []string{"01-31T23 02-28T23 1", "02-28T23 03-31T22 5.500000001"}},
		{"windowSize=MINUTE&subject=bolt", []string{"03-01T05 03-01T05 0.000000001"}},
		{"windowSize=DAY&windowTimeZone=Asia/Kolkata", []string{"02-28T18 03-01T18 6.500000001"}},
		{"windowSize=DAY&windowTimeZone=America/New_York", []string{"02-28T05 03-01T05 6.5", "03-01T05 03-02T05 0.000000001"}},
	} {
		w := f.get("/api/v1/meters/requests/query?" + all + "&" + c.query)
		var answer struct {
			Data []struct {
				Value                  json.Number
				WindowStart, WindowEnd time.Time
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", c.query, w.Code, w.Body)
		}
		var got []string
		for _, d := range answer.Data {
			got = append(got, fmt.Sprintf("%s %s %s", d.WindowStart.Format("01-02T15"), d.WindowEnd.Format("01-02T15"), d.Value))
		}
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("%s: got %q, want %q", c.query, got, c.want)
		}
	}
}

// Day and month rows that are built give the answers that hours gave.
func TestMeterBuiltRollups(t *testing.T) {
	f := filled(t)
	targets := []string{"/api/v1/meters/requests/query?" + all, "/api/v1/meters/requests/query?" + all + "&windowSize=DAY&groupBy=subject",
		"/api/v1/meters/latency/query?" + all + "&windowSize=MONTH", "/api/v1/meters/requests/query?from=2026-02-28T23:00:00Z&to=2026-03-01T05:00:00Z",
		"/api/v1/meters/requests/query", "/v2/summary?begin=2026-02&end=2026-04&groupby=time-d,project_id", "/v2/summary?begin=2026-02&end=2026-04&groupby=time-m"}
	var before []string
	for _, target := range targets {
		before = append(before, f.get(target).Body.String())
	}
	build(f, "2026-02-28T00", "2026-03-01T00")
	for i, target := range targets {
		if got := f.get(target).Body.String(); got != before[i] {
			t.Errorf("%s\n got %s\nwant %s", target, got, before[i])
		}
	}
}

func TestMeterErrors(t *testing.T) {
	f := filled(t)
	for query, field := range map[string]string{
		"from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z":          "from",
		"from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z":          "from",
		"from=2026-03-11T00:00:00Z":                                  "from",
		"from=yesterday":                                             "from",
		"to=2026-03-01T00:00:00 02:00":                               "to",
		"to=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z":            "to",
		all + "&windowSize=day":                                      "windowSize",
		all + "&windowTimeZone=Mars/Olympus":                         "windowTimeZone",
		all + "&windowTimeZone=Local":                                "windowTimeZone",
		all + "&subject=a&subject=b":                                 "subject",
		all + "&groupBy=nope":                                        "groupBy",
		all + "&filterGroupBy[nope]=1":                               "filterGroupBy[nope]",
		all + "&filterGroupBy[subject]=1":                            "filterGroupBy[subject]",
		all + "&groupby=endpoint":                                    "groupby",
		all + "&windowSize=DAY&windowTimeZone=../../etc/passwd":      "windowTimeZone",
		all + "&groupBy=subject" + strings.Repeat("&subject=a", 501): "subject",
	} {
		w := f.get("/api/v1/meters/requests/query?" + strings.ReplaceAll(query, " ", "%20"))
		var problem struct {
			Type, Title, Detail, Field string
			Status                     int
		}
		if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil {
			t.Fatal(err)
		}
		if w.Code != 400 || problem.Status != 400 || problem.Field != field || problem.Detail == "" || problem.Title != "Bad Request" ||
			problem.Type != "about:blank" || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("X-Data-Through") != "" {
			t.Errorf("%s: got %d %s, want a 400 about %s", query, w.Code, w.Body, field)
		}
	}
	for target, part := range map[string]string{
		"/api/v1/meters/nope/query":                        `there is no meter \"nope\"`,
		"/api/v1/meters/nope":                              `there is no meter`,
		"/api/v1/meters/latency/query?groupBy=nope":        "it has subject, api, version, endpoint",
		"/api/v1/meters/emails/query?groupBy=dimensions.x": "it has subject, domain",
		"/api/v1/meters/requests/query?filterGroupBy[x]=y": "it has subject, api, version, endpoint, method, status, region",
	} {
		if w := f.get(target); w.Code < 400 || w.Code > 404 || !strings.Contains(w.Body.String(), part) {
			t.Errorf("%s: got %d %s, want %s", target, w.Code, w.Body, part)
		}
	}
}

func TestMeterCSV(t *testing.T) {
	f := filled(t)
	w := f.get("/api/v1/meters/requests/query?"+all+"&groupBy=subject&groupBy=endpoint", "Accept", "text/csv; charset=utf-8, */*;q=0.1")
	want := `window_start,window_end,subject,endpoint,value
2026-02-01T00:00:00Z,2026-04-01T00:00:00Z,acme,/a,3.5
2026-02-01T00:00:00Z,2026-04-01T00:00:00Z,acme,/b,3
2026-02-01T00:00:00Z,2026-04-01T00:00:00Z,bolt,/a,0.000000001
`
	if got := w.Body.String(); got != want || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") || w.Header().Get("X-Data-Source") != "rollups" {
		t.Errorf("got %s", got)
	}
}

func TestDataThrough(t *testing.T) {
	f := filled(t)
	f.checkpoint(schemas.Partition{Topic: schemas.Usage, ID: 2}, "2026-03-01T00:30:00.25Z", request("2026-03-01T00", "acme", "/a", "200", "1"))
	for target, want := range map[string]string{
		"/api/v1/meters/requests/query?" + all: "2026-03-01T00:30:00.25Z; usage=0:6,1:0,2:1",
		"/api/v1/meters/errors/query?" + all:   "2026-03-01T00:59:59Z; errors=0:1",
		"/api/v1/meters/emails/query?" + all:   "1970-01-01T00:00:00Z",
		"/v2/summary":                          "2026-03-01T00:30:00.25Z; usage=0:6,1:0,2:1",
	} {
		w := f.get(target)
		if got := w.Header().Get("X-Data-Through"); got != want || w.Header().Get("X-Data-Source") != "rollups" {
			t.Errorf("%s: got %s, want %s", target, got, want)
		}
	}
}

func TestMeterRowLimit(t *testing.T) {
	f := filled(t)
	f.server.engine = engine.New(engine.Config{Store: f.store, Archive: f.archive, MaxGroups: 1})
	w := f.get("/api/v1/meters/requests/query?" + all + "&groupBy=endpoint")
	if w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), "more than 1 rows") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestMeterList(t *testing.T) {
	f := newFixture(t)
	var list []meterView
	if err := json.Unmarshal(f.get("/api/v1/meters").Body.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(schemas.Meters) || list[0].GroupBy["region"] != "$.dimensions.region" || list[0].GroupBy["endpoint"] != "$.endpoint" {
		t.Errorf("got %+v", list)
	}
	f.want("/api/v1/meters/latency", 200, `{"slug":"latency","description":"time taken by API requests, in milliseconds","eventType":"api.request",`+
		`"aggregation":"AVG","valueProperty":"$.latency_ms","groupBy":{"api":"$.api","endpoint":"$.endpoint","version":"$.version"},"percentiles":[50,95,99]}`)
}
