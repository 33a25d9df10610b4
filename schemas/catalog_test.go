package schemas

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestCheckQuota(t *testing.T) {
	for _, c := range []struct {
		quota string
		want  []string
	}{
		{`{"limit":1000,"period":"month"}`, nil},
		{`{"limit":"1000.5","period":"0 6 * * 1","hard":false,"thresholds":[50]}`, nil},
		{`{"limit":0,"period":"hour","thresholds":[]}`, nil},
		{`{"period":"day"}`, []string{"q.limit"}},
		{`{"limit":-1,"period":"week"}`, []string{"q.limit", "q.period"}},
		{`{"limit":1,"period":"@daily"}`, []string{"q.period"}},
		{`{"limit":1,"period":"TZ=UTC 0 6 * * 1"}`, []string{"q.period"}},
		{`{"limit":1,"period":"day","thresholds":[80,80]}`, []string{"q.thresholds"}},
		{`{"limit":1,"period":"day","thresholds":[0]}`, []string{"q.thresholds"}},
	} {
		var q Quota
		if err := json.Unmarshal([]byte(c.quota), &q); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range q.Check("q.") {
			got = append(got, p.Field)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got faults of %q, want %q", c.quota, got, c.want)
		}
	}
	q := Quota{Limit: "1", Period: "day"}
	if q.Check(""); q.Hard == nil || !*q.Hard || !reflect.DeepEqual(q.Thresholds, []int{80, 100}) {
		t.Errorf("defaults: got %+v", q)
	}
}

func TestRefusal(t *testing.T) {
	want := Refusal{Endpoint: "/v1/usage", Reason: UnknownKey, Field: "apiKey", Message: `"who"`}
	if got, ok := ParseRefusal(want.Text()); !ok || got != want {
		t.Errorf("got %+v, %v", got, ok)
	}
	for _, text := range []string{"", "{", "{}", `{"endpoint":"/x"}`, `{"endpoint":"/x","reason":"Bad Reason"}`, `{"reason":"unknown_key"}`} {
		if got, ok := ParseRefusal([]byte(text)); ok {
			t.Errorf("%s: got %+v", text, got)
		}
	}
}
