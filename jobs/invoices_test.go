package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// A month is drafted when it has ended, final behind the grace time, and what
// comes late or is corrected is in the next one.
func TestInvoicesOfMonths(t *testing.T) {
	r := newBillRig(t)
	r.write(usage0, []event{
		r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12"),
		r.use(r.customer, "2026-01-31T23:59:59Z", "/b", "3"),
		r.use(r.customer, "2026-02-01T00:00:00Z", "/b", "100"),
		{kind: "api.request", account: r.customer.Account, at: "2026-01-06T00:00:00Z", quantity: "7", strings: map[schemas.Field]string{schemas.Customer: r.customer.ID},
			family: schemas.FamilyRequest, dims: []string{"", "", "", "", "", ""}, adds: schemas.Measures{Count: 1, Quantity: dec("7")}},
	}, nil, 0)
	if got := r.bill("2026-01-31T23:00:00Z"); len(got) != 0 {
		t.Fatalf("before the month has ended: %+v", got)
	}
	draft := find(t, r.bill("2026-02-01T00:10:00Z"), "2026-01", schemas.KindInvoice)
	if draft.Status != "draft" || draft.Number != "" || draft.Total != "42.38" {
		t.Errorf("draft: got %s %q %s", draft.Status, draft.Number, draft.Total)
	}
	// Within the grace time it is still counted.
	r.write(usage0, []event{r.use(r.customer, "2026-01-20T00:00:00Z", "/a", "1")}, nil, 0)
	january := find(t, r.bill("2026-02-04T00:00:00Z"), "2026-01", schemas.KindInvoice)
	if january.Status != "final" || january.Payment != "open" || january.Number != "INV-000001" || january.Total != "42.88" || january.ID != draft.ID {
		t.Errorf("final: got %s %s %q %s", january.Status, january.Payment, january.Number, january.Total)
	}
	same(t, "January", linesOf(&january), []string{
		"usage 2026-01 base q=0 rows=0 31.00-0=31.00", "usage 2026-01 web q=3 rows=1 0.38-0=0.38", "usage 2026-01 web/a q=13 rows=2 11.50-0=11.50"})
	if january.Unrated.Rows != 1 || january.Unrated.Quantity != "7" {
		t.Errorf("unrated: %+v", january.Unrated)
	}
	// Late: 2 more of /a; and one of /b is taken back.
	r.write(usage0, []event{r.use(r.customer, "2026-01-20T00:00:00Z", "/a", "2"), taken(r.use(r.customer, "2026-01-31T23:59:59Z", "/b", "3"))}, nil, 0)
	list := r.bill("2026-03-05T00:00:00Z") // the rig's log clock is that of March 1
	if again := find(t, list, "2026-01", schemas.KindInvoice); again.Text != january.Text {
		t.Error("a final invoice was changed")
	}
	february := find(t, list, "2026-02", schemas.KindInvoice)
	same(t, "February", linesOf(&february), []string{"usage 2026-02 base q=0 rows=0 31.00-0=31.00", "usage 2026-02 web q=100 rows=1 12.50-0=12.50",
		"adjustment 2026-01 web q=0 rows=2 0.00-0.38=-0.38", "adjustment 2026-01 web/a q=15 rows=3 12.50-11.50=1.00"})
	if february.Status != "draft" || february.Total != "44.12" {
		t.Errorf("February: got %s %s; its log clock is not past the grace time", february.Status, february.Total)
	}
}

// Final only when every partition's log clock is past the grace time, or it was
// read to its end.
func TestInvoicesWaitForTheLog(t *testing.T) {
	r := newBillRig(t)
	usage1 := schemas.Partition{Topic: schemas.Usage, ID: 1}
	r.logClock = "2026-02-04T00:00:00Z"
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	r.logClock = "2026-02-03T23:59:59Z"
	r.write(usage1, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "1")}, nil, 0)
	r.at("2026-02-04T00:00:00Z")
	cfg := r.config()
	status := func() string {
		if err := r.run(cfg); err != nil {
			t.Fatal(err)
		}
		return r.invoices()[0].Status
	}
	if got := status(); got != "draft" {
		t.Errorf("a partition behind: got %s", got)
	}
	ends := map[schemas.Partition]int64{usage0: 1, usage1: 2}
	cfg.LogEnds = func(context.Context) (map[schemas.Partition]int64, error) { return ends, nil }
	if got := status(); got != "draft" {
		t.Errorf("its log has more: got %s", got)
	}
	ends[usage1] = 1
	if got := status(); got != "final" {
		t.Errorf("its log was read to its end: got %s", got)
	}
}

