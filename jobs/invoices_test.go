package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// billRig is an installation with a catalog and a clock that the test moves.
type billRig struct {
	*rig
	clock    atomic.Int64
	customer store.Customer
	subs     map[string]string // id of the subscription, by API
}

const gradual = `{"tiers":[{"up_to":"10","unit_price":"1"},{"up_to":null,"unit_price":"0.5"}]}`

func newBillRig(t *testing.T) *billRig {
	t.Helper()
	r := &billRig{rig: &rig{t: t, path: filepath.Join(t.TempDir(), "store.db"), bucket: archive.NewMem()}, subs: map[string]string{}}
	r.archive = archive.New(r.bucket)
	r.at("2025-12-20T00:00:00Z")
	st, err := store.Open(t.Context(), r.path, store.Options{Now: func() time.Time { return time.UnixMicro(r.clock.Load()) }})
	if err != nil {
		t.Fatal(err)
	}
	r.store = st
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	r.route("web", "/a", "graduated", gradual)
	r.route("web", "", "per_unit", `{"unit_price":"0.125"}`)
	r.route("base", "", "flat", `{"amount":"31"}`)
	r.customer = r.newCustomer("Acme", "UTC", "USD")
	return r
}

func (r *billRig) at(text string) { r.clock.Store(micros(text)) }

func (r *billRig) now() time.Time { return time.UnixMicro(r.clock.Load()).UTC() }

func (r *billRig) route(api, endpoint, model, params string) store.Route {
	r.t.Helper()
	route, err := r.store.CreateRoute(r.t.Context(), "test", store.Route{API: api, Version: "v1", Endpoint: endpoint,
		Prices: []store.Price{{PricingModel: "std", Model: model, Params: json.RawMessage(params)}}})
	if err != nil {
		r.t.Fatal(err)
	}
	return route
}

// newCustomer has subscriptions to everything from January on.
func (r *billRig) newCustomer(name, zone, currency string) store.Customer {
	r.t.Helper()
	starts := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if loc, err := time.LoadLocation(zone); err == nil {
		starts = time.Date(2026, 1, 1, 0, 0, 0, 0, loc)
	}
	c, subs, err := r.store.CreateCustomer(r.t.Context(), "test", "key of "+name, store.Customer{Name: name, PricingModel: "std", Timezone: zone, Currency: currency},
		[]store.Subscription{{API: "web", Version: "v1", StartsAt: starts}, {API: "base", Version: "v1", StartsAt: starts}})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range subs {
		r.subs[name+" "+s.API] = s.ID
	}
	return c
}

// use is a request of the customer's; at and quantity as in rows.
func (r *billRig) use(c store.Customer, at, endpoint, quantity string) event {
	return event{kind: "api.request", account: c.Account, at: at, status: 200, quantity: quantity,
		strings: map[schemas.Field]string{schemas.API: "web", schemas.Version: "v1", schemas.Endpoint: endpoint,
			schemas.Customer: c.ID, schemas.Subscription: r.subs[c.Name+" web"]},
		family: schemas.FamilyRequest, dims: []string{"web", "v1", endpoint, "", "200", ""},
		adds: schemas.Measures{Count: 1, Quantity: dec(quantity)}}
}

func taken(e event) event {
	e.taken = true
	return e
}

func (r *billRig) config() InvoicesConfig {
	return InvoicesConfig{Store: r.store, Archive: r.archive, Now: r.now(), Grace: DefaultGrace}
}

// run takes the lease, runs the job and gives it back.
func (r *billRig) run(cfg InvoicesConfig) error {
	r.t.Helper()
	l, err := r.store.TakeLease(r.t.Context(), "invoices", "test", time.Time{}, time.Hour)
	if err != nil {
		return err
	}
	cfg.Lease = l
	err = Invoices(r.t.Context(), cfg)
	if end := r.store.EndLease(r.t.Context(), l, err); end != nil {
		r.t.Fatal(end)
	}
	return err
}

func (r *billRig) bill(now string) []store.Invoice {
	r.t.Helper()
	r.at(now)
	if err := r.run(r.config()); err != nil {
		r.t.Fatal(err)
	}
	return r.invoices()
}

