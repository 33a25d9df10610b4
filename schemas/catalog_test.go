package schemas

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestCheckPrice(t *testing.T) {
	for _, c := range []struct {
		model, params string
		want          []string // fields at fault
	}{
		{"flat", `{"amount":"100"}`, nil},
		{"flat", `{"amount":100.5,"minimum_amount":"1","note":"kept as it is"}`, nil},
		{"flat", `{}`, []string{"p.params.amount"}},
		{"per_unit", `{"unit_price":"-0.01"}`, []string{"p.params.unit_price"}},
		{"per_unit", `{"unit_price":"0.01","currency_precision":12}`, []string{"p.params.currency_precision"}},
		{"graduated", `{"tiers":[{"up_to":"5","flat_fee":"100"},{"up_to":"10.5"},{"up_to":null,"unit_price":"5"}]}`, nil},
		{"graduated", `{"tiers":[{"up_to":"5"},{"up_to":"5"},{"up_to":null}]}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[{"up_to":"5"}]}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[{"up_to":null},{"up_to":null}]}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[]}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[{"up_to":null,"unit_price":"free"}]}`, []string{"p.params.tiers"}},
		{"package", `{"package_size":"10","package_price":"15","free_units":"5"}`, nil},
		{"package", `{"package_size":"0","package_price":"15"}`, []string{"p.params.package_size"}},
		{"percentage", `{"rate_percent":"2.9"}`, nil},
		{"percentage_per_event", `{"rate_percent":"2.99","min_per_event":"1.75","max_per_event":"12"}`, nil},
		{"graduated_percentage", `{"tiers":[{"up_to":null,"rate_percent":"3"}]}`, nil},
		{"free", `{}`, []string{"p.model"}},
		{"flat", `[]`, []string{"p.params"}},
		{"flat", `null`, []string{"p.params"}},
		{"flat", ``, []string{"p.params"}},
	} {
		var got []string
		for _, p := range CheckPrice("p.", c.model, json.RawMessage(c.params)) {
			got = append(got, p.Field)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %s: got faults of %q, want %q", c.model, c.params, got, c.want)
		}
	}
}

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
