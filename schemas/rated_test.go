package schemas

import (
	"testing"
	"time"
)

func TestReadRated(t *testing.T) {
	begin := time.Date(2031, 5, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	cases := []struct {
		data                            string
		metric, unit, groupby, metadata string
		quantity, amount                string
		time                            int64 // 0: that of the event
	}{
		{data: `{"metric":"m","qty":1}`, metric: "m", groupby: "{}", metadata: "[]", quantity: "1", amount: "0"},
		{data: `{"metric":"volume.size","qty":"20.5","unit":"GiB","price":"1.25","begin":"2031-05-01T02:00:00+02:00","end":"2031-05-01T01:00:00Z",
			"groupby":{"project_id":"p","id":"r\"1\\"},"metadata":{"z":"a\nb","a":""},"other":[1,{"metric":2}]}`,
			metric: "volume.size", unit: "GiB", groupby: `{"id":"r\"1\\","project_id":"p"}`, metadata: `["a","z"]`,
			quantity: "20.5", amount: "1.25", time: begin},
		{data: `{"metric":"m","qty":0,"price":-0.0000000015,"unit":null,"groupby":{},"metadata":null,"begin":null,"Qty":5}`,
			metric: "m", groupby: "{}", metadata: "[]", quantity: "0", amount: "-0.000000002"},
		{data: `{"metric":"m","qty":1,"groupby":{"\u00e9":"<&>\u2028"}}`, metric: "m", groupby: "{\"é\":\"<&>\u2028\"}", metadata: "[]", quantity: "1", amount: "0"},
	}
	for _, c := range cases {
		var d Decoder
		var ev Event
		if rejection := d.Decode(Usage, []byte(event(TypeRatedUsage, c.data, `,"time":"2026-01-01T00:00:00Z"`)), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		sent := ev.Time
		if rejection := DefaultRules().Validate(Usage, &ev, sent); rejection != nil {
			t.Errorf("%s: %v", c.data, rejection)
			continue
		}
		r := ev.Rated
		if string(r.Metric) != c.metric || string(r.Unit) != c.unit || string(r.Groupby) != c.groupby || string(r.Metadata) != c.metadata {
			t.Errorf("%s: got %s %s %s %s, want %s %s %s %s", c.data, r.Metric, r.Unit, r.Groupby, r.Metadata, c.metric, c.unit, c.groupby, c.metadata)
		}
		if got, want := ev.Quantity.String()+" "+ev.Amount.String(), c.quantity+" "+c.amount; got != want || !ev.HasQuantity || !ev.HasAmount {
			t.Errorf("%s: got quantity and amount %s, want %s", c.data, got, want)
		}
		if c.time == 0 {
			c.time = sent
		}
		if ev.Time != c.time {
			t.Errorf("%s: got time %d, want %d", c.data, ev.Time, c.time)
		}
	}
}

func TestReadRatedRefuses(t *testing.T) {
	cases := []struct {
		data   string
		reason Reason
		field  string
	}{
		{`{}`, MissingField, "data.metric"},
		{`{"metric":"","qty":1}`, MissingField, "data.metric"},
		{`{"metric":5,"qty":1}`, WrongType, "data.metric"},
		{`{"metric":"a\u0001","qty":1}`, InvalidValue, "data.metric"},
		{`{"metric":"m"}`, MissingField, "data.qty"},
		{`{"metric":"m","qty":null}`, MissingField, "data.qty"},
		{`{"metric":"m","qty":"NaN"}`, WrongType, "data.qty"},
		{`{"metric":"m","qty":"1 "}`, WrongType, "data.qty"},
		{`{"metric":"m","qty":{}}`, WrongType, "data.qty"},
		{`{"metric":"m","qty":1e12}`, OutOfRange, "data.qty"},
		{`{"metric":"m","qty":1,"price":"free"}`, WrongType, "data.price"},
		{`{"metric":"m","qty":1,"unit":1}`, WrongType, "data.unit"},
		{`{"metric":"m","qty":1,"groupby":[]}`, WrongType, "data.groupby"},
		{`{"metric":"m","qty":1,"groupby":{"a":1}}`, WrongType, "data.groupby"},
		{`{"metric":"m","qty":1,"groupby":{"a":"\u0000"}}`, InvalidValue, "data.groupby"},
		{`{"metric":"m","qty":1,"metadata":{"\t":"a"}}`, InvalidValue, "data.metadata"},
		{`{"metric":"m","qty":1,"metadata":{"a":null}}`, WrongType, "data.metadata"},
		{`{"metric":"m","qty":1,"begin":"2019"}`, InvalidValue, "data.begin"},
		{`{"metric":"m","qty":1,"end":5}`, InvalidValue, "data.end"},
		{`{"metric":"m","qty":1,"begin":"1999-01-01T00:00:00Z"}`, TimeTooOld, "time"},
		{`{"metric":"m","qty":1,"status":"much"}`, WrongType, "data.status"},
	}
	for _, c := range cases {
		var d Decoder
		var ev Event
		if rejection := d.Decode(Usage, []byte(event(TypeRatedUsage, c.data, "")), &ev); rejection != nil {
			t.Fatal(rejection)
		}
		got := DefaultRules().Validate(Usage, &ev, 0)
		if got == nil {
			got = &Rejection{}
		}
		if got.Reason != c.reason || got.Field != c.field {
			t.Errorf("%s: got %v, want %s of %s", c.data, got, c.reason, c.field)
		}
	}
}
