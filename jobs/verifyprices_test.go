package jobs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/schemas/rating"
)

// rated is a request as rated says.
func (r *billRig) rated(at, quantity string, price int32, amount string) event {
	e := r.use(r.customer, at, "/b", quantity)
	e.price, e.amount, e.currency = price, amount, "USD"
	if amount != "" {
		e.adds.Amount = dec(amount)
	}
	return e
}

// The check recomputes each amount from the price that its row names.
func TestVerifyPrices(t *testing.T) {
	const at = "2026-01-05T10:00:00Z"
	for _, c := range []struct {
		name string
		row  func(*billRig) event
		want string // "": nothing is found
	}{
		{"right", func(r *billRig) event { return r.rated(at, "2", 2, "0.25") }, ""},
		{"of the total", func(r *billRig) event { return r.rated(at, "2", 1, "") }, ""},
		{"wrong", func(r *billRig) event { return r.rated(at, "2", 2, "0.26") }, "has the amount 0.26, price version 2 makes 0.25"},
		{"missing", func(r *billRig) event { return r.rated(at, "2", 2, "") }, "has the amount null, price version 2 makes 0.25"},
		{"of the total, with an amount", func(r *billRig) event { return r.rated(at, "2", 1, "1") }, "has the amount 1, price version 1 makes null"},
		{"without a price", func(r *billRig) event { return r.rated(at, "2", 0, "1") }, "has the amount 1 and no price"},
		{"of no price", func(r *billRig) event { return r.rated(at, "2", 77, "1") }, "has price version 77, which is not in the catalog"},
		{"too early", func(r *billRig) event { return r.rated("2025-12-19T10:00:00Z", "2", 2, "0.25") }, "takes effect later"},
		{"without currency", func(r *billRig) event {
			e := r.rated(at, "2", 2, "0.25")
			e.currency = ""
			return e
		}, "no currency"},
		{"taken away", func(r *billRig) event { return taken(r.rated(at, "2", 2, "0.26")) }, "makes 0.25"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newBillRig(t)
			r.write(usage0, []event{c.row(r)}, nil, 0)
			if c.want != "" {
				r.finds(DiffAmount, c.want)
			} else if report := r.verify(); !report.OK() {
				t.Errorf("got %s", report)
			}
		})
	}
}

// The oracle and the rules that workers rate by agree on all models.
func TestOraclePrices(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	amounts := map[string]map[schemas.Decimal]bool{}
	for range 20_000 {
		model := pick("per_unit", "percentage", "percentage_per_event", "flat", "package")
		params := map[string]any{}
		may := func(name string, values ...string) {
			if rng.IntN(5) == 0 {
				params[name] = pick(values...)
			}
		}
		switch model {
		case "per_unit":
			params["unit_price"] = pick("0", "0.01", "1.0000000005", "0.0000000005", "999999999999", "3e-4")
			may("free_units", "0", "5")
		case "flat":
			params["amount"] = "5"
		case "package":
			params["package_size"], params["package_price"] = 10, "1"
		default:
			params["rate_percent"] = pick("2.9", "0", "0.00000001", "100")
			may("fixed_per_event", "0", "0.30")
			may("free_amount", "0", "10")
			may("free_event_count", "0", "2")
			if model == "percentage_per_event" {
				may("min_per_event", "0", "1")
				may("max_per_event", "1", "2.5")
			}
		}
		may("minimum_amount", "0", "7")
		may("maximum_amount", "9")
		may("discount_percent", "0", "12.5", "100", "33.333")
		text, err := json.Marshal(params)
		if err != nil {
			t.Fatal(err)
		}
		price, bad := rating.Parse("", model, text)
		if bad != nil {
			t.Fatalf("%s %s: %v", model, text, bad)
		}
		quantity := dec(fmt.Sprintf("%d.%09d", rng.IntN(200)-100, rng.IntN(4)*rng.IntN(250_000_000)))
		want := archive.NullDecimal
		if price.PerEvent() {
			if d, err := price.OfEvent(quantity); err == nil {
				want = d
			}
		}
		oracle := &oraclePrice{model: model}
		if err := json.Unmarshal(text, &oracle.params); err != nil {
			t.Fatal(err)
		}
		if got := oracle.amount(quantity); got != want {
			t.Fatalf("%s %s of %s: got %s, want %s", model, text, quantity, amountText(got), amountText(want))
		}
		if amounts[model] == nil {
			amounts[model] = map[schemas.Decimal]bool{}
		}
		amounts[model][want] = true
	}
	for _, model := range []string{"per_unit", "percentage", "percentage_per_event"} {
		if len(amounts[model]) < 100 {
			t.Errorf("%s: %d different amounts", model, len(amounts[model]))
		}
	}
}
