package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// From posted usage to an invoice, and its proof by the binary, with and without
// a database; what is changed in the archive or in a price is found, exit 1.
func TestInvoiceStory(t *testing.T) {
	s := start(t, "run", t.TempDir(), "--checkpoint-interval", "50ms")
	admin := s.client(t)
	const price = `{"pricingModelName":"standard","model":"graduated","params":{"tiers":[{"up_to":"2","unit_price":"1"},{"up_to":null,"unit_price":"0.5"}]},"effectiveFrom":"2025-01-01T00:00:00Z"}`
	admin.want(201, admin.do("POST", "/v1/routes", `{"apiName":"shop","apiVersion":"v1","endpointName":"/orders","prices":[`+price+`]}`))
	made := admin.want(201, admin.do("POST", "/v1/customers", `{"customerName":"Acme","pricingModelName":"standard","timezone":"Europe/Berlin","currency":"EUR","email":"billing@acme.example",
		"subscriptions":[{"apiName":"shop","apiVersion":"v1","startsAt":"2026-01-01T00:00:00+01:00"}]}`))
	acme := s.client(t)
	acme.key = made.text("apiKey")
	post := func(id, at string) {
		t.Helper()
		acme.want(202, acme.do("POST", "/v1/usage", `{"id":"`+id+`","apiversion":"v1","endPointName":"/orders","clientIPAdress":"203.0.113.7","httpStatusCode":200,"timeTakenInMilliSeconds":20,"timestamp":"`+at+`"}`))
	}
	post("before", "2025-12-31T22:59:59.999Z") // December in Berlin
	for i, at := range []string{"2025-12-31T23:00:00Z", "2026-01-10T12:00:00Z", "2026-01-31T22:59:59.999Z"} {
		post(string(rune('a'+i)), at)
	}
	post("behind", "2026-01-31T23:00:00Z")
	s.until(t, "all is counted", func() bool { return s.total(t, "requests", made.text("account")) == 5 })

	s.command(t, "job", "invoices", "--now", "2026-02-03T22:00:00Z").want(t, 0, "drafted 2026-01")
	s.command(t, "job", "invoices", "--now", "2026-02-03T23:00:00Z").want(t, 0, "INV-000001 is final")
	s.command(t, "job", "invoices", "--now", "2026-02-03T23:00:00Z").want(t, 0)
	s.command(t, "job", "list").want(t, 0, "invoices", "ok")
	s.command(t, "job", "alerts").want(t, 0)
	s.until(t, "the invoice is mailed", func() bool {
		mails, err := filepath.Glob(filepath.Join(s.data, "mail", "*.eml"))
		if err != nil || len(mails) != 1 {
			return false
		}
		text, err := os.ReadFile(mails[0])
		return err == nil && strings.Contains(string(text), "Subject: Invoice INV-000001, 2026-01: 2.50 EUR") && strings.Contains(string(text), "application/pdf")
	})
	list := acme.want(200, acme.do("GET", "/v1/invoices", "")).body["invoices"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["total"] != "2.50" || list[0].(map[string]any)["currency"] != "EUR" {
		t.Fatalf("got %v", list)
	}
	jobs := admin.want(200, admin.do("GET", "/v1/jobs", "")).body["jobs"].([]any)
	if len(jobs) < 5 {
		t.Errorf("got %d jobs", len(jobs))
	}
	if html, status := s.get("/v1/invoices/INV-000001/download"); status != 200 || !strings.Contains(html, "2.50 EUR") {
		t.Errorf("got %d %s", status, html)
	}
	s.command(t, "invoice", "list").want(t, 0, "INV-000001", "2.50 EUR")
	s.command(t, "prove", "INV-000001").want(t, 0, "line 1", "total 2.50 EUR: proven")
	s.command(t, "prove", "INV-000009").want(t, 2, "there is no invoice")
	s.command(t, "prove").want(t, 2, "--bundle")

	change := filepath.Join(t.TempDir(), "change.json")
	if err := os.WriteFile(change, []byte(`{"apiName":"shop","apiVersion":"v1","endpointName":"/orders","pricingModelName":"standard","model":"per_unit","params":{"unit_price":"3"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s.command(t, "invoice", "preview", "--month", "2026-01", "--price-change", change).want(t, 0, "2.50, would be 9.00 EUR")
	s.command(t, "invoice", "preview", "INV-000001").want(t, 2, "--price-change")
	s.command(t, "invoice", "preview", "--month", "2026-1", "--price-change", change).want(t, 2, `--month "2026-1": must be YYYY-MM, such as 2026-01`)
	s.command(t, "invoice", "list", "--month", "January").want(t, 2, `--month "January": must be YYYY-MM`)
	if err := os.WriteFile(change, []byte(`{"apiName":"shop","apiVersion":"v9","pricingModelName":"standard","model":"flat","params":{"amount":"3"}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	s.command(t, "invoice", "preview", "INV-000001", "--price-change", change).want(t, 0, "2.50, would be 2.50 EUR", "shop v9 (every endpoint) of standard changes nothing")
	s.command(t, "invoice", "pdf", "INV-000001").want(t, 0, "%PDF-1")
	s.command(t, "invoice", "csv", "INV-000001").want(t, 0, "number,month,customer,", "INV-000001,2026-01,")

	bundle := filepath.Join(t.TempDir(), "bundle.json")
	exported := s.command(t, "invoice", "bundle", "INV-000001")
	exported.want(t, 0)
	if err := os.WriteFile(bundle, []byte(exported.out), 0o644); err != nil {
		t.Fatal(err)
	}
	if code := s.stop(t); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	apart := func(code int, want string, args ...string) {
		t.Helper()
		tallybook(t, append([]string{"prove", "--data", t.TempDir(), "--archive", s.data + "/archive", "--bundle", bundle}, args...)...).want(t, code, want)
	}
	apart(0, "total 2.50 EUR: proven")
	apart(0, "proven", "INV-000001")
	apart(2, "is of INV-000001", "INV-000002")
	none := filepath.Join(t.TempDir(), "none")
	tallybook(t, "prove", "--data", none, "--archive", none, "--bundle", bundle).want(t, 2, "no archive here")

	file := fileOf(t, s.data, exported.out)
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 4
	write := func(b []byte) {
		t.Helper()
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(flipped)
	apart(1, "not proven")
	tallybook(t, "prove", "--data", s.data, "INV-000001").want(t, 1, "not proven")
	write(whole)
	apart(0, "proven")
	changed := strings.ReplaceAll(exported.out, `"unit_price": "0.5"`, `"unit_price": "0.4"`)
	if changed == exported.out {
		t.Fatal("the bundle has no such price")
	}
	if err := os.WriteFile(bundle, []byte(changed), 0o644); err != nil {
		t.Fatal(err)
	}
	apart(1, "not proven")
}

// A job that is told to run while its lease is held, by a process that was
// killed, waits for its end.
func TestJobWaitsForALease(t *testing.T) {
	data := t.TempDir()
	st, err := store.Open(t.Context(), data+"/tallybook.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.TakeLease(t.Context(), "invoices", "killed", time.Time{}, 3*time.Second); err != nil {
		t.Fatal(err)
	}
	tallybook(t, "job", "invoices", "--data", data).want(t, 0, "waits for up to")
	states, err := st.JobStates(t.Context(), 10)
	if err != nil || len(states) != 1 || len(states[0].Runs) != 2 || states[0].Runs[0].Outcome != "ok" || states[0].Runs[1].Outcome != "lost" {
		t.Errorf("got %+v, %v", states, err)
	}
}

// fileOf is the first file that a bundle names.
func fileOf(t *testing.T, data, bundle string) string {
	t.Helper()
	var b struct{ Files []struct{ Name string } }
	if err := json.Unmarshal([]byte(bundle), &b); err != nil || len(b.Files) == 0 || !strings.HasPrefix(b.Files[0].Name, string(schemas.Usage)) {
		t.Fatalf("files of the bundle: %v, %v", b.Files, err)
	}
	return filepath.Join(data, "archive", b.Files[0].Name)
}