// invoices by month and kind, drafts too.
func (r *billRig) invoices() []store.Invoice {
	r.t.Helper()
	list, err := r.store.Invoices(r.t.Context(), store.InvoiceFilter{Drafts: true})
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func find(t *testing.T, list []store.Invoice, month string, kind schemas.InvoiceKind) store.Invoice {
	t.Helper()
	var found []store.Invoice
	for _, i := range list {
		if i.Month == month && i.Kind == kind {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d documents of %s %s, want 1", len(found), month, kind)
	}
	return found[0]
}

// linesOf is what a document says, a line each.
func linesOf(i *store.Invoice) (lines []string) {
	for _, l := range i.Lines {
		lines = append(lines, fmt.Sprintf("%s %s %s%s q=%s rows=%d %s-%s=%s", l.Kind, i.Periods[l.Period].Month, l.Price.API, l.Price.Endpoint,
			l.Quantity, l.Rows, l.Rated, l.Billed, l.Amount))
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got\n%q, want\n%q", what, got, want)
	}
}

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

var errKilled = errors.New("killed")

// Killed at each step, before and behind it, and run again: one invoice for each
// customer and month, no number twice or left out.
func TestInvoicesKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"draft", "final"} {
		for _, applied := range []bool{false, true} {
			for nth := range 4 {
				t.Run(fmt.Sprintf("%s %d applied %v", step, nth, applied), func(t *testing.T) {
					r := newBillRig(t)
					bolt := r.newCustomer("Bolt", "America/New_York", "JPY")
					r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12"), r.use(bolt, "2026-01-31T23:59:59Z", "/b", "30")}, nil, 0)
					r.at("2026-02-10T00:00:00Z")
					cfg, n := r.config(), 0
					cfg.Fault = func(at string) (before, after error) {
						if at != step {
							return nil, nil
						}
						if n++; n-1 != nth {
							return nil, nil
						}
						if applied {
							return nil, errKilled
						}
						return errKilled, nil
					}
					err := r.run(cfg)
					if got := errors.Is(err, errKilled); got != (n > nth) {
						t.Fatalf("got %v after %d steps", err, n)
					}
					list := r.bill("2026-02-10T01:00:00Z")
					if len(list) != 2 {
						t.Fatalf("got %d documents, want 2", len(list))
					}
					r.checkNumbers(list)
					for _, i := range list {
						want := map[string]string{"Acme": "42.00", "Bolt": "35"}[i.Customer.Name] // Bolt: 31 + 3.75 JPY
						if i.Total != want || i.Status != "final" {
							t.Errorf("%s: got %s %s", i.Customer.Name, i.Status, i.Total)
						}
						if _, err := r.prove(&i, nil); err != nil {
							t.Error(err)
						}
					}
				})
			}
		}
	}
}

// checkNumbers: final documents have the numbers from 1 on, each once.
func (r *billRig) checkNumbers(list []store.Invoice) {
	r.t.Helper()
	count := map[schemas.InvoiceKind]int64{}
	seen := map[string]bool{}
	for _, i := range list {
		if i.Status == "draft" {
			continue
		}
		count[i.Kind]++
		if seen[i.Number] {
			r.t.Errorf("number %s twice", i.Number)
		}
		seen[i.Number] = true
	}
	for kind, n := range count {
		last, err := r.store.LastNumber(r.t.Context(), kind)
		if err != nil || last != n {
			r.t.Errorf("%d documents of kind %s, and the last number is %d, %v", n, kind, last, err)
		}
	}
}

