package query

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

var update = flag.Bool("update", false, "write the golden files")

// finalInvoice makes a customer with an invoice of January that is final.
func (f *fixture) finalInvoice(name string) (store.Customer, schemas.Invoice) {
	f.t.Helper()
	c, _, err := f.store.CreateCustomer(f.t.Context(), "test", "key of "+name, store.Customer{Account: "acct-" + name, Name: name, Address: "Main St 1\n<b>", Email: "x@example.com",
		PricingModel: "std", Timezone: "Europe/Berlin", Currency: "EUR"}, []store.Subscription{})
	if err != nil {
		f.t.Fatal(err)
	}
	start, end := time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC)
	price := schemas.InvoicePrice{Subscription: "s", API: "web", Version: "v1", PricingModel: "std", PriceVersion: 7, Model: "graduated",
		Params: json.RawMessage(`{"tiers":[]}`), Start: start, End: end}
	i := schemas.Invoice{ID: "id-" + name, Kind: schemas.KindInvoice, Month: "2026-01", Currency: "EUR", Total: "12.50",
		Customer: schemas.InvoiceCustomer{ID: c.ID, Account: c.Account, Name: c.Name, Address: c.Address, Email: c.Email, Timezone: c.Timezone},
		Periods:  []schemas.InvoicePeriod{{Invoice: "id-" + name, Month: "2026-01", Start: start, End: end, Timezone: c.Timezone, Prices: []schemas.InvoicePrice{price}}},
		Cut:      []schemas.CutPosition{{Topic: schemas.Usage, Partition: 0, Next: 12}}, Unrated: schemas.Unrated{Quantity: "0"},
		Lines: []schemas.InvoiceLine{{Kind: schemas.LineUsage, Price: price, Quantity: "15", Events: 3, Rows: 3, Rated: "12.50", Billed: "0", Amount: "12.50",
			Parts: []schemas.InvoicePart{{Kind: "usage", Tier: 1, UpTo: "10", Quantity: "10", Price: "1", Amount: "10"},
				{Kind: "usage", Tier: 2, Above: "10", Quantity: "5", Price: "0.5", Amount: "2.5"}}}}}
	l, err := f.store.TakeLease(f.t.Context(), "invoices", "test", time.Time{}, time.Hour)
	if err != nil {
		f.t.Fatal(err)
	}
	if err = f.store.SaveDraft(f.t.Context(), l, &i, 0); err == nil {
		err = f.store.Finalize(f.t.Context(), l, &store.Finalization{Invoice: &i, Version: 1,
			Billed: schemas.Billed{Cut: i.Cut, Lines: []schemas.BilledLine{{Quantity: "15", Rows: 3, Amount: "12.50"}}}})
	}
	if err == nil {
		err = f.store.EndLease(f.t.Context(), l, nil)
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return c, i
}

func invoiceClient(f *fixture) *client { return &client{f.t, documented(f.t).Handler(f.t, f.router)} }

