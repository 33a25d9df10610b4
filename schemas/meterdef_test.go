package schemas

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func order(aggregation Aggregation, value string) MeterDefinition {
	return MeterDefinition{Slug: "orders_1", EventType: "order.placed", Aggregation: aggregation, ValueProperty: value}
}

func TestMeterDefinitionCheck(t *testing.T) {
	many := map[string]string{}
	for i := range MaxGroupBy + 1 {
		many[fmt.Sprintf("n%d", i)] = "$.x"
	}
	with := func(d MeterDefinition, change func(*MeterDefinition)) MeterDefinition {
		change(&d)
		return d
	}
	for _, test := range []struct {
		name, field string // field "": good
		def         MeterDefinition
	}{
		{"count", "", order(Count, "")},
		{"sum", "", order(Sum, "$.x")},
		{"percentile", "", with(order(Percentile, "$.x"), func(d *MeterDefinition) { d.Percentiles = []float64{0, 99.9, 100} })},
		{"prefix", "", with(order(Count, ""), func(d *MeterDefinition) { d.EventType = "email.*" })},
		{"grouped", "", with(order(Count, ""), func(d *MeterDefinition) {
			d.GroupBy = map[string]string{"a_1": "$['b c'][0]", "statusCode": "$.statusCode"}
		})},
		{"no slug", "slug", with(order(Count, ""), func(d *MeterDefinition) { d.Slug = "" })},
		{"upper case", "slug", with(order(Count, ""), func(d *MeterDefinition) { d.Slug = "Orders" })},
		{"hyphen", "slug", with(order(Count, ""), func(d *MeterDefinition) { d.Slug = "a-b" })},
		{"long slug", "slug", with(order(Count, ""), func(d *MeterDefinition) { d.Slug = strings.Repeat("a", MaxSlug+1) })},
		{"no type", "eventType", with(order(Count, ""), func(d *MeterDefinition) { d.EventType = "" })},
		{"all types", "eventType", with(order(Count, ""), func(d *MeterDefinition) { d.EventType = ".*" })},
		{"star within", "eventType", with(order(Count, ""), func(d *MeterDefinition) { d.EventType = "a.*.b" })},
		{"retractions", "eventType", with(order(Count, ""), func(d *MeterDefinition) { d.EventType = TypeRetracted })},
		{"no aggregation", "aggregation", order("", "")},
		{"median", "aggregation", order("MEDIAN", "$.x")},
		{"count of a value", "valueProperty", order(Count, "$.x")},
		{"sum of nothing", "valueProperty", order(Sum, "")},
		{"sum of no path", "valueProperty", order(Sum, "x")},
		{"percentiles of a sum", "percentiles", with(order(Sum, "$.x"), func(d *MeterDefinition) { d.Percentiles = []float64{50} })},
		{"no percentiles", "percentiles", order(Percentile, "$.x")},
		{"percentile 101", "percentiles", with(order(Percentile, "$.x"), func(d *MeterDefinition) { d.Percentiles = []float64{50, 101} })},
		{"percentile twice", "percentiles", with(order(Percentile, "$.x"), func(d *MeterDefinition) { d.Percentiles = []float64{50, 50} })},
		{"too many groups", "groupBy", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = many })},
		{"group name", "groupBy", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = map[string]string{"a b": "$.x"} })},
		{"empty group name", "groupBy", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = map[string]string{"": "$.x"} })},
		{"group name of signs", "groupBy", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = map[string]string{"a@b": "$.x"} })},
		{"group by subject", "groupBy", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = map[string]string{"subject": "$.x"} })},
		{"group path", "groupBy.a", with(order(Count, ""), func(d *MeterDefinition) { d.GroupBy = map[string]string{"a": "$..x"} })},
	} {
		var bad *FieldError
		err := test.def.Check()
		if errors.As(err, &bad) != (test.field != "") || bad != nil && bad.Field != test.field {
			t.Errorf("%s: got %v, want an error of %q", test.name, err, test.field)
		}
	}
}

