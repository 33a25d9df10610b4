package rating_test

import (
	"fmt"
	"time"

	"tallybook/schemas/rating"
)

func rate(model, params string, events ...int64) {
	price, bad := rating.Parse("", model, []byte(params))
	if bad != nil {
		fmt.Println(bad[0].Problem)
		return
	}
	tally := price.Tally()
	for _, e := range events {
		if err := tally.Event(rating.NumberOf(e)); err != nil {
			fmt.Println(err)
			return
		}
	}
	line, err := tally.Line(rating.Term{}, -1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range line.Parts {
		switch {
		case !p.Percent.IsZero():
			fmt.Printf("%-9s %s × %s %% = %s\n", p.Kind, p.Quantity, p.Percent, p.Amount)
		case p.Kind == rating.EventMin || p.Kind == rating.EventMax:
			fmt.Printf("%-9s %s to %s: %s\n", p.Kind, p.Quantity, p.Price, p.Amount)
		case !p.Quantity.IsZero() && !p.Price.IsZero():
			fmt.Printf("%-9s %s × %s = %s\n", p.Kind, p.Quantity, p.Price, p.Amount)
		default:
			fmt.Printf("%-9s %s\n", p.Kind, p.Amount)
		}
	}
	fmt.Println("amount   ", line.Amount)
}

func Example() {
	rate("graduated", `{"tiers": [{"up_to": "5", "flat_fee": "100"}, {"up_to": "10", "flat_fee": "50"},
		{"up_to": "15", "unit_price": "10"}, {"up_to": null, "unit_price": "5"}], "maximum_amount": "200"}`, 22)
	rate("percentage_per_event", `{"rate_percent": "2.99", "min_per_event": "1.75", "max_per_event": "12", "currency_precision": 2}`, 10, 80, 10000)
	rate("package", `{"package_size": "0", "package_price": "15"}`, 1)
	// Output:
	// tier_fee  1 × 100 = 100
	// tier_fee  1 × 50 = 50
	// usage     5 × 10 = 50
	// usage     7 × 5 = 35
	// maximum   -35
	// amount    200
	// usage     10090 × 2.99 % = 301.691
	// event_min 1 to 1.75: 1.451
	// event_max 1 to 12: -287
	// rounding  -0.002
	// amount    16.14
	// params.package_size must be a decimal above 0, such as "10"
}

func ExampleTerm() {
	price, _ := rating.Parse("", "flat", []byte(`{"amount": "50.00"}`))
	day := func(d int) time.Time { return time.Date(2023, 1, d, 0, 0, 0, 0, time.UTC) }
	line, _ := price.Tally().Line(rating.Term{
		Period: rating.Span{Start: day(1), End: day(32)},
		Held:   rating.Span{Start: day(8), End: day(32)},
	}, rating.MinorPlaces("EUR"))
	share := line.Parts[0].Share
	fmt.Println(share.Part, "of", share.Whole, "days:", line.Amount)
	// Output: 24 of 31 days: 38.71
}
