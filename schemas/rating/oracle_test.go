package rating_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"

	"tallybook/schemas/rating"
)

func ratOf(t *testing.T, n rating.Number) *big.Rat {
	t.Helper()
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		t.Fatalf("%s is no number", n)
	}
	return r
}

type params = map[string]any

// draw makes prices and quantities of small numbers, so that edges are met often.
type draw struct{ *rand.Rand }

func (d draw) decimal(most int) string {
	return fmt.Sprintf("%d.%0*d", d.IntN(most+1), 1+d.IntN(3), d.IntN(10))
}

// quantity is often a whole number, and so often an edge.
func (d draw) quantity() string {
	if d.IntN(2) == 0 {
		return fmt.Sprint(d.IntN(30))
	}
	return d.decimal(30)
}

func (d draw) tiers(rate string) (list []params) {
	edge := 0
	for range d.IntN(4) {
		edge += 1 + d.IntN(9)
		list = append(list, params{"up_to": fmt.Sprint(edge), rate: d.decimal(9)})
	}
	list = append(list, params{"up_to": nil, rate: d.decimal(9)})
	for i := range list {
		if d.IntN(2) == 0 {
			list[i]["flat_fee"] = d.decimal(50)
		}
	}
	return list
}

// price draws a model's params, without limits and rounding.
func (d draw) price(model string) params {
	p := params{}
	switch model {
	case "flat":
		p["amount"] = d.decimal(100)
	case "per_unit":
		p["unit_price"], p["free_units"] = d.decimal(9), d.quantity()
	case "graduated", "volume":
		p["tiers"], p["free_units"], p["flat_fee_at_zero"] = d.tiers("unit_price"), fmt.Sprint(d.IntN(4)), d.IntN(2) == 0
	case "package":
		p["package_size"], p["package_price"], p["free_units"] = fmt.Sprint(1+d.IntN(9)), d.decimal(9), d.quantity()
		p["rounding"] = []string{"up", "down"}[d.IntN(2)]
	case "percentage":
		p["rate_percent"], p["fixed_per_event"], p["free_amount"], p["free_event_count"] = d.decimal(9), d.decimal(3), d.quantity(), d.IntN(3)
	case "percentage_per_event":
		p["rate_percent"], p["fixed_per_event"], p["min_per_event"], p["max_per_event"] = d.decimal(40), d.decimal(3), d.decimal(2), fmt.Sprint(3+d.IntN(5))
	case "graduated_percentage":
		p["tiers"] = d.tiers("rate_percent")
	}
	return p
}

// oracle rates by fractions, each model as its sentence in doc.go says it.
type oracle struct {
	p      params
	events []*big.Rat
	q      *big.Rat // their sum, free units off
	used   bool     // the sum was above 0
}

func newOracle(p params, events []string) *oracle {
	o := &oracle{p: p, q: new(big.Rat)}
	for _, e := range events {
		r, _ := new(big.Rat).SetString(e)
		o.events, o.q = append(o.events, r), o.q.Add(o.q, r)
	}
	o.used = o.q.Sign() > 0
	if o.q.Sub(o.q, o.get(p, "free_units")); o.q.Sign() < 0 {
		o.q.SetInt64(0)
	}
	return o
}

func (o *oracle) get(p params, name string) *big.Rat {
	r := new(big.Rat)
	if v := p[name]; v != nil {
		r.SetString(fmt.Sprint(v))
	}
	return r
}

func (o *oracle) times(name string, n *big.Rat) *big.Rat { return n.Mul(n, o.get(o.p, name)) }

func percentOf(n, rate *big.Rat) *big.Rat {
	n = new(big.Rat).Mul(n, rate)
	return n.Mul(n, big.NewRat(1, 100))
}