// A partition of which nothing was read yet is waited for too, where its log is
// known to have records.
func TestInvoicesWaitForUnreadPartitions(t *testing.T) {
	r := newBillRig(t)
	usage1 := schemas.Partition{Topic: schemas.Usage, ID: 1}
	r.logClock = "2026-02-04T00:00:00Z"
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	if _, err := r.store.TakeOver(t.Context(), usage1, 0); err != nil {
		t.Fatal(err)
	}
	r.at("2026-02-04T00:00:00Z")
	cfg := r.config()
	for _, c := range []struct {
		end  int64
		want string
	}{{7, "draft"}, {0, "final"}} {
		ends := map[schemas.Partition]int64{usage0: 1, usage1: c.end}
		cfg.LogEnds = func(context.Context) (map[schemas.Partition]int64, error) { return ends, nil }
		if err := r.run(cfg); err != nil {
			t.Fatal(err)
		}
		if got := r.invoices()[0].Status; got != c.want {
			t.Errorf("a log that ends at %d, read up to 0: got %s, want %s", c.end, got, c.want)
		}
	}
}

// Where rollups and archive differ, nothing is billed.
func TestInvoicesNeedBothToAgree(t *testing.T) {
	r := newBillRig(t)
	bolt := r.newCustomer("Bolt", "UTC", "USD")
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12"), r.use(bolt, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	r.sql(`UPDATE rollup_hours SET count = 7 WHERE account = ?`, r.customer.Account)
	r.at("2026-02-10T00:00:00Z")
	if err := r.run(r.config()); !errors.Is(err, errRollups) {
		t.Errorf("got %v", err)
	}
	if list := r.invoices(); len(list) != 1 || list[0].Customer.ID != bolt.ID || list[0].Status != "final" {
		t.Errorf("got %d documents; the other customer's is to be there", len(list))
	}
}

// Requests that name no customer are those of the account's first.
func TestInvoicesOfUnnamedRequests(t *testing.T) {
	r := newBillRig(t)
	r.clock.Add(1)
	second, _, err := r.store.CreateCustomer(t.Context(), "test", "key of the second", store.Customer{Account: r.customer.Account, Name: "Second",
		PricingModel: "std", Timezone: "UTC", Currency: "USD"}, []store.Subscription{{API: "web", Version: "v1", StartsAt: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}})
	if err != nil {
		t.Fatal(err)
	}
	unnamed := r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "4")
	delete(unnamed.strings, schemas.Customer)
	delete(unnamed.strings, schemas.Subscription)
	without := r.use(second, "2026-01-05T10:00:00Z", "/a", "2")
	delete(without.strings, schemas.Subscription) // it had none
	r.write(usage0, []event{unnamed, without}, nil, 0)
	list := r.bill("2026-02-10T00:00:00Z")
	first := find(t, onlyOf(list, r.customer.ID), "2026-01", schemas.KindInvoice)
	same(t, "first", linesOf(&first), []string{"usage 2026-01 base q=0 rows=0 31.00-0=31.00", "usage 2026-01 web/a q=4 rows=1 4.00-0=4.00"})
	other := find(t, onlyOf(list, second.ID), "2026-01", schemas.KindInvoice)
	if len(other.Lines) != 0 || other.Unrated.Rows != 1 || other.Total != "0.00" {
		t.Errorf("second: got %q, unrated %+v, %s", linesOf(&other), other.Unrated, other.Total)
	}
}

// A document that was tampered with stops its own customer's invoices alone.
func TestInvoicesOfTamperedDocuments(t *testing.T) {
	r := newBillRig(t)
	bolt := r.newCustomer("Bolt", "UTC", "USD")
	r.logClock = "2026-06-01T00:00:00Z"
	r.write(usage0, []event{r.use(bolt, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	r.bill("2026-02-10T00:00:00Z")
	r.sql(`UPDATE invoices SET document = replace(document, '"total":"', '"total":"9') WHERE customer = ?`, r.customer.ID)
	r.at("2026-03-10T00:00:00Z")
	if err := r.run(r.config()); !errors.Is(err, store.ErrDigest) {
		t.Errorf("got %v", err)
	}
	list, err := r.store.Invoices(t.Context(), store.InvoiceFilter{Customer: bolt.ID})
	if err != nil || len(list) != 2 {
		t.Errorf("the other customer has %d, %v; want 2", len(list), err)
	}
}
