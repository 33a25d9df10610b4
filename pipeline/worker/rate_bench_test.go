package worker

import (
	"context"
	"fmt"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// BenchmarkRate is what rating costs a batch per event: without a catalog, of
// accounts that have no customer, and with a price.
func BenchmarkRate(b *testing.B) {
	ctx := context.Background()
	st, err := store.Open(ctx, b.TempDir()+"/tallybook.db", store.Options{Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer st.Close()
	const n = 50_000
	for _, c := range []struct {
		name     string
		make     func() error
		quantity func(i int) schemas.Decimal
	}{
		{"no catalog", func() error { return nil }, nil},
		{"no customer", func() error {
			_, err := st.CreateRoute(ctx, "test", store.Route{API: "shop", Version: "v1",
				Prices: []store.Price{{PricingModel: "plan", Model: "per_unit", Params: []byte(`{"unit_price":"0.0015"}`), EffectiveFrom: day("2026-01-01")}}})
			return err
		}, nil},
		{"priced", func() error {
			_, _, err := st.CreateCustomer(ctx, "test", "key", store.Customer{Account: "acct-1", PricingModel: "plan", Timezone: "UTC", Currency: "EUR"},
				[]store.Subscription{{API: "shop", Version: "v1", StartsAt: day("2026-01-01")}})
			return err
		}, func(int) schemas.Decimal { return schemas.DecimalFromInt(1) }},
		{"priced, other quantities", func() error { return nil }, func(i int) schemas.Decimal { return schemas.Decimal{Units: int64(i % 1000), Nanos: 500_000_000} }},
	} {
		if err := c.make(); err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			p := &partition{cfg: &Config{Store: st, Log: quiet(), prices: &priceSource{}}}
			batch := newBatch(schemas.Partition{Topic: schemas.Usage}, newErrorLog(schemas.Partition{}, 1))
			in := newInterner()
			batch.start(0, in)
			batch.meters.start(schemas.Usage, &store.MeterList{}, in)
			var decoder schemas.Decoder
			var ev schemas.Event
			for i := range n {
				record := fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"s","type":"api.request","subject":"acct-%d","time":"2026-01-01T00:12:31Z",`+
					`"data":{"api":"shop","version":"v1","endpoint":"/orders/%d","method":"GET","status":200,"latency_ms":12.345}}`, i, i%10, i%16)
				if bad := decoder.Decode(schemas.Usage, []byte(record), &ev); bad != nil {
					b.Fatal(bad)
				}
				if c.quantity != nil {
					ev.Quantity = c.quantity(i)
				}
				batch.count(&ev, ev.Subject, int64(i), 0)
			}
			for b.Loop() {
				batch.rates.rated, batch.rates.of = false, batch.rates.of[:0]
				if err := p.rate(ctx, batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
		})
	}
}
