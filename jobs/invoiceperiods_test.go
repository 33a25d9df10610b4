package jobs

import (
	"encoding/json"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// Months in the customer's zone, at a change of the zone, of the price and of
// the subscription: no instant is billed twice or left out.
func TestInvoicePeriods(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-06-01T00:00:00Z"
	c := r.newCustomer("Kol", "Asia/Kolkata", "USD")
	r.write(usage0, []event{
		r.use(c, "2025-12-31T18:29:59.999999Z", "/b", "1"), // December in Kolkata: no subscription yet
		r.use(c, "2025-12-31T18:30:00Z", "/b", "2"),
		r.use(c, "2026-01-31T18:29:59.999999Z", "/b", "4"),
		r.use(c, "2026-01-31T18:30:00Z", "/b", "8"),
		r.use(c, "2026-02-28T22:59:59.999999Z", "/b", "16"),
		r.use(c, "2026-02-28T23:00:00Z", "/b", "32"),
	}, nil, 0)
	january := find(t, onlyOf(r.bill("2026-02-10T00:00:00Z"), c.ID), "2026-01", schemas.KindInvoice)
	same(t, "January", linesOf(&january), []string{"usage 2026-01 base q=0 rows=0 31.00-0=31.00", "usage 2026-01 web q=6 rows=2 0.75-0=0.75"})
	zone := "Europe/Berlin"
	if _, err := r.store.UpdateCustomer(t.Context(), "test", c.ID, store.CustomerUpdate{Timezone: &zone}); err != nil {
		t.Fatal(err)
	}
	february := find(t, onlyOf(r.bill("2026-03-10T00:00:00Z"), c.ID), "2026-02", schemas.KindInvoice)
	same(t, "February", linesOf(&february), []string{"usage 2026-02 base q=0 rows=0 31.00-0=31.00", "usage 2026-02 web q=24 rows=2 3.00-0=3.00"})
	if !february.Periods[0].Start.Equal(january.Periods[0].End) {
		t.Errorf("February begins at %v, January ended at %v", february.Periods[0].Start, january.Periods[0].End)
	}
	// A new price from March 16 on, and the end of the subscription on the 25th.
	r.at("2026-03-12T00:00:00Z")
	routes, err := r.store.Routes(t.Context(), store.RouteFilter{API: "base", Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.store.AddPrices(t.Context(), "test", routes[0].ID, []store.Price{{PricingModel: "std", Model: "flat", Params: json.RawMessage(`{"amount":"62"}`),
		EffectiveFrom: time.Date(2026, 3, 15, 23, 0, 0, 0, time.UTC)}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.store.UpdateSubscription(t.Context(), "test", c.ID, r.subs["Kol base"], store.SubscriptionUpdate{EndsAt: time.Date(2026, 3, 24, 23, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	march := find(t, onlyOf(r.bill("2026-04-10T00:00:00Z"), c.ID), "2026-03", schemas.KindInvoice)
	same(t, "March", linesOf(&march), []string{"usage 2026-03 base q=0 rows=0 15.00-0=15.00", "usage 2026-03 base q=0 rows=0 18.00-0=18.00",
		"usage 2026-03 web q=32 rows=1 4.00-0=4.00"})
	if got := march.Periods[0].End.Sub(march.Periods[0].Start); got != 743*time.Hour {
		t.Errorf("March has %v, want an hour less than 31 days", got)
	}
	for _, i := range onlyOf(r.invoices(), c.ID) {
		if _, err := r.prove(&i, nil); err != nil {
			t.Errorf("%s: %v", i.Number, err)
		}
	}
}
