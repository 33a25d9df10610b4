package collector

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"tallybook/schemas"
)

// What the quick reader takes, encoding/json takes for the same.
func FuzzParseChecks(f *testing.F) {
	for _, body := range []string{ordersCheck, "[" + ordersCheck + ", " + ordersCheck + " ]\n", `[{"apiKey":"k","apiversion":"v1","endPointName":"/a b"}]`,
		`{}`, `[]`, `[ ]`, `{"apiName":"a",}`, `{"apiName":"a" "apiversion":"b"}`, `{,}`, `[,]`, `[{}{}]`, `{} {}`, `{"apiName":"\u00e9"}`, `{"apiName":"é"}`,
		`{"apiName":"a","apiName":"b"}`, `{"APINAME":"a"}`, `{"apiName":null}`, `{"apiName":1}`, `[{"x":"y"}]`, "{\"apiName\":\"\x01\"}", `{"apiKey":"a"`, `[`, ``, `"`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var one, wantOne check
		if parseCheck(body, &one) {
			if err := decodeChecks(body, &wantOne); err != nil || !reflect.DeepEqual(one, wantOne) {
				t.Errorf("got %+v, want %+v, %v", one, wantOne, err)
			}
		}
		var want []check
		if got, ok := parseChecks(body); ok {
			if err := decodeChecks(body, &want); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v, %v", got, want, err)
			}
		}
	})
}

// The usual bodies are read the quick way.
func TestParseChecksTakesTheUsual(t *testing.T) {
	var k check
	if !parseCheck(" {\n \"apiName\" : \"shop\", \"apiversion\":\"v1\",\t\"endPointName\":\"/orders/{id}\"}\r\n", &k) || k.Endpoint != "/orders/{id}" {
		t.Errorf("got %+v", k)
	}
	if got, ok := parseChecks(`[{"apiKey":"k","apiversion":"v1","endPointName":"/a"}, {"apiKey":"l","apiversion":"v1","endPointName":"/b"}]`); !ok || len(got) != 2 || *got[1].APIKey != "l" {
		t.Errorf("got %+v, %v", got, ok)
	}
}

func TestVerdictIsJSON(t *testing.T) {
	type answer struct {
		Allowed      bool             `json:"allowed"`
		Reason       string           `json:"reason,omitempty"`
		Customer     *string          `json:"customer"`
		Subscription *string          `json:"subscription"`
		Limit        *schemas.Decimal `json:"limit"`
		Used         schemas.Decimal  `json:"used"`
		Remaining    *schemas.Decimal `json:"remaining"`
		ResetsAt     *time.Time       `json:"resets_at"`
	}
	name, odd := "c1", "\"<é\x00\xff"
	limit, used, rest := schemas.DecimalFromInt(10), schemas.Decimal{Units: 9, Nanos: 500_000_000}, schemas.Decimal{Nanos: 500_000_000}
	resets := time.Date(2026, 3, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		v    verdict
		want answer
	}{
		{verdict{}, answer{}},
		{verdict{Allowed: true, Customer: name, Subscription: odd}, answer{Allowed: true, Customer: &name, Subscription: &odd}},
		{verdict{Reason: quotaExceeded, Customer: name, Subscription: name, HasQuota: true, Limit: limit, Used: used, Remaining: rest, ResetsAt: resets},
			answer{Reason: quotaExceeded, Customer: &name, Subscription: &name, Limit: &limit, Used: used, Remaining: &rest, ResetsAt: &resets}},
		{verdict{Allowed: true, HasQuota: true, Limit: limit}, answer{Allowed: true, Limit: &limit, Remaining: &schemas.Decimal{}}},
	} {
		want, err := json.Marshal(c.want)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(c.v.append(nil)); got != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
