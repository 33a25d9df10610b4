package jobs

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

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