func (o *oracle) amount(model string) *big.Rat {
	sum := new(big.Rat)
	switch model {
	case "flat":
		return o.get(o.p, "amount")
	case "per_unit":
		return o.times("unit_price", o.q)
	case "graduated", "graduated_percentage", "volume":
		return o.tiered(model)
	case "package":
		n := new(big.Rat).Quo(o.q, o.get(o.p, "package_size"))
		full, rest := new(big.Int).QuoRem(n.Num(), n.Denom(), new(big.Int))
		if rest.Sign() > 0 && o.p["rounding"] == "up" {
			full.Add(full, big.NewInt(1))
		}
		return o.times("package_price", new(big.Rat).SetInt(full))
	case "percentage":
		value := new(big.Rat).Sub(o.q, o.get(o.p, "free_amount"))
		if value.Sign() > 0 {
			sum.Add(sum, percentOf(value, o.get(o.p, "rate_percent")))
		}
		if fees := len(o.events) - o.p["free_event_count"].(int); fees > 0 && o.used {
			sum.Add(sum, o.times("fixed_per_event", big.NewRat(int64(fees), 1)))
		}
	case "percentage_per_event":
		for _, e := range o.events {
			fee := percentOf(e, o.get(o.p, "rate_percent"))
			fee.Add(fee, o.get(o.p, "fixed_per_event"))
			if least := o.get(o.p, "min_per_event"); fee.Cmp(least) < 0 {
				fee = least
			}
			if most := o.get(o.p, "max_per_event"); fee.Cmp(most) > 0 {
				fee = most
			}
			sum.Add(sum, fee)
		}
	}
	return sum
}

func (o *oracle) tiered(model string) *big.Rat {
	sum, lower := new(big.Rat), new(big.Rat)
	for i, tier := range o.p["tiers"].([]params) {
		last := tier["up_to"] == nil
		upper := o.get(tier, "up_to")
		reached := i == 0 || o.q.Cmp(lower) > 0
		holds := last || o.q.Cmp(upper) <= 0
		units := new(big.Rat).Set(o.q)
		if model != "volume" {
			if !holds {
				units.Set(upper)
			}
			units.Sub(units, lower)
		}
		if reached && (model != "volume" || holds) {
			if rate := tier["rate_percent"]; rate != nil {
				sum.Add(sum, percentOf(units, o.get(tier, "rate_percent")))
			} else {
				sum.Add(sum, units.Mul(units, o.get(tier, "unit_price")))
			}
			if o.used || i > 0 || o.p["flat_fee_at_zero"] != false {
				sum.Add(sum, o.get(tier, "flat_fee"))
			}
		}
		lower = upper
	}
	return sum
}

// rated is the line of some events, checked to explain itself.
func rated(t *testing.T, model string, p params, events ...string) rating.Line {
	t.Helper()
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	tally := parse(t, model, string(text)).Tally()
	for _, e := range events {
		if err := tally.Event(num(t, e)); err != nil {
			t.Fatal(err)
		}
	}
	line := lineOf(t, tally)
	explains(t, line)
	return line
}

const rounds = 3000

// Every model gives what fractions give, to the last digit.
func TestOracle(t *testing.T) {
	for _, model := range rating.Models() {
		d := draw{rand.New(rand.NewPCG(1, 2))}
		amounts := map[string]bool{}
		for range rounds / 2 {
			p, events := d.price(model), []string{d.quantity(), d.quantity(), d.quantity()}[:1+d.IntN(3)]
			got, want := rated(t, model, p, events...).Amount, newOracle(p, events).amount(model)
			if ratOf(t, got).Cmp(want) != 0 {
				t.Fatalf("%s %v of %v: got %s, want %s", model, p, events, got, want.FloatString(12))
			}
			amounts[got.String()] = true
		}
		if len(amounts) < 100 {
			t.Errorf("%s: only %d different amounts", model, len(amounts))
		}
	}
}

// More usage never costs less, but for volume, where all units become cheaper.
func TestMonotonic(t *testing.T) {
	falls := 0
	for _, model := range rating.Models() {
		d := draw{rand.New(rand.NewPCG(3, 4))}
		for range rounds / 4 {
			p, base, more := d.price(model), d.quantity(), d.quantity()
			less, all := rated(t, model, p, base), rated(t, model, p, base, more)
			if all.Amount.Cmp(less.Amount) >= 0 {
				continue
			}
			if falls++; model != "volume" {
				t.Fatalf("%s %v: %s costs %s, and %s more %s", model, p, base, less.Amount, more, all.Amount)
			}
		}
	}
	if falls == 0 {
		t.Error("volume never fell: does this test still look at anything?")
	}
}

