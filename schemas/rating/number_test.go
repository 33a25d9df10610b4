package rating_test

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strings"
	"testing"

	"tallybook/schemas"
	"tallybook/schemas/rating"
)

func TestParseNumber(t *testing.T) {
	nines := strings.Repeat("9", rating.MaxWhole) + "." + strings.Repeat("9", rating.MaxPlaces)
	for text, want := range map[string]string{
		"0": "0", "-0": "0", "0.00": "0", "0e9": "0", "12.50": "12.5", "-0.5": "-0.5", "1e3": "1000", "25E-1": "2.5", "1.5e+2": "150",
		nines: nines, "1e20": "100000000000000000000", "1e-18": "0.000000000000000001", "1000.0000000000000000000000": "1000",
	} {
		if got := num(t, text).String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", " ", "-", "+1", "01", "-01", ".5", "5.", "1e", "1e+", "1e1000", "1e-1000", "1e21", "1e-19", "0x1", "1_0", "1,0", "1 ", " 1",
		"NaN", "Inf", "-Infinity", "null", "١", "1.2.3", "--1", "1e1.5", "1" + nines, strings.Repeat("0", 65), "0." + strings.Repeat("0", 62) + "0"} {
		if n, err := rating.ParseNumber(text); err == nil {
			t.Errorf("%q: got %s, want an error", text, n)
		}
	}
}

func TestNumberDecimal(t *testing.T) {
	for text, want := range map[string]schemas.Decimal{
		"0": {}, "1.5": {Units: 1, Nanos: 5e8}, "-0.5": {Units: -1, Nanos: 5e8}, "-2": {Units: -2},
		"0.0000000005": {}, "0.0000000015": {Nanos: 2}, "-0.0000000005": {}, "-0.0000000015": {Units: -1, Nanos: 999_999_998},
		"9223372036854775807.999999999": {Units: math.MaxInt64, Nanos: 999_999_999}, "-9223372036854775807.5": {Units: math.MinInt64, Nanos: 5e8},
	} {
		n := num(t, text)
		got, err := n.Decimal()
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", text, got, err, want)
		}
		if back := rating.NumberFrom(got); back.Cmp(n.Round(9)) != 0 && !strings.HasSuffix(text, "5") {
			t.Errorf("%s: got %s back", text, back)
		}
	}
	for _, text := range []string{"9223372036854775808", "-9223372036854775809", "-9223372036854775808.5", "9223372036854775807.9999999999", "1e20"} {
		if got, err := num(t, text).Decimal(); !errors.Is(err, schemas.ErrOverflow) {
			t.Errorf("%s: got %+v, %v, want an overflow", text, got, err)
		}
	}
}

func TestNumberJSON(t *testing.T) {
	got, err := json.Marshal(struct {
		A, B rating.Number
		C    rating.Number `json:"c,omitzero"`
		D    rating.Number `json:"d,omitzero"`
	}{A: num(t, "1e3"), B: num(t, "2").Round(2), D: num(t, "0")})
	if want := `{"A":"1000","B":"2.00","d":"0"}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

// A line that is kept reads as the same line, also a share with its many digits.
func TestLineJSON(t *testing.T) {
	third := rating.Term{Period: span(t, "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"), Held: span(t, "2024-02-04T00:00:00Z", "2024-02-11T00:00:00Z")}
	line, err := parse(t, "flat", `{"amount":"123456789012345678901.123456789012345678","discount_percent":"0.000000000000000001"}`).Tally().Line(third, -1)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(line)
	var got rating.Line
	if err := errors.Join(err, json.Unmarshal(kept, &got)); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(got)
	if err != nil || string(again) != string(kept) || got.Amount.Cmp(line.Amount) != 0 {
		t.Errorf("got %s, %v, want %s", again, err, kept)
	}
	explains(t, got)
	if len(line.Amount.String()) < 64 {
		t.Errorf("%s is short: does this test still look at anything?", line.Amount)
	}
	for _, text := range []string{"1" + strings.Repeat("0", 256), "1e3", "", "x"} {
		if got, err := rating.ParseAmount(text); err == nil {
			t.Errorf("%.10s: got %s, want an error", text, got)
		}
	}
}

// What is accepted is the number that is written, to the digit, and written as it is read.
func FuzzParseNumber(f *testing.F) {
	for _, text := range []string{"0", "-12.50", "1e3", "25E-1", "9e-19", "1e999", "NaN", "0x1p3"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := rating.ParseNumber(text)
		if err != nil {
			return
		}
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is no JSON number", text)
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok || want.Cmp(ratOf(t, n)) != 0 {
			t.Fatalf("%q: got %s", text, n)
		}
		if again, err := rating.ParseNumber(n.String()); err != nil || again.Cmp(n) != 0 {
			t.Fatalf("%s: got %s, %v", n, again, err)
		}
	})
}

// Whatever the params, a price is right and rates, or is refused by names.
func FuzzParse(f *testing.F) {
	var cases []pricingCase
	if err := json.Unmarshal(casesText(f), &cases); err != nil {
		f.Fatal(err)
	}
	for _, c := range cases {
		f.Add(c.Model, []byte(c.Params), "12.5")
	}
	f.Fuzz(func(t *testing.T, model string, params []byte, quantity string) {
		price, bad := rating.Parse("", model, params)
		if (price == nil) != (len(bad) > 0) {
			t.Fatalf("got %v and %v", price, bad)
		}
		for _, b := range bad {
			if b.Field != "model" && !strings.HasPrefix(b.Field, "params") {
				t.Fatalf("got %+v", b)
			}
		}
		value, err := rating.ParseNumber(quantity)
		if price == nil || err != nil {
			return
		}
		tally := price.Tally()
		if tally.Event(value) != nil {
			return
		}
		line := lineOf(t, tally)
		explains(t, line)
		if line.Amount.Sign() < 0 {
			t.Fatalf("%s %s of %s: got %s", model, params, quantity, line.Amount)
		}
	})
}