// Two runs at once that both believe in their lease, and one that woke up behind
// its end.
func TestInvoicesAtOnce(t *testing.T) {
	r := newBillRig(t)
	var customers []store.Customer
	for i := range 25 { // more than a batch
		customers = append(customers, r.newCustomer(fmt.Sprintf("C%d", i), "UTC", "USD"))
	}
	var events []event
	for _, c := range customers {
		events = append(events, r.use(c, "2026-01-05T10:00:00Z", "/a", "12"))
	}
	r.write(usage0, events, nil, 0)
	r.at("2026-02-10T00:00:00Z")
	l, err := r.store.TakeLease(t.Context(), "invoices", "both", time.Time{}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	for range 2 {
		go func() {
			cfg := r.config()
			cfg.Lease = l
			done <- Invoices(context.Background(), cfg)
		}()
	}
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	list := r.invoices()
	if len(list) != 26 {
		t.Errorf("got %d documents, want 26", len(list))
	}
	r.checkNumbers(list)
	r.at("2026-03-10T00:00:00Z") // the lease is over, and February is due
	cfg := r.config()
	cfg.Lease = l
	if err := Invoices(t.Context(), cfg); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("behind the lease: got %v, want ErrLeaseLost", err)
	}
	if got := r.invoices(); len(got) != 26 {
		t.Errorf("behind the lease: %d documents", len(got))
	}
}

// What was billed too much is given back by a credit note where the next
// invoice would fall below zero; each correction once.
func TestCorrectionsBecomeCreditNotes(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-06-01T00:00:00Z"
	many := r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "1000")
	r.write(usage0, []event{many}, nil, 0)
	r.bill("2026-02-10T00:00:00Z")
	r.write(usage0, []event{taken(many)}, nil, 0)
	list := r.bill("2026-03-10T00:00:00Z")
	february, note := find(t, list, "2026-02", schemas.KindInvoice), find(t, list, "2026-02", schemas.KindCreditNote)
	if february.Total != "31.00" || note.Total != "-505.00" || note.Number != "CN-000001" || note.Status != "final" || note.Payment != "" {
		t.Errorf("got %s; %s %s %s", february.Total, note.Number, note.Status, note.Total)
	}
	same(t, "note", linesOf(&note), []string{"adjustment 2026-01 web/a q=0 rows=2 0.00-505.00=-505.00"})
	march := find(t, r.bill("2026-04-10T00:00:00Z"), "2026-03", schemas.KindInvoice)
	same(t, "March", linesOf(&march), []string{"usage 2026-03 base q=0 rows=0 31.00-0=31.00"})
	// And back again, now less.
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "10")}, nil, 0)
	list = r.bill("2026-05-10T00:00:00Z")
	april := find(t, list, "2026-04", schemas.KindInvoice)
	same(t, "April", linesOf(&april), []string{"usage 2026-04 base q=0 rows=0 31.00-0=31.00", "adjustment 2026-01 web/a q=10 rows=3 10.00-0.00=10.00"})
	r.checkNumbers(list)
	for _, i := range list {
		if _, err := r.prove(&i, nil); err != nil {
			t.Errorf("%s: %v", i.Number, err)
		}
	}
}