func TestParsePath(t *testing.T) {
	const data = `{"a":{"b":[10,{"c":"x"},"y"]},"a b":1,"it's":2,"q\"t":3,"\u00e9":4,"user-id":5,"n":null,"o":{},"t":true,"é2":{"z":[[7]]}}`
	for path, want := range map[string]string{
		"$.a.b[0]": "10", "$.a.b[1].c": "x", "$.a.b[-1]": "y", "$.a.b[-3]": "10", "$['a b']": "1", `$["a b"]`: "1",
		`$['it\'s']`: "2", `$["it's"]`: "2", `$['q"t']`: "3", `$["q\"t"]`: "3", "$.é": "4", `$['\u00e9']`: "4", "$.user-id": "5",
		"$.t": "true", "$.é2.z[0][0]": "7", "$['a']['b'][2]": "y",
		"$.n": "", "$.o": "", "$.a": "", "$.a.b": "", "$.a.b[3]": "", "$.a.b[-4]": "", "$.missing": "", "$.t.x": "", "$.a.b.c": "", "$.o[0]": "", "$.o.x": "",
	} {
		p, err := ParsePath(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		var s scanner
		if got, _ := s.find([]byte(data), p.steps); string(got) != want {
			t.Errorf("%s = %q, want %q", path, got, want)
		}
	}
	for _, path := range []string{"", "$", "a", "$.", "$a", "$..a", "$.*", "$[0]", "$.a[", "$.a[x]", "$.a[01]", "$.a[1:2]", "$.a[*]", "$['a'", "$['a", "$.a[?@.b]",
		"$.1a", "$.a b", "$['a','b']", `$['\x']`, "$." + strings.Repeat("a", MaxPath)} {
		if p, err := ParsePath(path); err == nil {
			t.Errorf("%q is taken as %v", path, p.steps)
		}
	}
}

// read decodes an event and reads it with a meter.
func read(t *testing.T, d MeterDefinition, eventType, data string) (MeterValue, []string) {
	t.Helper()
	m, err := NewMeter(d, 1)
	if err != nil {
		t.Fatal(err)
	}
	var decoder Decoder
	var ev Event
	record := fmt.Sprintf(`{"specversion":"1.0","id":"1","source":"s","subject":"a","type":%q,"data":%s}`, eventType, data)
	if bad := decoder.Decode(m.Family.Topic, []byte(record), &ev); bad != nil {
		t.Fatal(bad)
	}
	r := NewMeterReader(&m)
	dims := SplitDims(string(r.AppendDims(nil, &ev)), nil)
	return r.Value(&ev), dims
}

func TestMeterValue(t *testing.T) {
	for _, test := range []struct {
		path, data, want string // want "": not counted
		problem          Reason
	}{
		{"$.x", `{"x":12.5}`, "12.5", ""},
		{"$.x", `{"x":"100"}`, "100", ""},
		{"$.x", `{"x":"-1e3"}`, "-1000", ""},
		{"$.x", `{"x":0.1234567895}`, "0.12345679", ""}, // half even
		{"$.x", `{"x":999999999999.999999999}`, "999999999999.999999999", ""},
		{"$.x", `{"x":1000000000000}`, "", OutOfRange},
		{"$.x", `{"x":"1e12"}`, "", OutOfRange},
		{"$.x", `{"x":"NaN"}`, "", WrongType},
		{"$.x", `{"x":"Infinity"}`, "", WrongType},
		{"$.x", `{"x":"12 apples"}`, "", WrongType},
		{"$.x", `{"x":true}`, "", WrongType},
		{"$.x", `{"x":null}`, "", ""},
		{"$.x", `{"x":""}`, "", ""},
		{"$.x", `{"x":{"y":1}}`, "", ""},
		{"$.x", `{}`, "", ""},
		{"$.x", `{"y":1}`, "", ""},
		{"$.x.y[1]", `{"x":{"y":[1,2]}}`, "2", ""},
		{"$.latency_ms", `{"latency_ms":1.5}`, "1.5", ""},
		{"$.latency_ms", `{"latency_ms":"NaN"}`, "", WrongType},
		{"$.latency_ms", `{"latency_ms":-1}`, "-1", ""}, // does not fit the column, so it stands in the rest
		{"$.status", `{"status":404}`, "404", ""},
		{"$.bytes", `{"bytes":"7"}`, "7", ""},
		{"$.quantity", `{"quantity":2.5}`, "2.5", ""},
		{"$.quantity", `{}`, "", ""}, // 1 is what a request is taken for that names none
		{"$.dimensions.tokens", `{"dimensions":{"tokens":"41"}}`, "41", ""},
		{"$.dimensions.tokens", `{"dimensions":{"tokens":41}}`, "41", ""}, // no object of strings
		{"$.endpoint", `{"endpoint":"12"}`, "12", ""},
		{"$.endpoint", `{"endpoint":12}`, "12", ""},
		{"$.endpoint.id", `{"endpoint":{"id":3}}`, "3", ""},
	} {
		got, _ := read(t, order(Sum, test.path), "order.placed", test.data)
		text := ""
		if got.Has {
			text = got.Number.String()
		}
		if text != test.want || got.Problem != test.problem {
			t.Errorf("%s of %s = %q (%s), want %q (%s)", test.path, test.data, text, got.Problem, test.want, test.problem)
		}
	}
}

func TestUniqueValue(t *testing.T) {
	for data, want := range map[string]string{`{"x":"u1"}`: "u1", `{"x":17}`: "17", `{"x":false}`: "false",
		`{"x":null}`: "-", `{"x":"nan"}`: "-", `{"x":""}`: "-", `{}`: "-", `{"x":[]}`: "-"} {
		got, _ := read(t, order(UniqueCount, "$.x"), "order.placed", data)
		text := "-"
		if got.Has {
			text = string(got.Text)
		}
		if text != want {
			t.Errorf("value of %s = %q, want %q", data, text, want)
		}
	}
	if got, _ := read(t, order(UniqueCount, "$.status"), "order.placed", `{"status":200}`); string(got.Text) != "200" {
		t.Errorf("value of a status = %q", got.Text)
	}
}

func TestMeterDims(t *testing.T) {
	long := strings.Repeat("x", MaxString+1)
	d := order(Count, "")
	d.GroupBy = map[string]string{"z": "$.api", "a": "$.status", "m": "$.latency_ms", "n": "$.plan.name", "o": "$.on", "p": "$.n", "l": "$.long", "k": "$.list"}
	_, got := read(t, d, "order.placed", `{"api":"web","status":200,"latency_ms":12.50,"plan":{"name":"é\n"},"on":true,"n":1e2,"long":"`+long+`","list":[1]}`)
	want := []string{"200", "", OtherDimension, "12.5", "é\n", "true", "1e2", "web"} // a k l m n o p z
	if !slices.Equal(got, want) {
		t.Errorf("dims %q, want %q", got, want)
	}
	d = MeterDefinition{Slug: "m", EventType: "email.*", Aggregation: Count, GroupBy: map[string]string{"event": "$.event", "tag": "$.tags[0]"}}
	if _, got = read(t, d, "email.opened", `{"domain":"d","tags":["t1"]}`); !slices.Equal(got, []string{"opened", "t1"}) {
		t.Errorf("dims of an e-mail %q", got)
	}
}

func TestMatchesType(t *testing.T) {
	for _, test := range []struct {
		pattern, eventType string
		want               bool
	}{
		{"order", "order", true}, {"order", "order.placed", false}, {"order.*", "order.placed", true}, {"order.*", "order", false},
		{"order.*", "orders.x", false}, {"event.*", TypeRetracted, false}, {"email.*", "email.opened", true},
	} {
		if got := MatchesType(test.pattern, test.eventType); got != test.want {
			t.Errorf("%s matches %s: %v", test.pattern, test.eventType, got)
		}
	}
	for eventType, want := range map[string]Topic{TypeRequest: Usage, TypeAPIError: Errors, "email.*": Emails, "email.opened": Emails, "order": Usage, TypeAppEvent: Usage} {
		if got := MeterTopic(eventType); got != want {
			t.Errorf("topic of %s = %s, want %s", eventType, got, want)
		}
	}
}
