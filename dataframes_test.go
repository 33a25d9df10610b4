package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// frames asks for data frames with a key, and gives what came as a value.
func (s *server) frames(t *testing.T, query, key, account string) (status int, answer any) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url+"/v2/dataframes?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Auth-Token", key)
	if account != "" {
		r.Header.Set("X-Account-ID", account)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	if res.StatusCode == http.StatusOK && (res.Header.Get("X-Data-Source") != "archive" || res.Header.Get("X-Data-Through") == "") {
		t.Errorf("%s: got headers %v", query, res.Header)
	}
	return res.StatusCode, answer
}

// What is pushed comes back: to whom it belongs, in order, by pages.
func TestDataframesComeBack(t *testing.T) {
	s := start(t, "run", t.TempDir())
	own := strings.TrimSpace(tallybook(t, "keys", "create", "--data", s.data, "--role", "account", "--account", "p2").out)
	point := func(qty, price, groupby, metadata string) string {
		return fmt.Sprintf(`{"vol":{"unit":"GiB","qty":%s},"rating":{"price":%s},"groupby":%s,"metadata":%s}`, qty, price, groupby, metadata)
	}
	const first, second = `{"begin":"2019-07-23T12:00:00+00:00","end":"2019-07-23T13:00:00+00:00"}`, `{"begin":"2019-07-23T13:00:00+00:00","end":"2019-07-23T14:00:00+00:00"}`
	a := point("1.5", "0.04", `{"project_id":"p1","id":"a"}`, `{"flavor":"small"}`)
	b := point("2", "0", `{"project_id":"p2","id":"b"}`, `{}`)
	c := point("3", "0.000000001", `{"id":"c"}`, `{"flavor":"large"}`)
	body := fmt.Sprintf(`{"dataframes":[{"period":%s,"usage":{"cpu":[%s]}},{"period":%s,"usage":{"ram":[%s],"cpu":[%s]}}]}`, second, c, first, b, a)
	for range 2 { // the second time is a repeat
		r, err := http.NewRequest(http.MethodPost, s.url+"/v2/dataframes", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Auth-Token", s.key)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", "month 7")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNoContent {
			t.Fatalf("got %s", res.Status)
		}
	}
	s.until(t, "all is counted", func() bool {
		return strings.Contains(s.command(t, "balance").out, "total: records 6 = counted 3 + duplicate 3")
	})
	frame := func(period, usage string) string { return `{"period":` + period + `,"usage":` + usage + `}` }
	want := func(query, key, account string, total int, frames ...string) {
		t.Helper()
		status, got := s.frames(t, query, key, account)
		var is any
		if err := json.Unmarshal(fmt.Appendf(nil, `{"total":%d,"dataframes":[%s]}`, total, strings.Join(frames, ",")), &is); err != nil {
			t.Fatal(err)
		}
		if status != 200 || !reflect.DeepEqual(got, is) {
			t.Errorf("%s: got %d %v, want %v", query, status, got, is)
		}
	}
	const all = "begin=2019-07-01&end=2019-08-01"
	both := frame(first, `{"cpu":[`+a+`],"ram":[`+b+`]}`)
	want(all, s.key, "", 3, both, frame(second, `{"cpu":[`+c+`]}`))
	want(all+"&limit=2", s.key, "", 3, both)
	want(all+"&offset=1&limit=1", s.key, "", 3, frame(first, `{"ram":[`+b+`]}`))
	want(all+"&offset=7", s.key, "", 3)
	want("begin=20190723T130000Z&end=2019-07-23T13:00:01Z", s.key, "", 1, frame(second, `{"cpu":[`+c+`]}`))
	want(all+"&filters=type%3Acpu%2Cflavor%3Asmall%2Cflavor%3Atiny", s.key, "", 1, frame(first, `{"cpu":[`+a+`]}`))
	want(all+"&filter=project_id:p1&filters=id:a", s.key, "", 1, frame(first, `{"cpu":[`+a+`]}`))
	want(all+"&filter=project_id:", s.key, "", 1, frame(second, `{"cpu":[`+c+`]}`))
	want(all, s.key, "p1", 1, frame(first, `{"cpu":[`+a+`]}`))
	want(all+"&filters=project_id:p1", own, "p1", 1, frame(first, `{"ram":[`+b+`]}`)) // replaced, not refused
	for query, status := range map[string]int{"": 404, "begin=2019-07-23&end=2019-07-23": 404, all + "&filters=type:disk": 404, all + "&filters=abc": 400,
		all + "&limit=0": 400, all + "&offset=-1": 400, all + "&groupby=type": 400, all + "&x=1": 400, "begin=soon": 400} {
		if got, answer := s.frames(t, query, s.key, ""); got != status || answer.(map[string]any)["message"] == "" {
			t.Errorf("%s: got %d %v, want %d", query, got, answer, status)
		}
	}
	if _, answer := s.frames(t, "", s.key, ""); answer.(map[string]any)["message"] != "No resource found for provided filters." {
		t.Errorf("nothing found: got %v", answer)
	}
	if status, _ := s.frames(t, all, "nobody's", ""); status != http.StatusUnauthorized {
		t.Errorf("bad key: got %d", status)
	}
	s.command(t, "verify").want(t, 0)
	s.command(t, "balance").want(t, 0)
}
