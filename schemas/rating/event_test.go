package rating_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

func TestPerEvent(t *testing.T) {
	for _, c := range []struct {
		model, params string
		want          bool
	}{
		{"per_unit", `{"unit_price":"0.01"}`, true},
		{"per_unit", `{"unit_price":"0.01","currency_precision":2,"round":"sum","minimum_amount":"0","free_units":"0"}`, true},
		{"per_unit", `{"unit_price":"0.01","discount_percent":"12.5","discount_order":"after cap"}`, true},
		{"per_unit", `{"unit_price":"0.01","minimum_amount":"1"}`, false},
		{"per_unit", `{"unit_price":"0.01","maximum_amount":"0"}`, false},
		{"per_unit", `{"unit_price":"0.01","free_units":"1"}`, false},
		{"percentage", `{"rate_percent":"2","free_event_count":3}`, true},
		{"percentage", `{"rate_percent":"2","free_amount":"1"}`, false},
		{"percentage", `{"rate_percent":"2","fixed_per_event":"0.1"}`, false},
		{"percentage_per_event", `{"rate_percent":"2","fixed_per_event":"0.1","min_per_event":"1","max_per_event":"2"}`, true},
		{"percentage_per_event", `{"rate_percent":"2","free_amount":"1"}`, false},
		{"percentage_per_event", `{"rate_percent":"2","free_event_count":1}`, false},
		{"flat", `{"amount":"5"}`, false},
		{"graduated", `{"tiers":[{"unit_price":"1"}]}`, false},
		{"volume", `{"tiers":[{"unit_price":"1"}]}`, false},
		{"package", `{"package_size":"10","package_price":"1"}`, false},
		{"graduated_percentage", `{"tiers":[{"rate_percent":"1"}]}`, false},
	} {
		if got := parse(t, c.model, c.params).PerEvent(); got != c.want {
			t.Errorf("%s %s: got %v, want %v", c.model, c.params, got, c.want)
		}
	}
}

func TestOfEvent(t *testing.T) {
	for _, c := range []struct{ model, params, quantity, want string }{
		{"per_unit", `{"unit_price":"0.01"}`, "3", "0.03"},
		{"per_unit", `{"unit_price":"0.01","discount_percent":"12.5"}`, "3", "0.02625"},
		{"per_unit", `{"unit_price":"0.01"}`, "-3", "-0.03"},
		{"per_unit", `{"unit_price":"0.0000000005"}`, "1", "0"}, // a tie, to the even digit
		{"per_unit", `{"unit_price":"0.0000000005"}`, "3", "0.000000002"},
		{"per_unit", `{"unit_price":"0.0000000005"}`, "-3", "-0.000000002"},
		{"per_unit", `{"unit_price":"0.000000000500000001"}`, "1", "0.000000001"},
		{"per_unit", `{"unit_price":"999999999999"}`, "1", "999999999999"},
		{"per_unit", `{"unit_price":"1000000000000"}`, "1", "out of range"},
		{"per_unit", `{"unit_price":"1000000000000"}`, "-1", "out of range"},
		{"per_unit", `{"unit_price":"999999999999999999999"}`, "999999999999", "out of range"},
		{"percentage", `{"rate_percent":"2.9"}`, "19.99", "0.57971"},
		{"percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3","min_per_event":"1","max_per_event":"5"}`, "10", "1"},
		{"percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3","min_per_event":"1","max_per_event":"5"}`, "100", "3.2"},
		{"percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3","min_per_event":"1","max_per_event":"5"}`, "1000", "5"},
		{"percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3"}`, "0", "0.3"},
		{"percentage_per_event", `{"rate_percent":"2.9","fixed_per_event":"0.3"}`, "-5", "0"},
	} {
		q, err := schemas.ParseDecimal([]byte(c.quantity))
		if err != nil {
			t.Fatal(err)
		}
		d, err := parse(t, c.model, c.params).OfEvent(q)
		got := d.String()
		if errors.Is(err, schemas.ErrOutOfRange) {
			got = "out of range"
		}
		if got != c.want {
			t.Errorf("%s %s of %s: got %s, want %s", c.model, c.params, c.quantity, got, c.want)
		}
	}
}

// Where a price looks at each event alone, the events' amounts add up to the
// line's, but for what each was rounded by.
func TestEventsAddUp(t *testing.T) {
	found := map[string]int{}
	for _, model := range rating.Models() {
		d := draw{rand.New(rand.NewPCG(11, 12))}
		for range rounds {
			p, events := d.price(model), []string{d.quantity(), d.quantity(), d.quantity()}
			for _, name := range []string{"free_units", "free_amount", "free_event_count"} {
				delete(p, name)
			}
			if d.IntN(2) == 0 {
				p["discount_percent"] = "12.5"
			}
			if model == "percentage" {
				delete(p, "fixed_per_event")
			}
			text, err := json.Marshal(p)
			if err != nil {
				t.Fatal(err)
			}
			price := parse(t, model, string(text))
			if !price.PerEvent() {
				continue
			}
			found[model]++
			sum := rating.NumberOf(0)
			for _, e := range events {
				q, err := num(t, e).Decimal()
				if err != nil {
					t.Fatal(err)
				}
				if rating.NumberFrom(q).Cmp(num(t, e)) != 0 {
					t.Fatalf("the quantity %s has more digits than rows hold", e)
				}
				amount, err := price.OfEvent(q)
				if err != nil {
					t.Fatal(err)
				}
				sum = sum.Plus(rating.NumberFrom(amount))
			}
			line := rated(t, model, p, events...)
			off := sum.Minus(line.Exact)
			if bound := num(t, "0.0000000015"); off.Cmp(bound) > 0 || off.Cmp(rating.NumberOf(0).Minus(bound)) < 0 {
				t.Fatalf("%s %s of %v: events come to %s, the line to %s", model, text, events, sum, line.Exact)
			}
		}
	}
	for _, model := range []string{"per_unit", "percentage", "percentage_per_event"} {
		if found[model] < rounds/10 {
			t.Errorf("%s: %d prices per event", model, found[model])
		}
	}
	if len(found) != 3 {
		t.Errorf("models with prices per event: %v", found)
	}
}

func BenchmarkOfEvent(b *testing.B) {
	price, _ := rating.Parse("", "per_unit", []byte(`{"unit_price":"0.0015"}`))
	q := schemas.Decimal{Units: 3}
	for b.Loop() {
		if _, err := price.OfEvent(q); err != nil {
			b.Fatal(err)
		}
	}
}
