package query

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// build builds the day and month rows of the days.
func build(f *fixture, days ...string) {
	f.t.Helper()
	for _, res := range []store.Resolution{store.Daily, store.Monthly} {
		for _, day := range days {
			if err := f.store.BuildRollups(f.t.Context(), res, hourAt(day).Day()); err != nil {
				f.t.Fatal(err)
			}
		}
	}
}

func summaryFixture(t *testing.T) *fixture {
	f := newFixture(t)
	priced := request("2019-05-01T00", "proj-a", "/a", "200", "2.5")
	priced.Amount = dec("0.25")
	f.checkpoint(usage0, "2026-03-01T00:00:00Z",
		priced,
		request("2019-05-01T01", "proj-a", "/b", "200", "20"),
		request("2019-05-02T00", "proj-b", "/a", "404", "1"),
		request("2019-06-01T00", "proj-b", "/a", "200", "100"),
		request("2026-03-10T12", "proj-now", "/a", "200", "7"))
	f.checkpoint(schemas.Partition{Topic: schemas.Errors, ID: 0}, "2026-03-01T00:00:00Z", // not billable
		fact{family: schemas.FamilyError, at: "2019-05-01T00", account: "proj-a", dims: []string{"", "", "", "500", ""}, Measures: schemas.Measures{Count: 9}})
	return f
}