// A credited or void invoice's period is settled: late rows do not bill it again.
func TestCreditedAndVoid(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-06-01T00:00:00Z"
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")}, nil, 0)
	january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
	note, err := r.store.CreditInvoice(t.Context(), "test", january.ID, "by mistake")
	if err != nil {
		t.Fatal(err)
	}
	if note.Total != "-42.00" || note.CreditFor != january.Number || note.Reason != "by mistake" || note.Status != "final" {
		t.Errorf("got %+v", note)
	}
	if _, err := r.prove(&note, nil); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func() error{
		"credited twice": func() error { _, err := r.store.CreditInvoice(t.Context(), "test", january.ID, ""); return err },
		"paid":           func() error { _, err := r.store.PayInvoice(t.Context(), "test", january.ID, "paid"); return err },
		"void":           func() error { _, err := r.store.VoidInvoice(t.Context(), "test", january.ID); return err },
		"note credited":  func() error { _, err := r.store.CreditInvoice(t.Context(), "test", note.ID, ""); return err },
	} {
		var state *store.StateError
		if err := change(); !errors.As(err, &state) {
			t.Errorf("%s: got %v, want a StateError", name, err)
		}
	}
	r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "5")}, nil, 0)
	february := find(t, r.bill("2026-03-10T00:00:00Z"), "2026-02", schemas.KindInvoice)
	same(t, "February", linesOf(&february), []string{"usage 2026-02 base q=0 rows=0 31.00-0=31.00"})
	if v, err := r.store.VoidInvoice(t.Context(), "test", february.ID); err != nil || v.Status != "void" {
		t.Errorf("void: %v, %v", v.Status, err)
	}
	list := r.bill("2026-04-10T00:00:00Z")
	if march := find(t, list, "2026-03", schemas.KindInvoice); march.Total != "31.00" || march.Number != "INV-000003" {
		t.Errorf("March: %s %s", march.Number, march.Total)
	}
	r.checkNumbers(list)
}

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
		if len(p.Lines) != 1 || [3]string{p.Was, p.Would, p.Lines[0].Would} != want {
			t.Errorf("%s: got %s, %s, %+v", text, p.Was, p.Would, p.Lines)
		}
	}
	for _, bad := range []string{"", `{"apiName":1}`, `{"x":1}`, `{"apiName":"web","model":"per_unit","params":{}}`} {
		if _, err := ReadPriceChanges([]byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

// Late events of several months, killed at each step and run again: each is
// adjusted once, and by a credit note of a customer that has left.
func TestAdjustmentsKilledAtEachStep(t *testing.T) {
	for _, step := range []string{"draft", "final"} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s applied %v", step, applied), func(t *testing.T) {
				r := newBillRig(t)
				r.logClock = "2026-09-01T00:00:00Z"
				january, february := r.use(r.customer, "2026-01-05T10:00:00Z", "/b", "800"), r.use(r.customer, "2026-02-05T10:00:00Z", "/b", "80")
				r.write(usage0, []event{january, february}, nil, 0)
				r.bill("2026-03-10T00:00:00Z")
				r.at("2026-03-31T00:00:00Z")
				for _, sub := range []string{"Acme web", "Acme base"} {
					_, err := r.store.UpdateSubscription(t.Context(), "test", r.customer.ID, r.subs[sub], store.SubscriptionUpdate{EndsAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)})
					if err != nil {
						t.Fatal(err)
					}
				}
				r.write(usage0, []event{taken(january), r.use(r.customer, "2026-02-06T10:00:00Z", "/b", "8")}, nil, 0)
				r.at("2026-06-10T00:00:00Z")
				cfg := r.config()
				cfg.Fault = func(at string) (before, after error) {
					switch {
					case at != step:
						return nil, nil
					case applied:
						return nil, errKilled
					}
					return errKilled, nil
				}
				if err := r.run(cfg); !errors.Is(err, errKilled) {
					t.Fatalf("got %v", err)
				}
				list := r.bill("2026-06-10T01:00:00Z")
				march, note := find(t, list, "2026-03", schemas.KindInvoice), find(t, list, "2026-03", schemas.KindCreditNote)
				same(t, "March", linesOf(&march), []string{"usage 2026-03 base q=0 rows=0 31.00-0=31.00"})
				same(t, "note", linesOf(&note), []string{"adjustment 2026-01 web q=0 rows=2 0.00-100.00=-100.00", "adjustment 2026-02 web q=88 rows=2 11.00-10.00=1.00"})
				if len(list) != 4 || note.Total != "-99.00" {
					t.Errorf("got %d documents, the note comes to %s", len(list), note.Total)
				}
				// Behind the end of the subscriptions an adjustment makes an invoice of its own.
				r.write(usage0, []event{r.use(r.customer, "2026-01-05T10:00:00Z", "/b", "16")}, nil, 0)
				list = r.bill("2026-07-10T00:00:00Z")
				june := find(t, list, "2026-06", schemas.KindInvoice)
				same(t, "June", linesOf(&june), []string{"adjustment 2026-01 web q=16 rows=3 2.00-0.00=2.00"})
				if again := r.bill("2026-08-10T00:00:00Z"); len(again) != len(list) {
					t.Errorf("then %d documents, were %d", len(again), len(list))
				}
				r.checkNumbers(list)
				for _, i := range list {
					if _, err := r.prove(&i, nil); err != nil {
						t.Errorf("%s: %v", i.Number, err)
					}
				}
			})
		}
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
