package worker

import (
	"fmt"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// BenchmarkMeterFold is what an event costs in the fold, with meters of another
// type and with meters that count it.
func BenchmarkMeterFold(b *testing.B) {
	for _, n := range []int{0, 1, 4} {
		for _, kind := range []string{"another", schemas.TypeRequest} {
			b.Run(fmt.Sprintf("%d meters of %s", n, kind), func(b *testing.B) {
				list := &store.MeterList{}
				for i := range n {
					m, err := schemas.NewMeter(schemas.MeterDefinition{Slug: fmt.Sprint("m", i), EventType: kind, Aggregation: schemas.Sum,
						ValueProperty: "$.size.total", GroupBy: map[string]string{"endpoint": "$.endpoint", "plan": "$.plan"}}, 1)
					if err != nil {
						b.Fatal(err)
					}
					list.Meters = append(list.Meters, m)
				}
				var decoder schemas.Decoder
				var ev schemas.Event
				record := []byte(`{"specversion":"1.0","id":"9f1c2d3e-9c1d-4d0b-8a39-0123456789ab","source":"gateway-1","type":"api.request","subject":"acct-17",` +
					`"time":"2026-01-01T00:12:31.123456Z","data":{"api":"orders","version":"v1","endpoint":"/orders","method":"GET","status":200,"latency_ms":12.345,` +
					`"bytes":5120,"plan":"pro","size":{"total":12.5}}}`)
				if bad := decoder.Decode(schemas.Usage, record, &ev); bad != nil {
					b.Fatal(bad)
				}
				in := newInterner()
				batch := newBatch(schemas.Partition{Topic: schemas.Usage}, newErrorLog(schemas.Partition{}, 1))
				batch.start(0, in)
				batch.meters.start(schemas.Usage, list, in)
				account := in.code([]byte("acct-17"))
				row := batch.appendRow(&batch.rows, &ev, account, 0, 0)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					batch.fold(&batch.rows, row, &ev, 1)
					if i%65536 == 0 {
						batch.latencies.reset()
					}
				}
			})
		}
	}
}