// Graduated is the sum of its tiers, each rated by itself as units and a fee.
func TestGraduatedIsSumOfTiers(t *testing.T) {
	d := draw{rand.New(rand.NewPCG(5, 6))}
	for range rounds {
		tiers, q := d.tiers("unit_price"), d.quantity()
		whole := rated(t, "graduated", params{"tiers": tiers}, q)
		sum, lower := rating.NumberOf(0), rating.NumberOf(0)
		for i, tier := range tiers {
			inside := num(t, q)
			if tier["up_to"] != nil && inside.Cmp(num(t, tier["up_to"].(string))) > 0 {
				inside = num(t, tier["up_to"].(string))
			}
			if inside = inside.Minus(lower); inside.Sign() <= 0 && i > 0 {
				break
			}
			one := []params{{"up_to": nil, "unit_price": tier["unit_price"], "flat_fee": tier["flat_fee"]}}
			sum = sum.Plus(rated(t, "volume", params{"tiers": one}, inside.String()).Amount)
			if tier["up_to"] != nil {
				lower = num(t, tier["up_to"].(string))
			}
		}
		if whole.Amount.Cmp(sum) != 0 {
			t.Fatalf("%v of %s: got %s, want %s", tiers, q, whole.Amount, sum)
		}
	}
}

// Two halves cost what the whole costs, where a price looks at each unit or
// event alone; percentage_per_event keeps its limits per event.
func TestAdditive(t *testing.T) {
	d := draw{rand.New(rand.NewPCG(7, 8))}
	for _, c := range []struct{ model, drop string }{{"per_unit", "free_units"}, {"percentage", "free_amount"}, {"percentage_per_event", ""}} {
		for range rounds / 2 {
			p, a, b := d.price(c.model), d.quantity(), d.quantity()
			delete(p, c.drop)
			delete(p, "free_event_count")
			if c.model == "percentage" {
				delete(p, "fixed_per_event") // of which a half of value 0 has none
			}
			halves := rated(t, c.model, p, a).Amount.Plus(rated(t, c.model, p, b).Amount)
			if whole := rated(t, c.model, p, a, b).Amount; whole.Cmp(halves) != 0 {
				t.Fatalf("%s %v of %s and %s: got %s, want %s", c.model, p, a, b, whole, halves)
			}
		}
	}
}

// Limits hold, a discount is a share, and rounding moves by half a unit at most.
func TestLimits(t *testing.T) {
	for _, model := range rating.Models() {
		d := draw{rand.New(rand.NewPCG(9, 10))}
		for range rounds / 4 {
			p, q := d.price(model), d.quantity()
			before := rated(t, model, p, q).Amount
			least, most, off := num(t, fmt.Sprint(d.IntN(20))), num(t, fmt.Sprint(20+d.IntN(20))), num(t, fmt.Sprint(d.IntN(101)))
			p["minimum_amount"], p["maximum_amount"], p["discount_percent"], p["currency_precision"] = least.String(), most.String(), off.String(), d.IntN(4)
			after := d.IntN(2) == 0
			paid := num(t, "100").Minus(off).Times(num(t, "0.01"))
			want := before
			if p["discount_order"] = "before cap"; after {
				p["discount_order"] = "after cap"
			} else {
				want = want.Times(paid)
			}
			if want.Cmp(most) > 0 {
				want = most
			}
			if after {
				want = want.Times(paid)
			}
			if want.Cmp(least) < 0 {
				want = least
			}
			line := rated(t, model, p, q)
			if line.Exact.Cmp(want) != 0 || line.Amount.Cmp(want.Round(line.Places)) != 0 {
				t.Fatalf("%s %v of %s, %s without limits: got %s and %s, want %s", model, p, q, before, line.Exact, line.Amount, want)
			}
			moved, half := ratOf(t, line.Amount.Minus(line.Exact)), new(big.Rat).SetFrac64(1, 2)
			for range line.Places {
				half.Mul(half, big.NewRat(1, 10))
			}
			if moved.Abs(moved).Cmp(half) > 0 {
				t.Fatalf("%s to %d places: got %s", line.Exact, line.Places, line.Amount)
			}
		}
	}
}
