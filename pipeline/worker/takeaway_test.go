package worker

import (
	"fmt"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// Whatever was accepted can be taken away: its rows' images are read back, and
// leave nothing in any series.
func TestTakeAwayOfOddEvents(t *testing.T) {
	const request = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":"api.request","time":"2020-02-29T23:59:59.999999Z","data":`
	const rated = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":"rated.usage","data":`
	const mail = `{"specversion":"1.0","id":"1","source":"s","subject":"acme","type":`
	meters := func(topic schemas.Topic, eventType string) *store.MeterList {
		list := &store.MeterList{}
		for i, value := range []string{"$.latency_ms", "$.quantity", "$.note.x[0]", "$.dimensions.region", "$.status", "$.qty"} {
			for _, a := range []schemas.Aggregation{schemas.Sum, schemas.UniqueCount, schemas.Percentile} {
				d := schemas.MeterDefinition{Slug: fmt.Sprintf("m%d_%s", i, map[schemas.Aggregation]string{schemas.Sum: "s", schemas.UniqueCount: "u", schemas.Percentile: "p"}[a]),
					EventType: eventType, Aggregation: a, ValueProperty: value,
					GroupBy: map[string]string{"region": "$.dimensions.region", "tier": "$.dimensions['a b']", "note": "$.note.y", "reason": "$.reason"}}
				if a == schemas.Percentile {
					d.Percentiles = []float64{50}
				}
				m, err := schemas.NewMeter(d, 1)
				if err != nil {
					t.Fatal(err)
				}
				list.Meters = append(list.Meters, m)
			}
		}
		return list
	}
	for _, c := range []struct {
		topic  schemas.Topic
		kind   string
		record string
	}{
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{"a":""}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{"region":"","a b":"\u00e9\"\\"}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":null}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{"\u0072egion":"eu"}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{"Region":"EU"}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"dimensions":{"region":"\ud83d\ude00"}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/<&>\u2028","status":200,"method":"","api":null,"latency_ms":-0.0,"bytes":0,"quantity":-0.0000000005}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"latency_ms":1e-320,"bytes":999999999999,"quantity":999999999999.9999999991}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"latency_ms":0.12345678912345678,"quantity":"12"}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"latency_ms":123456789012.3456789,"quantity":1e-9}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":"200","latency_ms":null,"bytes":"7","note":{"x":["1.5",null],"y":"\ud83d\ude00"}}}`},
		{schemas.Usage, "api.*", request + `{"endpoint":"/","status":200,"note":{"x":[1e400],"y":"<&>"},"note2":"\u0000"}}`},
		{schemas.Usage, "rated.usage", rated + `{"metric":"cpu","qty":"1e-3","price":"-0.5","begin":"2030-05-01T00:00:00Z","groupby":{"b":"\ud83d\ude00","a":"<&>"},"metadata":{"m":"\"","M":"x"}}}`},
		{schemas.Usage, "rated.usage", rated + `{"metric":"cpu","qty":1,"begin":"2019-05-01T00:00:00Z","unit":"","groupby":{}}}`},
		{schemas.Usage, "rated.usage", rated + `{"metric":"cpu","qty":1,"begin":"2019-05-01T00:00:00.5+05:30","groupby":{"a":"1","A":"2"},"Groupby":{"x":"1"},"Qty":3}}`},
		{schemas.Usage, "rated.usage", rated + `{"Metric":"x","metric":"cpu","Unit":"y","qty":1,"begin":"2019-05-01T00:00:00Z","METADATA":{"a":"b"}}}`},
		{schemas.Emails, "email.*", mail + `"email.failed","time":"2019-05-01T00:00:00Z","data":{"domain":"D.","severity":"Temporary","reason":"\u00e9","flags":{"is-delayed-bounce":true}}}`},
		{schemas.Emails, "email.*", mail + `"email.accepted","time":"2019-05-01T00:00:00Z","data":{"domain":"D.","flags":{"is-authenticated":false},"status":1,"latency_ms":"x"}}`},
		{schemas.Emails, "email.*", mail + `"mandrill.webhook","data":{"event":"inbound","ts":1548115212,"msg":{"email":"in@D.","text":"\ud83d\ude00"}}}`},
		{schemas.Emails, "email.*", mail + `"mandrill.webhook","data":{"event":"hard_bounce","ts":1548115212.5,"_id":"x","msg":{"sender":"a@d","bounce_description":"bad_mailbox"}}}`},
	} {
		tp := schemas.Partition{Topic: c.topic}
		b := newBatch(tp, newErrorLog(tp, 1))
		in := newInterner()
		b.start(0, in)
		b.meters.start(c.topic, meters(c.topic, c.kind), in)
		var d schemas.Decoder
		var ev schemas.Event
		why := d.Decode(c.topic, []byte(c.record), &ev)
		if why == nil {
			why = schemas.DefaultRules().Validate(c.topic, &ev, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
		}
		if why != nil {
			t.Errorf("%s: %v", c.record, why)
			continue
		}
		b.count(&ev, ev.Subject, 1, 0)
		b.rows.Dict = in.strings
		for i := range b.rows.Len() {
			if _, err := b.takeAway(b.rows.Image(i), archive.Address{ID: []byte("fix"), Source: []byte("s"), TargetID: []byte("1"), Offset: 2, Row: int32(i), Sign: -1}); err != nil {
				t.Errorf("%s: %v", c.record, err)
			}
		}
		var cp store.Checkpoint
		packer := &sketchPacker{}
		b.cells.appendTo(&cp, in.strings)
		if b.rated != nil {
			b.rated.appendTo(&cp, in.strings)
		}
		b.meters.appendTo(&cp, packer, in.strings)
		if b.latencies != nil {
			b.latencies.appendTo(&cp, packer, in.strings)
		}
		packer.appendTo(&cp)
		for _, x := range cp.Deltas {
			x.ValueMin, x.ValueMax = schemas.Decimal{}, schemas.Decimal{}
			if x.Measures != (schemas.Measures{}) {
				t.Errorf("%s: %s %q keeps %+v", c.record, cp.Series[x.Series].Family, cp.Series[x.Series].Dims, x.Measures)
			}
		}
		if len(cp.Sketches) > 0 {
			t.Errorf("%s: sketches %+v are left", c.record, cp.Sketches)
		}
	}
}
