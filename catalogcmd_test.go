package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"tallybook/store"
)

// catalogRun runs a command and returns what it printed.
func catalogRun(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	root := rootCommand()
	root.SetOut(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func mustCatalog(t *testing.T, args ...string) string {
	t.Helper()
	out, err := catalogRun(t, append([]string{"catalog"}, args...)...)
	if err != nil {
		t.Fatalf("catalog %q: %v", args, err)
	}
	return out
}

func auditCount(t *testing.T, data string) (n int) {
	t.Helper()
	st, err := store.Open(t.Context(), filepath.Join(data, "tallybook.db"), store.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	log, err := st.AuditLog(t.Context(), "", 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	return len(log)
}

// The example is applied once, whatever is applied again, and what export writes
// says the same, also to an installation that has nothing.
func TestCatalogApply(t *testing.T) {
	data, example := t.TempDir(), "testdata/catalog.yaml"
	dry := mustCatalog(t, "apply", example, "--data", data, "--dry-run")
	for _, want := range []string{"+ route shop v1 /search", "+ price shop v1, standard from 2026-01-01T00:00:00Z: per_unit {", `+ customer acme/Acme GmbH email: "billing@acme.example"`,
		"+ subscription acme/Acme GmbH payments v2 quota.limit: 500", "+ subscription cara/Cara payments v2", "dry run: nothing was changed"} {
		if !strings.Contains(dry, want) {
			t.Errorf("dry run: %q is not in\n%s", want, dry)
		}
	}
	if n := auditCount(t, data); n != 0 {
		t.Errorf("after a dry run the audit log has %d entries", n)
	}
	first := mustCatalog(t, "apply", example, "--data", data)
	if !strings.Contains(first, "+ route shop v1 /search") {
		t.Errorf("apply: got\n%s", first)
	}
	n := auditCount(t, data)
	if n == 0 {
		t.Error("nothing is in the audit log")
	}
	const same = "nothing to change: the catalog is as the file says\n"
	if got := mustCatalog(t, "apply", example, "--data", data); got != same+"not in the file, and left as they are: 0 routes, 0 customers, 2 subscriptions\n" {
		t.Errorf("applied again: got\n%s", got)
	}
	exported := mustCatalog(t, "export", "--data", data)
	file := writeFile(t, "exported.yaml", exported)
	if got := mustCatalog(t, "apply", file, "--data", data); got != same {
		t.Errorf("what was exported is applied: got\n%s", got)
	}
	if got := auditCount(t, data); got != n {
		t.Errorf("the audit log has %d entries, want %d", got, n)
	}
	other := t.TempDir()
	mustCatalog(t, "apply", file, "--data", other)
	if got := mustCatalog(t, "export", "--data", other); got != exported {
		t.Errorf("exported from another installation: got\n%s\nwant\n%s", got, exported)
	}
}

// Each change is a line of the difference, and what is not named stays.
func TestCatalogChanges(t *testing.T) {
	data := t.TempDir()
	mustCatalog(t, "apply", "testdata/catalog.yaml", "--data", data)
	file := writeFile(t, "change.yaml", `
routes:
  - {apiName: shop, apiVersion: v1, prices: [{pricingModelName: standard, model: per_unit, params: {unit_price: 0.03}, effectiveFrom: 2100-01-01T00:00:00Z}]}
customers:
  - account: acme
    customerName: Acme GmbH
    email: invoices@acme.example
    minimum: ""
    subscriptions:
      - {apiName: shop, apiVersion: v1, quota: {limit: 5, period: day}}
      - {apiName: payments, apiVersion: v2, endsAt: "2100-02-01T00:00:00Z", quota: null}
  - account: bolt
    customerName: Bolt
    subscriptions: [{apiName: shop, apiVersion: v1, unsubscribed: true}]
`)
	got := mustCatalog(t, "apply", file, "--data", data)
	for _, want := range []string{
		`+ price shop v1, standard from 2100-01-01T00:00:00Z: per_unit {"unit_price":0.03}`,
		`~ customer acme/Acme GmbH email: "billing@acme.example" → "invoices@acme.example"`,
		`~ customer acme/Acme GmbH minimum: "50.00" is left out`,
		"~ subscription acme/Acme GmbH shop v1 quota.limit: 100000 → 5",
		`~ subscription acme/Acme GmbH shop v1 quota.period: "month" → "day"`,
		`- subscription acme/Acme GmbH payments v2 endsAt: "2100-02-01T00:00:00Z"`,
		"~ subscription acme/Acme GmbH payments v2 quota.limit: 500 is left out",
		"- subscription bolt/Bolt shop v1 endsAt: ",
		"not in the file, and left as they are: 2 routes, 1 customers, 2 subscriptions"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if got := mustCatalog(t, "apply", file, "--data", data); !strings.HasPrefix(got, "nothing to change") {
		t.Errorf("applied again: got\n%s", got)
	}
	pruned := writeFile(t, "prune.yaml", "customers: [{account: cara, customerName: Cara, subscriptions: [{apiName: shop, apiVersion: v1}]}]\n")
	if got := mustCatalog(t, "apply", pruned, "--data", data, "--prune"); strings.Count(got, "\n- subscription")+strings.Count(got, "- subscription cara/Cara payments v2 endsAt") == 0 ||
		strings.Contains(got, "shop v1") {
		t.Errorf("prune: got\n%s", got)
	}
}

// A new subscription may have begun and ended in the past; those behind it stay.
func TestCatalogOfThePast(t *testing.T) {
	data := t.TempDir()
	mustCatalog(t, "apply", "testdata/catalog.yaml", "--data", data)
	file := writeFile(t, "past.yaml", `
customers:
  - account: acme
    customerName: Acme GmbH
    subscriptions:
      - {apiName: shop, apiVersion: v1, startsAt: "2025-11-30T23:00:00Z", endsAt: "2025-12-31T23:00:00Z"}
      - {apiName: shop, apiVersion: v1}
`)
	got := mustCatalog(t, "apply", file, "--data", data)
	if strings.Count(got, "+ subscription acme/Acme GmbH shop v1\n") != 1 || strings.Contains(got, "~") {
		t.Errorf("apply: got\n%s", got)
	}
	n := auditCount(t, data)
	if got := mustCatalog(t, "apply", file, "--data", data); !strings.HasPrefix(got, "nothing to change") || auditCount(t, data) != n {
		t.Errorf("applied again: got\n%s", got)
	}
}

// What is wrong is told by line, field and what is allowed, and nothing is kept.
func TestCatalogRefused(t *testing.T) {
	data := t.TempDir()
	mustCatalog(t, "apply", "testdata/catalog.yaml", "--data", data)
	before := auditCount(t, data)
	const good = "routes:\n  - {apiName: new, apiVersion: v9}\n"
	for _, c := range []struct{ name, text, want string }{
		{"unknown name", good + "custommers: []\n", "line 3: custommers is unknown; allowed in the file are routes, customers"},
		{"unknown name within", good + "customers:\n  - acount: x\n", "line 4: customers[0].acount is unknown; allowed in customers[0] are id, apiKey, account"},
		{"a number for a text", "routes:\n  - apiName: shop\n    apiVersion: 1\n", "line 3: routes[0].apiVersion must be a text: put it in quotes"},
		{"no map", "[]\n", "line 1: the file must be a map of names and values"},
		{"a name twice", "routes:\n  - apiName: a\n    apiName: b\n", "line 3: routes[0].apiName stands twice"},
		{"no YAML", "routes: [", "line 1"},
		{"two documents", "routes: []\n---\nroutes: []\n", "one document"},
		{"missing param", "routes:\n  - apiName: a\n    apiVersion: v1\n    prices:\n      - pricingModelName: x\n        model: per_unit\n        params: {}\n",
			"line 7: routes[0].prices[0].params.unit_price is required for the model per_unit"},
		{"unknown model", "routes:\n  - apiName: a\n    apiVersion: v1\n    prices: [{pricingModelName: x, model: free, params: {}}]\n", "line 4: routes[0].prices[0].model must be one of flat, graduated"},
		{"bad tier", "routes:\n  - apiName: a\n    apiVersion: v1\n    prices:\n    - pricingModelName: x\n      model: volume\n      params:\n        tiers:\n        - up_to: -1\n", "line 9: routes[0].prices[0].params.tiers[0].up_to must"},
		{"a price in the past", good + "  - apiName: shop\n    apiVersion: v1\n    prices:\n    - pricingModelName: standard\n      model: flat\n      params: {amount: 1}\n      effectiveFrom: 2026-02-01T00:00:00Z\n",
			"line 9: routes[1].prices[0].effectiveFrom must not lie in the past"},
		{"another price from the same moment", good + "  - apiName: shop\n    apiVersion: v1\n    prices:\n    - pricingModelName: standard\n      model: flat\n      params: {amount: 1}\n      effectiveFrom: 2026-01-01T00:00:00Z\n",
			"line 8: routes[1].prices[0].params: the price of standard from 2026-01-01T00:00:00Z on is per_unit"},
		{"currency", "customers:\n  - {account: acme, customerName: Acme GmbH, currency: USD}\n", "line 2: customers[0].currency: it is EUR, and never changes"},
		{"no model", good + "customers:\n  - account: x\n    customerName: X\n", "line 4: customers[0].pricingModelName is required for a new customer"},
		{"no such API", good + "customers:\n  - account: x\n    customerName: X\n    pricingModelName: m\n    subscriptions:\n    - apiName: none\n      apiVersion: v1\n",
			"line 8: customers[0].subscriptions[0].apiName: no route of none"},
		{"quota", "customers:\n  - account: acme\n    customerName: Acme GmbH\n    subscriptions:\n    - apiName: shop\n      apiVersion: v1\n      quota: {limit: 1, period: weekly}\n",
			"line 7: customers[0].subscriptions[0].quota.period must be hour, day, month or a cron expression"},
		{"tax", "customers:\n  - account: acme\n    customerName: Acme GmbH\n    taxes: [{name: VAT, percent: 119}]\n", "line 4: customers[0].taxes[0].percent must be a decimal from 0 to 100"},
		{"zone and mail", "customers:\n  - account: x\n    customerName: X\n    pricingModelName: m\n    timezone: Mars\n    email: nobody\n", "line 6: customers[0].email must be"},
		{"a route twice", good + "  - {apiName: new, apiVersion: v9}\n", "line 3: routes[1].endpointName: the route new v9  stands here twice"},
		{"an end in the past", "customers:\n  - account: bolt\n    customerName: Bolt\n    subscriptions:\n    - apiName: shop\n      apiVersion: v1\n      endsAt: 2020-01-01T00:00:00Z\n",
			"line 7: customers[0].subscriptions[0].endsAt must not lie in the past"},
		{"an end before the beginning", "customers:\n  - account: bolt\n    customerName: Bolt\n    subscriptions:\n    - apiName: shop\n      apiVersion: v1\n      startsAt: 2020-02-01T00:00:00Z\n      endsAt: 2020-01-01T00:00:00Z\n",
			"line 8: customers[0].subscriptions[0].endsAt must not be before 2020-02-01T00:00:00Z"},
		{"a past that reaches into another", "customers:\n  - account: acme\n    customerName: Acme GmbH\n    subscriptions:\n    - apiName: shop\n      apiVersion: v1\n      startsAt: 2025-01-01T00:00:00Z\n      endsAt: 2026-01-02T00:00:00Z\n",
			"customers[0].subscriptions[0].startsAt: there is another subscription to shop v1 at that time"},
		{"another pricing model", "customers:\n  - account: bolt\n    customerName: Bolt\n    subscriptions:\n    - apiName: shop\n      apiVersion: v1\n      pricingModelName: standard\n",
			"line 7: customers[0].subscriptions[0].pricingModelName: the subscription to shop v1 is by partner"},
		{"endless", "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", "more than 1000000 values"},
	} {
		_, err := catalogRun(t, "catalog", "apply", writeFile(t, "c.yaml", c.text), "--data", data)
		if err == nil || !strings.Contains(err.Error(), c.want) || exitCode(err) != 2 {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	if n := auditCount(t, data); n != before {
		t.Errorf("the audit log has %d entries, want %d", n, before)
	}
}
