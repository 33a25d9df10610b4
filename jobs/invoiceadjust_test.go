package jobs

import (
	"errors"
	"testing"

	"tallybook/schemas"
	"tallybook/store"
)

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
	months := []string{}
	for _, i := range list {
		if i.Kind == schemas.KindInvoice {
			months = append(months, i.Month)
		}
	}
	same(t, "newest first", months, []string{"2026-03", "2026-02", "2026-01"})
	r.checkNumbers(list)
}

// What a credit note gives back is what was billed of the invoice's month in all,
// by whatever document.
func TestCreditOfAdjustedInvoice(t *testing.T) {
	for name, c := range map[string]struct {
		late        func(r *billRig, first event) event
		adjustments []string
		credit      []string
		total       string
	}{
		"given back in part": {func(_ *billRig, first event) event { return taken(first) },
			[]string{"adjustment 2026-01 web/a q=0 rows=2 0.00-11.00=-11.00"},
			[]string{"credit 2026-01 base q=0 rows=0 31.00-0=-31.00", "credit 2026-01 web/a q=12 rows=1 11.00-11.00=0.00"}, "-31.00"},
		"more of it": {func(r *billRig, _ event) event { return r.use(r.customer, "2026-01-06T10:00:00Z", "/a", "8") },
			[]string{"adjustment 2026-01 web/a q=20 rows=2 15.00-11.00=4.00"},
			[]string{"credit 2026-01 base q=0 rows=0 31.00-0=-31.00", "credit 2026-01 web/a q=12 rows=1 11.00--4.00=-15.00"}, "-46.00"},
		"of a price without a line": {func(r *billRig, _ event) event { return r.use(r.customer, "2026-01-06T10:00:00Z", "/b", "8") },
			[]string{"adjustment 2026-01 web q=8 rows=1 1.00-0.00=1.00"},
			[]string{"credit 2026-01 base q=0 rows=0 31.00-0=-31.00", "credit 2026-01 web/a q=12 rows=1 11.00-0=-11.00",
				"credit 2026-01 web q=0 rows=0 0--1.00=-1.00"}, "-43.00"},
	} {
		r := newBillRig(t)
		r.logClock = "2026-09-01T00:00:00Z"
		first := r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")
		r.write(usage0, []event{first}, nil, 0)
		january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
		r.write(usage0, []event{c.late(r, first)}, nil, 0)
		february := find(t, r.bill("2026-03-10T00:00:00Z"), "2026-02", schemas.KindInvoice)
		same(t, name+": February", linesOf(&february)[1:], c.adjustments)
		var state *store.StateError
		if _, err := r.store.VoidInvoice(t.Context(), "test", january.ID); !errors.As(err, &state) {
			t.Errorf("%s: void: got %v, want a StateError", name, err)
		}
		note, err := r.store.CreditInvoice(t.Context(), "test", january.ID, "a mistake")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		same(t, name+": note", linesOf(&note), c.credit)
		if note.Total != c.total {
			t.Errorf("%s: got %s, want %s", name, note.Total, c.total)
		}
		if _, err := r.prove(&note, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		// The invoice that adjusted it is credited too: January is not given back again.
		if note, err = r.store.CreditInvoice(t.Context(), "test", february.ID, "another"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if note.Total != "-31.00" {
			t.Errorf("%s: February's note: got %s, want -31.00: %q", name, note.Total, linesOf(&note))
		}
		if _, err := r.prove(&note, nil); err != nil {
			t.Errorf("%s: February's note: %v", name, err)
		}
		march := find(t, r.bill("2026-04-10T00:00:00Z"), "2026-03", schemas.KindInvoice)
		same(t, name+": March", linesOf(&march)[1:], nil)
	}
}

// The same of a minimum that the invoice did not need, and taxes follow.
func TestCreditOfAdjustedMinimum(t *testing.T) {
	r := newBillRig(t)
	r.logClock = "2026-09-01T00:00:00Z"
	taxes, minimum := []schemas.Tax{{Name: "VAT", Percent: "20"}}, schemas.DecimalText("40")
	if _, err := r.store.UpdateCustomer(t.Context(), "test", r.customer.ID, store.CustomerUpdate{Taxes: &taxes, Minimum: &minimum}); err != nil {
		t.Fatal(err)
	}
	first := r.use(r.customer, "2026-01-05T10:00:00Z", "/a", "12")
	r.write(usage0, []event{first}, nil, 0)
	january := find(t, r.bill("2026-02-10T00:00:00Z"), "2026-01", schemas.KindInvoice)
	r.write(usage0, []event{taken(first)}, nil, 0)
	r.bill("2026-03-10T00:00:00Z")
	note, err := r.store.CreditInvoice(t.Context(), "test", january.ID, "a mistake")
	if err != nil {
		t.Fatal(err)
	}
	same(t, "note", linesOf(&note), []string{"credit 2026-01 base q=0 rows=0 31.00-0=-31.00", "credit 2026-01 web/a q=12 rows=1 11.00-11.00=0.00",
		"credit 2026-01  q=0 rows=0 0--9.00=-9.00"})
	if note.Net != "-40.00" || note.Total != "-48.00" {
		t.Errorf("got %s net, %s", note.Net, note.Total)
	}
	if _, err := r.prove(&note, nil); err != nil {
		t.Error(err)
	}
}
