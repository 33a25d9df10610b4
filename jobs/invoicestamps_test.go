package jobs

import (
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

// A row that was rated when it was counted keeps its price on the bill, whatever
// holds at its time by now; so lines are the sums of what rows were stamped with.
func TestBillsKeepStamps(t *testing.T) {
	r := newBillRig(t)
	route := r.route("web", "/b", "per_unit", `{"unit_price":"0.25"}`) // 4
	r.at("2026-01-05T00:00:00Z")
	_, err := r.store.AddPrices(t.Context(), "test", route.ID, []store.Price{{PricingModel: "std", Model: "per_unit", Params: []byte(`{"unit_price":"0.5"}`)}}) // 5
	if err != nil {
		t.Fatal(err)
	}
	r.write(usage0, []event{
		r.rated("2026-01-04T10:00:00Z", "2", 4, "0.5"),
		r.rated("2026-01-05T00:04:00Z", "1", 4, "0.25"), // its time was ahead when it was counted
		r.rated("2026-01-05T10:00:00Z", "3", 5, "1.5"),
		r.use(r.customer, "2026-01-05T11:00:00Z", "/b", "4"), // counted before there was a price
		taken(r.rated("2026-01-05T00:04:00Z", "1", 4, "0.25")),
		r.rated("2026-01-06T10:00:00Z", "1", 2, "0.125"), // of every endpoint, when it was counted
	}, nil, 0)
	list := r.bill("2026-02-04T00:00:00Z")
	i := find(t, list, "2026-01", schemas.KindInvoice)
	same(t, "lines", linesOf(&i), []string{
		"usage 2026-01 base q=0 rows=0 31.00-0=31.00",
		"usage 2026-01 web q=1 rows=1 0.13-0=0.13",
		"usage 2026-01 web/b q=2 rows=3 0.50-0=0.50",
		"usage 2026-01 web/b q=7 rows=2 3.50-0=3.50"})
}