func TestSummary(t *testing.T) {
	f := summaryFixture(t)
	const may = `"2019-05-01T00:00:00+00:00","2019-06-01T00:00:00+00:00"`
	const head = `"begin","end","qty","rate"`
	const empty = `{"total":0,"columns":[],"results":[],"format":"table"}`
	table := func(total, columns, results string) string {
		return `{"total":` + total + `,"columns":[` + head + columns + `],"results":[` + results + `],"format":"table"}`
	}
	for query, want := range map[string]string{
		"begin=2019-05&end=2019-06": table("1", "", `[`+may+`,23.5,0.25]`),
		"begin=2019-05-01+00%3A00%3A00%2B00%3A00&end=20190601T000000Z&groupby=project_id%2Cendpoint": table("3", `,"project_id","endpoint"`,
			`[`+may+`,2.5,0.25,"proj-a","/a"],[`+may+`,20,0,"proj-a","/b"],[`+may+`,1,0,"proj-b","/a"]`),
		"begin=2019-05&end=2019-06&groupby=endpoint&groupby=project_id&limit=1&offset=1": table("3", `,"endpoint","project_id"`, `[`+may+`,1,0,"/a","proj-b"]`),
		"begin=2019-05&end=2019-06&groupby=type&response_format=object": `{"total":1,"results":[{"begin":"2019-05-01T00:00:00+00:00","end":"2019-06-01T00:00:00+00:00",` +
			`"qty":23.5,"rate":0.25,"type":"requests"}],"format":"object"}`,
		"begin=2019-05&end=2019-06&groupby=nope":                              table("1", `,"nope"`, `[`+may+`,23.5,0.25,""]`),
		"begin=2019-05&end=2019-06&groupby=begin&response_format=object":      `{"total":1,"results":[{"begin":"2019-05-01T00:00:00+00:00","end":"2019-06-01T00:00:00+00:00","qty":23.5,"rate":0.25}],"format":"object"}`,
		"begin=2019-05&end=2019-06&groupby=time-odd-x":                        table("1", `,"time-odd-x"`, `[`+may+`,23.5,0.25,""]`),
		"begin=2019-05&end=2019-06&filters=project_id:proj-a,endpoint:/b":     table("1", "", `[`+may+`,20,0]`),
		"begin=2019-05&end=2019-06&filter=endpoint:/b&filters=endpoint:/a":    table("1", "", `[`+may+`,23.5,0.25]`),
		"begin=2019-05&end=2019-06&filters=type:requests,type:other":          table("1", "", `[`+may+`,23.5,0.25]`),
		"begin=2019-05&end=2019-06&filters=region:":                           table("1", "", `[`+may+`,23.5,0.25]`),
		"begin=2019-05&end=2019-06&filters=nope:":                             table("1", "", `[`+may+`,23.5,0.25]`),
		"begin=2019-05&end=2019-06&filters=day_of_the_year:122":               table("1", "", `[`+may+`,1,0]`),
		"begin=2019-05&end=2019-06&groupby=time-d,project_id":                 table("2", `,"day_of_the_year","project_id"`, `[`+may+`,22.5,0.25,"121","proj-a"],[`+may+`,1,0,"122","proj-b"]`),
		"begin=2019-05&end=2019-06&filters=type:errors":                       empty,
		"begin=2019-05&end=2019-06&filters=nope:x":                            empty,
		"begin=2019-05&end=2019-06&filters=project_id:nothing":                empty,
		"begin=2019-06&end=2019-05":                                           empty,
		"begin=2019-05&end=2019-05":                                           empty,
		"begin=2017-01-01&end=2017-01-02&groupby=type":                        empty,
		"begin=2017-01-01&end=2017-01-02&groupby=type&response_format=object": `{"total":0,"results":[],"format":"object"}`,
		"begin=2019-05&end=2019-06&groupby=endpoint&offset=50":                `{"total":2,"columns":[],"results":[],"format":"table"}`,
		"begin=2019-05-01T00:30:00Z&end=2019-05-01T02:00:00Z":                 table("1", "", `["2019-05-01T00:30:00+00:00","2019-05-01T02:00:00+00:00",20,0]`),
		"begin=2019-05-01&end=2019-05-01T00:30":                               table("1", "", `["2019-05-01T00:00:00+00:00","2019-05-01T00:30:00+00:00",2.5,0.25]`),
		"begin=2019-05-01T00:00:00&end=2019-05-01T02:00:00&groupby=time":      table("2", "", `["2019-05-01T00:00:00+00:00","2019-05-01T01:00:00+00:00",2.5,0.25],["2019-05-01T01:00:00+00:00","2019-05-01T02:00:00+00:00",20,0]`),
		"begin=2019-05&end=2019-07&groupby=time-m":                            table("2", `,"month"`, `["2019-05-01T00:00:00+00:00","2019-07-01T00:00:00+00:00",23.5,0.25,"5"],["2019-05-01T00:00:00+00:00","2019-07-01T00:00:00+00:00",100,0,"6"]`),
		"begin=2019&end=2020&groupby=time-y,month&filters=month:6":            table("1", `,"year","month"`, `["2019-01-01T00:00:00+00:00","2020-01-01T00:00:00+00:00",100,0,"2019","6"]`),
		"":                   table("1", "", `["2026-03-01T00:00:00+00:00","2026-04-01T00:00:00+00:00",7,0]`),
		"groupby=project_id": table("1", `,"project_id"`, `["2026-03-01T00:00:00+00:00","2026-04-01T00:00:00+00:00",7,0,"proj-now"]`),
	} {
		f.want("/v2/summary?"+query, 200, want)
	}
}

func TestSummaryRefuses(t *testing.T) {
	f := summaryFixture(t)
	for _, query := range []string{"limit=0", "foo=bar", "begin=not-a-date", "filters=abc", "response_format=xml", "%zz=1"} {
		w := f.get("/v2/summary?" + query)
		var body map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
			t.Fatal(err)
		}
		if w.Code != 400 || len(body) != 1 || body["message"] == "" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: got %d %s", query, w.Code, w.Body)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions} {
		w := f.do(method, "/v2/summary")
		if w.Code != 405 || w.Header().Get("Allow") != "GET" || !strings.HasPrefix(w.Body.String(), `{"message":`) {
			t.Errorf("%s: got %d %s", method, w.Code, w.Body)
		}
	}
	if w := f.do(http.MethodHead, "/v2/summary"); w.Code != 200 {
		t.Errorf("HEAD: got %d", w.Code)
	}
	if w := f.get("/v2/summary/"); w.Code != 404 {
		t.Errorf("trailing slash: got %d", w.Code)
	}
}