func TestInvoicesOverHTTP(t *testing.T) {
	f := newFixture(t)
	c := invoiceClient(f)
	_, i := f.finalInvoice("Acme")
	got := c.call(200, "GET", "/v1/invoices/"+i.ID, "")
	if got["number"] != "INV-000001" || got["status"] != "final" || got["payment"] != "open" || got["total"] != "12.50" {
		t.Errorf("got %v", got)
	}
	if line := got["lines"].([]any)[0].(map[string]any); line["amount"] != "12.50" || line["month"] != "2026-01" || line["rowSum"] != strings.Repeat("0", 32) {
		t.Errorf("line: got %v", line)
	}
	c.call(200, "GET", "/v1/invoices/INV-000001", "")
	c.call(404, "GET", "/v1/invoices/INV-000002", "")
	c.call(400, "GET", "/v1/invoices/INV-000001?x=1", "")
	for query, n := range map[string]int{"": 1, "?month=2026-01&kind=invoice&status=final&payment=open": 1, "?month=2026-02": 0, "?status=void": 0, "?limit=1": 1} {
		if list := c.call(200, "GET", "/v1/invoices"+query, "")["invoices"].([]any); len(list) != n {
			t.Errorf("%s: got %d, want %d", query, len(list), n)
		}
	}
	for _, query := range []string{"?status=final2", "?payment=x", "?kind=x", "?month=2026-13", "?limit=0", "?y=1"} {
		c.call(400, "GET", "/v1/invoices"+query, "")
	}
	c.call(400, "PATCH", "/v1/invoices/"+i.ID, `{"payment":"given"}`)
	if got := c.call(200, "PATCH", "/v1/invoices/"+i.ID, `{"payment":"paid"}`); got["payment"] != "paid" {
		t.Errorf("paid: got %v", got)
	}
	c.call(409, "POST", "/v1/invoices/"+i.ID+"/void", "")
	c.call(400, "POST", "/v1/invoices/"+i.ID+"/credit", `{"reason":""}`)
	note := c.call(201, "POST", "/v1/invoices/INV-000001/credit", `{"reason":"a mistake"}`)
	if note["kind"] != "credit_note" || note["number"] != "CN-000001" || note["total"] != "-12.50" || note["creditFor"] != "INV-000001" || note["payment"] != nil {
		t.Errorf("got %v", note)
	}
	c.call(409, "POST", "/v1/invoices/"+i.ID+"/credit", `{"reason":"again"}`)
	c.call(404, "POST", "/v1/invoices/none/void", "")
	log, err := f.store.AuditLog(t.Context(), "acct-Acme", 0, 10)
	var did []string
	for _, a := range log {
		did = append(did, a.Action+" "+a.Noun)
	}
	if got, want := strings.Join(did, ", "), "credit invoice, finalize credit_note, paid invoice, finalize invoice, create customer, create key"; got != want || err != nil {
		t.Errorf("audit log: got %s, %v, want %s", got, err, want)
	}
}

// Every document is on one page, those of the same moment too.
func TestInvoicePages(t *testing.T) {
	f := newFixture(t)
	c := invoiceClient(f)
	for _, name := range []string{"Bolt", "Acme", "Cara", "Eve", "Dora"} {
		f.finalInvoice(name)
	}
	var ids []string
	for pages, cursor := 1, ""; ; pages++ {
		page := c.call(200, "GET", "/v1/invoices?limit=2&cursor="+cursor, "")
		for _, i := range page["invoices"].([]any) {
			ids = append(ids, i.(map[string]any)["id"].(string))
		}
		next, more := page["next"].(string)
		if !more {
			if got, want := strings.Join(ids, " "), "id-Eve id-Dora id-Cara id-Bolt id-Acme"; got != want || pages != 3 {
				t.Errorf("got %s on %d pages, want %s on 3", got, pages, want)
			}
			break
		}
		cursor = next
	}
	c.call(400, "GET", "/v1/invoices?cursor=id-Nobody", "")
}

// An account's key sees its own documents, a customer's its own, nobody drafts.
func TestInvoicesOfOthers(t *testing.T) {
	f := newFixture(t)
	f.finalInvoice("Acme")
	_, bolt := f.finalInvoice("Bolt")
	if _, _, err := f.store.CreateCustomer(t.Context(), "test", "key of the second", store.Customer{Account: "acct-Bolt", Name: "second", PricingModel: "std",
		Timezone: "UTC", Currency: "EUR"}, []store.Subscription{}); err != nil {
		t.Fatal(err)
	}
	for key, k := range map[string]store.Key{"key of the account": {Role: store.RoleAccount, Account: "acct-Bolt"}, "key of the admin": {Role: store.RoleAdmin}} {
		if _, err := f.store.CreateKey(t.Context(), "test", key, k); err != nil {
			t.Fatal(err)
		}
	}
	draft := bolt
	draft.ID, draft.Number, draft.Month = "draft", "", "2026-02"
	l, err := f.store.TakeLease(t.Context(), "invoices", "test", time.Time{}, time.Hour)
	if err == nil {
		err = f.store.SaveDraft(t.Context(), l, &draft, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{Store: f.store}}, f.server.Endpoints()); err != nil {
		t.Fatal(err)
	}
	get := func(key, target string) *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", target, nil)
		r.Header.Set("apiKey", key)
		router.ServeHTTP(w, r)
		return w
	}
	for key, want := range map[string]struct{ listed, bolt, draft int }{
		"key of the admin": {3, 200, 200}, "key of the account": {1, 200, 404}, "key of Bolt": {1, 200, 404},
		"key of the second": {0, 404, 404}, "key of Acme": {1, 404, 404},
	} {
		var page struct{ Invoices []any }
		if w := get(key, "/v1/invoices"); json.Unmarshal(w.Body.Bytes(), &page) != nil || len(page.Invoices) != want.listed {
			t.Errorf("%s: got %s, want %d", key, w.Body, want.listed)
		}
		for _, form := range []string{"", "/download", "/download?format=csv"} {
			if got := get(key, "/v1/invoices/"+bolt.ID+form).Code; got != want.bolt {
				t.Errorf("%s%s: got %d, want %d", key, form, got, want.bolt)
			}
			if got := get(key, "/v1/invoices/draft"+form).Code; got != want.draft {
				t.Errorf("%s, draft%s: got %d, want %d", key, form, got, want.draft)
			}
		}
	}
}

