package rating_test

import (
	"encoding/json"
	"os"
	"slices"
	"sort"
	"strings"
	"testing"

	"tallybook/schemas/rating"
)

// pricingCase is one of testdata/cases/pricing.json.
type pricingCase struct {
	ID      string          `json:"id"`
	Model   string          `json:"model"`
	Params  json.RawMessage `json:"params"`
	Want    string          `json:"expected_amount"`
	WantAll []string        `json:"expected_amounts"`
	// a decimal as text, a list of them, or, of models that we do not have, anything
	Quantity json.RawMessage `json:"quantity"`
}

// notRated says why the cases of a model are not for a price to answer.
var notRated = map[string]string{
	"blocks_all_tiers":              "tiers of blocks with a size each; no model of usage-v1.md",
	"blocks_top_tier":               "tiers of blocks with a size each; no model of usage-v1.md",
	"capacity":                      "one price for the peaks of several units; no model of usage-v1.md",
	"credit_note":                   "what a credit note gives back: of invoices",
	"daily_allowance_overage":       "an allowance by the day: a price rates the period as a whole",
	"graduated_marginal_per_event":  "graduated, which prices a sequence so (TestSequences has this case)",
	"graduated_prorated_units":      "units weighted by time, beside the full ones; no model of usage-v1.md",
	"hashmap":                       "CloudKitty's rules by the values of fields; no model of usage-v1.md",
	"invoice_subtotal":              "the sum of lines: of invoices (TestTotal has these cases)",
	"late_usage_delta":              "rate(total now) - what was billed: of invoices (TestLateUsage has these cases)",
	"multi_unit_blocks_all_tiers":   "several units in one price; no model of usage-v1.md",
	"per_window_sum":                "a rating by the hour: a price rates the period as a whole",
	"progressive_billing":           "invoices in the middle of a period: of invoices",
	"prorated_minimum_true_up":      "the minimum's part of a line (TestProration has this case)",
	"proration_change":              "a credit and a charge: of invoices (TestProration has their shares)",
	"proration_first_period":        "a share (TestProration has this case), with its tax: of invoices",
	"proration_termination":         "a share of a quarter (TestProration has this case)",
	"round_to_currency":             "rounding alone (TestRound has these cases)",
	"split":                         "the rest of a period after an invoice: of invoices (TestSequences has this case)",
	"split_with_cap":                "the rest of a period after an invoice: of invoices (TestSequences has this case)",
	"tax":                           "tax: of invoices",
	"unit_conversion_quantity":      "what a meter counts, before it is priced; no model of usage-v1.md",
	"usage_discount_progressive":    "free units used up by several invoices: of invoices (TestSequences has this case)",
	"volume_prorated_units":         "units weighted by time, beside the full ones; no model of usage-v1.md",
	"weighted_sum_quantity":         "an aggregation of a meter; no model of usage-v1.md",
	"window_commitment":             "a commitment by the window; no model of usage-v1.md",
	"window_commitment_time_of_day": "a commitment by the time of day; no model of usage-v1.md",
}

func readCases(t *testing.T) (cases []pricingCase) {
	t.Helper()
	if err := json.Unmarshal(casesText(t), &cases); err != nil || len(cases) < 128 {
		t.Fatalf("got %d cases, %v", len(cases), err)
	}
	return cases
}

