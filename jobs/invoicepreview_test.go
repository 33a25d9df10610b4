package jobs

import (
	"testing"

	"tallybook/schemas"
)

// What other prices would have billed, also one that asks for each event.
func TestPreviewInvoice(t *testing.T) {
	r := newBillRig(t)
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/b", "100"), r.use(r.customer, "2026-01-05T10:00:00Z", "/b", "300")}, nil, 0)
	january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
	for text, want := range map[string][3]string{
		`{"apiName":"web","apiVersion":"v1","endpointName":null,"pricingModelName":"std","model":"per_unit","params":{"unit_price":"1"}}`:                                         {"81.00", "431.00", "400.00"},
		`[{"apiName":"web","apiVersion":"v1","pricingModelName":"std","model":"percentage_per_event","params":{"rate_percent":"1","max_per_event":"2","fixed_per_event":"0.5"}}]`: {"81.00", "34.50", "3.50"},
	} {
		changes, err := ReadPriceChanges([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		p, err := PreviewInvoice(t.Context(), r.archive, r.store, &january, changes)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Lines) != 1 || p.Lines[0].Change != 0 || [3]string{p.Was, p.Would, p.Lines[0].Would} != want {
			t.Errorf("%s: got %s, %s, %+v", text, p.Was, p.Would, p.Lines)
		}
	}
	for _, bad := range []string{"", `{"apiName":1}`, `{"x":1}`, `{"apiName":"web","model":"per_unit","params":{}}`} {
		if _, err := ReadPriceChanges([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}