func TestInvoiceFiles(t *testing.T) {
	f := newFixture(t)
	_, i := f.finalInvoice("Acme")
	for format, kind := range map[string]string{"html": "text/html; charset=utf-8", "csv": "text/csv; charset=utf-8"} {
		w := f.get("/v1/invoices/" + i.ID + "/download?format=" + format)
		if w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("Content-Disposition") != `attachment; filename="INV-000001.`+format+`"` {
			t.Fatalf("%s: got %d %v", format, w.Code, w.Header())
		}
		if strings.Contains(w.Body.String(), "<b>") {
			t.Errorf("%s: the address is not escaped", format)
		}
		golden(t, "testdata/invoice."+format, w.Body.String())
	}
	w := f.get("/v1/invoices/" + i.ID + "/download?format=pdf")
	if w.Code != 200 || w.Header().Get("Content-Type") != "application/pdf" || !strings.HasPrefix(w.Body.String(), "%PDF-1.") ||
		!strings.HasSuffix(strings.TrimSpace(w.Body.String()), "%%EOF") {
		t.Errorf("pdf: got %d %v", w.Code, w.Header())
	}
	if again := f.get("/v1/invoices/" + i.ID + "/download?format=pdf"); again.Body.String() != w.Body.String() {
		t.Error("the PDF differs from one time to the next")
	}
	if w := f.get("/v1/invoices/" + i.ID + "/download?format=doc"); w.Code != 400 {
		t.Errorf("got %d", w.Code)
	}
}

// What a spreadsheet would take for a formula is text in CSV, amounts stay numbers.
func TestInvoiceFormulas(t *testing.T) {
	i := store.Invoice{}
	i.Customer.Name = `=HYPERLINK("http://evil.example")`
	i.Periods = []schemas.InvoicePeriod{{Month: "2026-01"}}
	i.Lines = []schemas.InvoiceLine{{Price: schemas.InvoicePrice{API: "@web", Version: "-v1", Endpoint: "+/a"}, Amount: "-5.00"}}
	i.Taxes = []schemas.InvoiceTax{{Tax: schemas.Tax{Name: "=VAT", Percent: "19"}, Amount: "-0.95"}}
	var b bytes.Buffer
	if err := InvoiceCSV(&b, &i); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"'=HYPERLINK(""http://evil.example"")"`, ",'@web,'-v1,'+/a,", ",-5.00,", ",'=VAT 19 %,", ",-0.95,"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in\n%s", want, b.String())
		}
	}
}

// golden compares with a file; customers' ids, which are made up, and what hangs
// on them are left out.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if at := strings.Index(got, "SHA-256 "); at >= 0 {
		got = got[:at+8] + "…" + got[at+8+64:]
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s: %v; got\n%s", path, err, got)
	}
}

func TestJobsOverHTTP(t *testing.T) {
	f := newFixture(t)
	c := invoiceClient(f)
	if got := c.call(200, "GET", "/v1/jobs", "")["jobs"].([]any); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	f.finalInvoice("Acme")
	if err := f.store.ScheduleJob(t.Context(), "verify", "17 3 * * *"); err != nil {
		t.Fatal(err)
	}
	got := c.call(200, "GET", "/v1/jobs", "")["jobs"].([]any)
	if len(got) != 2 || got[0].(map[string]any)["name"] != "invoices" || len(got[0].(map[string]any)["runs"].([]any)) != 1 {
		t.Errorf("got %v", got)
	}
	c.call(400, "GET", "/v1/jobs?x=1", "")
}