func casesText(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("../../testdata/cases/pricing.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// casesOf are the cases of a model, or of one that begins so.
func casesOf(t *testing.T, model string) (some []pricingCase) {
	t.Helper()
	for _, c := range readCases(t) {
		if c.Model == model || strings.HasPrefix(c.Model, model+":") {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		t.Fatalf("no cases of %s", model)
	}
	return some
}

// parse is a price that must be right.
func parse(t *testing.T, model, params string) *rating.Price {
	t.Helper()
	p, bad := rating.Parse("", model, []byte(params))
	if bad != nil {
		t.Fatalf("%s %s: %v", model, params, bad)
	}
	return p
}

func num(t *testing.T, text string) rating.Number {
	t.Helper()
	n, err := rating.ParseNumber(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

// tallyOf is the usage that a case's quantity stands for.
func tallyOf(t *testing.T, p *rating.Price, quantity json.RawMessage) *rating.Tally {
	t.Helper()
	tally := p.Tally()
	var events []string
	var total string
	err := json.Unmarshal(quantity, &events)
	for _, e := range events {
		if err == nil {
			err = tally.Event(num(t, e))
		}
	}
	if events == nil {
		if err = json.Unmarshal(quantity, &total); err == nil {
			err = tally.Total(num(t, total), -1)
		}
	}
	if err != nil {
		t.Fatalf("quantity %s: %v", quantity, err)
	}
	return tally
}

func lineOf(t *testing.T, tally *rating.Tally) rating.Line {
	t.Helper()
	line, err := tally.Line(rating.Term{}, -1)
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// Every case of a model that usage-v1.md names passes from the file; of the
// others the log says why they are not rated.
func TestCases(t *testing.T) {
	rated := map[string]int{}
	others := map[string][]string{}
	for _, c := range readCases(t) {
		if !slices.Contains(rating.Models(), c.Model) {
			base, _, _ := strings.Cut(c.Model, ":")
			others[base] = append(others[base], c.ID)
			continue
		}
		rated[c.Model]++
		line := lineOf(t, tallyOf(t, parse(t, c.Model, string(c.Params)), c.Quantity))
		if line.Amount.Cmp(num(t, c.Want)) != 0 {
			t.Errorf("%s: got %s, want %s: %+v", c.ID, line.Amount, c.Want, line.Parts)
		}
		explains(t, line)
	}
	for _, model := range rating.Models() {
		if rated[model] == 0 {
			t.Errorf("no case of the model %s", model)
		}
	}
	var log []string
	for model, ids := range others {
		if notRated[model] == "" {
			t.Errorf("%s, %v: neither rated nor said why not", model, ids)
		}
		log = append(log, model+" ("+strings.Join(ids, " ")+"): "+notRated[model])
	}
	sort.Strings(log)
	t.Logf("rated: %v\nnot rated:\n%s", rated, strings.Join(log, "\n"))
}

// explains: the parts add up to the amount, and each to its own factors.
func explains(t *testing.T, l rating.Line) {
	t.Helper()
	sum := rating.NumberOf(0)
	for _, p := range l.Parts {
		sum = sum.Plus(p.Amount)
		var want rating.Number
		switch p.Kind {
		case rating.Usage, rating.Flat, rating.TierFee, rating.Packages, rating.EventFee, rating.Discount:
			if p.Share != nil {
				continue // a quotient
			}
			if want = p.Quantity.Times(p.Price); !p.Percent.IsZero() {
				want = p.Quantity.Times(p.Percent).Times(num(t, "0.01"))
			}
		case rating.Free:
			want = rating.NumberOf(0)
		default:
			continue
		}
		if p.Amount.Cmp(want) != 0 {
			t.Errorf("got %+v, want an amount of %s", p, want)
		}
	}
	if sum.Cmp(l.Amount) != 0 {
		t.Errorf("parts add up to %s, want %s: %+v", sum, l.Amount, l)
	}
}

// Late usage is billed as the rating of the new total less what was billed.
func TestLateUsage(t *testing.T) {
	for _, c := range casesOf(t, "late_usage_delta") {
		_, model, _ := strings.Cut(c.Model, ":")
		price := parse(t, model, string(c.Params))
		var totals []string
		if err := json.Unmarshal(c.Quantity, &totals); err != nil {
			t.Fatal(err)
		}
		billed := rating.NumberOf(0)
		for i, total := range totals {
			quantity, _ := json.Marshal(total)
			got := lineOf(t, tallyOf(t, price, quantity)).Amount.Minus(billed)
			if want := num(t, c.WantAll[i]); got.Cmp(want) != 0 {
				t.Errorf("%s, %d: got %s, want %s", c.ID, i, got, want)
			}
			billed = billed.Plus(got)
		}
	}
}

func TestRound(t *testing.T) {
	for _, c := range casesOf(t, "round_to_currency") {
		var params struct {
			Places int `json:"currency_precision"`
		}
		var quantity string
		if err := json.Unmarshal(c.Params, &params); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(c.Quantity, &quantity); err != nil {
			t.Fatal(err)
		}
		if got, want := num(t, quantity).Round(params.Places).String(), c.Want; got != want {
			t.Errorf("%s: got %s, want %s", c.ID, got, want)
		}
		if got, want := num(t, "-"+quantity).Round(params.Places), num(t, "-"+c.Want); got.Cmp(want) != 0 {
			t.Errorf("%s below zero: got %s, want %s", c.ID, got, want)
		}
	}
}

func TestTotal(t *testing.T) {
	for _, c := range casesOf(t, "invoice_subtotal") {
		var amounts []string
		if err := json.Unmarshal(c.Quantity, &amounts); err != nil {
			t.Fatal(err)
		}
		lines := func(round string) (all []rating.Line) {
			for _, a := range amounts {
				all = append(all, lineOf(t, parse(t, "flat", `{"amount":"`+a+`","currency_precision":2,"round":"`+round+`"}`).Tally()))
			}
			return all
		}
		if got := rating.Total(lines("per line")).String(); got != c.Want {
			t.Errorf("%s: got %s, want %s", c.ID, got, c.Want)
		}
		sum := rating.NumberOf(0)
		for _, a := range amounts {
			sum = sum.Plus(num(t, a))
		}
		mixed := append(lines("sum"), lineOf(t, parse(t, "flat", `{"amount":"0","round":"sum"}`).Tally()))
		if got, want := rating.Total(mixed).String(), sum.Round(2).String(); got != want {
			t.Errorf("%s, round the sum: got %s, want %s", c.ID, got, want)
		}
	}
}
