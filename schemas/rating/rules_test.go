package rating_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallybook/schemas/rating"
)

// sequence is what each event adds to the amount.
func sequence(t *testing.T, p *rating.Price, events ...string) []string {
	t.Helper()
	tally, before := p.Tally(), rating.NumberOf(0)
	var added []string
	for _, e := range events {
		if err := tally.Event(num(t, e)); err != nil {
			t.Fatal(err)
		}
		line := lineOf(t, tally)
		explains(t, line)
		added = append(added, line.Amount.Minus(before).String())
		before = line.Amount
	}
	return added
}

const openMeterTiers = `"tiers":[{"up_to":"5","flat_fee":"100"},{"up_to":"10","flat_fee":"50"},{"up_to":"15","unit_price":"5"},{"up_to":null,"unit_price":"1"}]`

// Each event costs what it adds at its place.
func TestSequences(t *testing.T) {
	for _, c := range []struct{ name, model, params, events, want string }{
		{"adv-1", "graduated", `{"tiers":[{"up_to":"2","unit_price":"0"},{"up_to":null,"unit_price":"2"}]}`, "1 1 1", "0 0 2"},
		{"usagedisc-1", "per_unit", `{"unit_price":"100","free_units":"110"}`, "50 75 30", "0 1500 3000"},
		{"cap-3", "package", `{"package_size":"10","package_price":"15","maximum_amount":"100"}`, "60 50", "90 10"},
		{"cap-5", "graduated", `{` + openMeterTiers + `}`, "12 10", "160 22"},
		{"grad-om-9", "graduated", `{` + openMeterTiers + `,"maximum_amount":"170"}`, "12 10", "160 10"},
		{"a minimum", "per_unit", `{"unit_price":"1","minimum_amount":"10"}`, "3 4 5", "10 0 2"},
		{"flat", "flat", `{"amount":"7.5"}`, "1 1", "7.5 0.0"},
		{"a tier that makes it cheaper", "volume", `{"tiers":[{"up_to":"15","unit_price":"10"},{"up_to":null,"unit_price":"5"}]}`, "15 1 0", "150 -70 0"},
		{"rounded as it goes", "per_unit", `{"unit_price":"0.004","currency_precision":2}`, "1 1 1 1", "0.00 0.01 0.00 0.01"},
		{"less again", "graduated", `{"tiers":[{"up_to":"5","unit_price":"10"},{"up_to":null,"unit_price":"5"}]}`, "5 5 -6", "50 25 -35"},
		{"per event", "percentage_per_event", `{"rate_percent":"2.99","min_per_event":"1.75","max_per_event":"12"}`, "10 80 10000", "1.75 2.392 12.000"},
		{"free events", "percentage_per_event", `{"rate_percent":"2.99","min_per_event":"1.75","max_per_event":"12","free_event_count":2}`, "10 80 10000", "0 0 12"},
		{"a free amount", "percentage_per_event", `{"rate_percent":"2.99","min_per_event":"1.75","max_per_event":"12","free_amount":"30"}`, "10 80 10000", "0 1.794 12.000"},
		{"both, amount first", "percentage_per_event", `{"rate_percent":"2.99","fixed_per_event":"1","free_amount":"30","free_event_count":9}`, "30 10", "0 1.299"},
		{"both, events first", "percentage_per_event", `{"rate_percent":"1","fixed_per_event":"1","free_amount":"30","free_event_count":1}`, "10 10 10", "0 1.1 1.1"},
		{"both, in one event", "percentage_per_event", `{"rate_percent":"2.99","free_event_count":3,"free_amount":"10000"}`, "10 80 10000", "0 0 2.691"},
		{"fees of events in a total", "percentage", `{"rate_percent":"1","fixed_per_event":"2","free_event_count":1}`, "0 100 100", "0 3 3"},
	} {
		events := strings.Fields(c.events)
		got := strings.Join(sequence(t, parse(t, c.model, c.params), events...), " ")
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestRefusedUsage(t *testing.T) {
	perEvent := parse(t, "percentage_per_event", `{"rate_percent":"1"}`)
	perUnit := parse(t, "per_unit", `{"unit_price":"1"}`)
	unknown := parse(t, "percentage", `{"rate_percent":"1","fixed_per_event":"2"}`).Tally()
	if err := unknown.Total(num(t, "100"), -1); err != nil {
		t.Fatal(err)
	}
	_, uncounted := unknown.Line(rating.Term{}, -1)
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"total of events", perEvent.Tally().Total(num(t, "5"), 1), "quantity must be given event by event"},
		{"total below 0", perUnit.Tally().Total(num(t, "-5"), 1), "quantity must be a decimal of 0 or more"},
		{"event below 0", perEvent.Tally().Event(num(t, "-5")), "quantity must have events of 0 or more"},
		{"sum below 0", perUnit.Tally().Event(num(t, "-5")), "quantity must not fall below 0"},
		{"events below 0", perUnit.Tally().Total(num(t, "5"), -2), "the number of events must be 0 or more"},
		{"fees of unknown events", uncounted, "params.event_count is required"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, c.err, c.want)
		}
	}
	if err := unknown.Total(num(t, "100"), 3); err != nil {
		t.Fatal(err)
	}
	if got := lineOf(t, unknown).Amount.String(); got != "7" {
		t.Errorf("with 3 events: got %s, want 7", got)
	}
}

// The choices where systems disagree: the default, and the other.
func TestChoices(t *testing.T) {
	const tiers = `"tiers":[{"up_to":"5","unit_price":"1","flat_fee":"10"},{"up_to":null,"unit_price":"1","flat_fee":"3"}]`
	const percent = `"tiers":[{"up_to":"10","rate_percent":"1","flat_fee":"200"},{"up_to":null,"rate_percent":"3","flat_fee":"400"}]`
	const capped = `"unit_price":"10","discount_percent":"10","maximum_amount":"80"`
	for _, c := range []struct{ model, params, quantity, want string }{
		{"graduated", `{` + tiers + `}`, "0", "10"},
		{"graduated", `{` + tiers + `,"flat_fee_at_zero":true}`, "0", "10"},
		{"graduated", `{` + tiers + `,"flat_fee_at_zero":false}`, "0", "0"},
		{"graduated", `{` + tiers + `,"flat_fee_at_zero":false}`, "0.1", "10.1"},
		{"graduated", `{` + tiers + `,"flat_fee_at_zero":false,"free_units":"2"}`, "1", "10"},
		{"volume", `{` + tiers + `}`, "0", "10"},
		{"volume", `{` + tiers + `,"flat_fee_at_zero":false}`, "0", "0"},
		{"volume", `{` + tiers + `,"flat_fee_at_zero":false}`, "6", "9"},
		{"graduated_percentage", `{` + percent + `,"flat_fee_at_zero":false}`, "0", "0"},
		{"per_unit", `{` + capped + `}`, "9", "80"},
		{"per_unit", `{` + capped + `,"discount_order":"before cap"}`, "8", "72"},
		{"per_unit", `{` + capped + `,"discount_order":"after cap"}`, "9", "72"},
		{"per_unit", `{` + capped + `,"discount_order":"after cap","minimum_amount":"75"}`, "9", "75"},
		{"per_unit", `{"unit_price":"10","discount_percent":"100"}`, "9", "0"},
		{"per_unit", `{"unit_price":"0.333","currency_precision":2}`, "1", "0.33"},
		{"per_unit", `{"unit_price":"0.333","currency_precision":2,"round":"sum"}`, "1", "0.333"},
		{"package", `{"package_size":"0.5","package_price":"1","rounding":"up"}`, "0.6", "2"},
		{"package", `{"package_size":"0.5","package_price":"1","rounding":"down"}`, "0.6", "1"},
		{"package", `{"package_size":"10","package_price":"1","free_units":"20"}`, "11", "0"},
		{"flat", `{"amount":100}`, "0", "100"},
		{"percentage", `{"rate_percent":"0","fixed_per_event":"2","event_count":4}`, "800", "8"},
		{"percentage", `{"rate_percent":"1.3","fixed_per_event":"2","event_count":4}`, "0", "0"},
		{"percentage", `{"rate_percent":"1.3","fixed_per_event":"2","event_count":4,"free_amount":"400","free_event_count":5}`, "400", "0"},
	} {
		line := lineOf(t, tallyOf(t, parse(t, c.model, c.params), json.RawMessage(`"`+c.quantity+`"`)))
		explains(t, line)
		if line.Amount.Cmp(num(t, c.want)) != 0 {
			t.Errorf("%s %s of %s: got %s, want %s", c.model, c.params, c.quantity, line.Amount, c.want)
		}
	}
}

func span(t *testing.T, from, to string) (s rating.Span) {
	t.Helper()
	var errs [2]error
	s.Start, errs[0] = time.Parse(time.RFC3339, from)
	s.End, errs[1] = time.Parse(time.RFC3339, to)
	if errs != [2]error{} {
		t.Fatal(errs)
	}
	return s
}

func TestProration(t *testing.T) {
	const march, april = "2024-03-01T00:00:00Z", "2024-04-01T00:00:00Z"
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, model, params, units string
		period, held               rating.Span
		zone                       *time.Location
		want                       string
	}{
		{"pro-1, credit", "flat", `{"amount":"10"}`, "0", span(t, march, april), span(t, "2024-03-15T00:00:00Z", april), nil, "5.48"},
		{"pro-1, charge", "flat", `{"amount":"20"}`, "0", span(t, march, april), span(t, "2024-03-15T12:00:00Z", april), nil, "10.97"},
		{"pro-2, credit", "flat", `{"amount":"100"}`, "0", span(t, march, april), span(t, "2024-03-15T00:00:00Z", april), nil, "54.84"},
		{"pro-6", "flat", `{"amount":"50.00"}`, "0", span(t, "2023-01-01T00:00:00Z", "2023-02-01T00:00:00Z"), span(t, "2023-01-08T00:00:00Z", "2023-02-01T00:00:00Z"), nil, "38.71"},
		{"pro-7", "flat", `{"amount":"910.00"}`, "0", span(t, "2024-04-01T00:00:00Z", "2024-07-01T00:00:00Z"), span(t, "2024-05-20T00:00:00Z", "2024-06-21T00:00:00Z"), nil, "320.00"},
		{"trueup-1", "per_unit", `{"unit_price":"8.00","minimum_amount":"10.00"}`, "1", span(t, "2023-02-01T00:00:00Z", "2023-03-01T00:00:00Z"), span(t, "2023-02-04T00:00:00Z", "2023-03-01T00:00:00Z"), nil, "8.93"},
		{"units are not shared", "per_unit", `{"unit_price":"8.00","maximum_amount":"10.00"}`, "2", span(t, march, april), span(t, "2024-03-31T00:00:00Z", april), nil, "10.00"},
		{"whole, and more", "flat", `{"amount":"10"}`, "0", span(t, march, april), span(t, "2023-03-31T00:00:00Z", "2025-03-31T00:00:00Z"), nil, "10.00"},
		{"held outside", "flat", `{"amount":"10","minimum_amount":"9"}`, "0", span(t, march, april), span(t, "2025-03-31T00:00:00Z", "2025-04-30T00:00:00Z"), nil, "0.00"},
		{"seconds", "flat", `{"amount":"31","proration":"seconds"}`, "0", span(t, march, april), span(t, "2024-03-15T12:00:00Z", april), nil, "16.50"},
		{"none", "flat", `{"amount":"31","proration":"none"}`, "0", span(t, march, april), span(t, "2024-03-15T12:00:00Z", april), nil, "31.00"},
		// 31 dates, the 31st of 23 hours; the start is the 15th in Berlin, the 14th in UTC.
		{"days of a zone", "flat", `{"amount":"31"}`, "0", span(t, "2024-03-01T00:00:00+01:00", "2024-04-01T00:00:00+02:00"), span(t, "2024-03-14T23:30:00Z", "2024-04-01T00:00:00+02:00"), berlin, "17.00"},
	} {
		tally := parse(t, c.model, c.params).Tally()
		if err := tally.Total(num(t, c.units), -1); err != nil {
			t.Fatal(err)
		}
		line, err := tally.Line(rating.Term{Period: c.period, Held: c.held, Zone: c.zone}, 2)
		if err != nil || line.Amount.String() != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.name, line.Amount, err, c.want)
			continue
		}
		explains(t, line)
	}
	tally := parse(t, "flat", `{"amount":"1"}`).Tally()
	if line, err := tally.Line(rating.Term{Zone: berlin}, 2); err != nil || line.Amount.String() != "1.00" {
		t.Errorf("a zone alone: got %+v, %v, want 1.00", line, err)
	}
	if line, err := tally.Line(rating.Term{Period: span(t, march, march), Held: span(t, march, april)}, 2); err == nil {
		t.Errorf("a period of no days: got %+v, want an error", line)
	}
}

// Shares of spans that join add up to the whole, by days and seconds.
func TestSharesJoin(t *testing.T) {
	whole := span(t, "2024-10-01T00:00:00Z", "2024-11-01T00:00:00Z")
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for _, by := range []string{"days", "seconds"} {
		price := parse(t, "flat", `{"amount":"1","proration":"`+by+`"}`)
		for cut := whole.Start; !cut.After(whole.End); cut = cut.Add(7*time.Hour + 13*time.Second) {
			sum := int64(0)
			for _, held := range []rating.Span{{Start: whole.Start, End: cut}, {Start: cut, End: whole.End}} {
				line, err := price.Tally().Line(rating.Term{Period: whole, Held: held, Zone: zone}, -1)
				if err != nil {
					t.Fatal(err)
				}
				if share := line.Parts[0].Share; share != nil {
					sum += share.Part
				} else {
					sum += int64(map[string]int{"days": 31, "seconds": 31 * 24 * 60 * 60}[by])
				}
			}
			if want := int64(map[string]int{"days": 31, "seconds": 31 * 24 * 60 * 60}[by]); sum != want {
				t.Fatalf("%s, cut at %s: got %d, want %d", by, cut, sum, want)
			}
		}
	}
}

func TestParse(t *testing.T) {
	many := `{"tiers":[` + strings.Repeat(`{"up_to":"1"},`, 1000) + `{"up_to":null}]}`
	for _, c := range []struct {
		model, params string
		want          []string // fields at fault
	}{
		{"flat", `{"amount":"100"}`, nil},
		{"flat", `{"amount":100.5,"minimum_amount":"1","maximum_amount":null,"note":"for good customers"}`, nil},
		{"flat", `{}`, []string{"p.params.amount"}},
		{"flat", `{"amount":null}`, []string{"p.params.amount"}},
		{"flat", `{"amount":"1","amount":"2"}`, []string{"p.params"}},
		{"flat", `{"amount":"1","amounts":"2"}`, []string{"p.params.amounts"}},
		{"flat", `{"amount":" 1"}`, []string{"p.params.amount"}},
		{"flat", `{"amount":"1,5"}`, []string{"p.params.amount"}},
		{"flat", `{"amount":true,"note":5,"unit_price":"1"}`, []string{"p.params.amount", "p.params.note", "p.params.unit_price"}},
		{"flat", `{"amount":"0.0000000000000000001"}`, []string{"p.params.amount"}},
		{"flat", `{"amount":1e21}`, []string{"p.params.amount"}},
		{"flat", `{"amount":"1","minimum_amount":"2","maximum_amount":"1"}`, []string{"p.params.minimum_amount"}},
		{"flat", `{"amount":"1","discount_percent":"100.1","discount_order":"later","round":1,"proration":"hours"}`,
			[]string{"p.params.discount_order", "p.params.discount_percent", "p.params.proration", "p.params.round"}},
		{"per_unit", `{"unit_price":"-0.01"}`, []string{"p.params.unit_price"}},
		{"per_unit", `{"unit_price":"0.01","currency_precision":12}`, []string{"p.params.currency_precision"}},
		{"per_unit", `{"unit_price":"0.01","currency_precision":1.5}`, []string{"p.params.currency_precision"}},
		{"graduated", `{"tiers":[{"up_to":"5","flat_fee":"100"},{"up_to":"10.5"},{"up_to":null,"unit_price":"5"}]}`, nil},
		{"graduated", `{"tiers":[{"unit_price":"5"}],"flat_fee_at_zero":false}`, nil},
		{"graduated", `{"tiers":[{"unit_price":"5"}],"flat_fee_at_zero":"no"}`, []string{"p.params.flat_fee_at_zero"}},
		{"graduated", `{"tiers":[{"up_to":"5"},{"up_to":"5"},{"up_to":null}]}`, []string{"p.params.tiers[1].up_to"}},
		{"graduated", `{"tiers":[{"up_to":"0"},{"up_to":null}]}`, []string{"p.params.tiers[0].up_to"}},
		{"graduated", `{"tiers":[{"up_to":null,"rate_percent":"5"}]}`, []string{"p.params.tiers[0].rate_percent"}},
		{"graduated", many, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[{"up_to":"5"}]}`, []string{"p.params.tiers[0].up_to"}},
		{"volume", `{"tiers":[{"up_to":null},{"up_to":null}]}`, []string{"p.params.tiers[0].up_to"}},
		{"volume", `{"tiers":[]}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":{}}`, []string{"p.params.tiers"}},
		{"volume", `{"tiers":[{}]}`, nil}, // one open tier that costs nothing
		{"volume", `{"tiers":[null]}`, []string{"p.params.tiers[0]"}},
		{"volume", `{"tiers":[{"up_to":null,"unit_price":"free"}]}`, []string{"p.params.tiers[0].unit_price"}},
		{"package", `{"package_size":"10","package_price":"15","free_units":"5","rounding":"up"}`, nil},
		{"package", `{"package_size":"0","package_price":"15","rounding":"half"}`, []string{"p.params.package_size", "p.params.rounding"}},
		{"percentage", `{"rate_percent":"2.9"}`, nil},
		{"percentage", `{"rate_percent":"2.9","event_count":1.5}`, []string{"p.params.event_count"}},
		{"percentage_per_event", `{"rate_percent":"2.99","min_per_event":"1.75","max_per_event":"12"}`, nil},
		{"percentage_per_event", `{"rate_percent":"2.99","min_per_event":"13","max_per_event":"12"}`, []string{"p.params.min_per_event"}},
		{"graduated_percentage", `{"tiers":[{"up_to":null,"rate_percent":"3"}]}`, nil},
		{"graduated_percentage", `{"tiers":[{"up_to":null,"unit_price":"3"}]}`, []string{"p.params.tiers[0].unit_price"}},
		{"free", `{}`, []string{"p.model"}},
		{"flat", `[]`, []string{"p.params"}},
		{"flat", `null`, []string{"p.params"}},
		{"flat", ``, []string{"p.params"}},
	} {
		var got []string
		price, bad := rating.Parse("p.", c.model, []byte(c.params))
		for _, p := range bad {
			got = append(got, p.Field)
			if !strings.HasPrefix(p.Problem, p.Field+" ") {
				t.Errorf("got %q, want it to name %s", p.Problem, p.Field)
			}
		}
		if !reflect.DeepEqual(got, c.want) || (price == nil) != (bad != nil) {
			t.Errorf("%s %.200s: got faults of %q, want %q", c.model, c.params, got, c.want)
		}
	}
}

// No parts are an empty list, not null.
func TestNoParts(t *testing.T) {
	line := lineOf(t, tallyOf(t, parse(t, "graduated", `{"tiers":[{"unit_price":"1"}]}`), json.RawMessage(`"0"`)))
	got, err := json.Marshal(line)
	if want := `{"quantity":"0","amount":"0","exact":"0","places":-1,"parts":[]}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func TestMinorPlaces(t *testing.T) {
	for currency, want := range map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "XPF": 0, "KWD": 3, "CLF": 4, "ZZZ": 2, "F C": 2, "": 2} {
		if got := rating.MinorPlaces(currency); got != want {
			t.Errorf("%q: got %d, want %d", currency, got, want)
		}
	}
	tally := parse(t, "per_unit", `{"unit_price":"10.55"}`).Tally()
	if err := tally.Total(rating.NumberOf(10), -1); err != nil {
		t.Fatal(err)
	}
	if line, err := tally.Line(rating.Term{}, rating.MinorPlaces("JPY")); err != nil || line.Amount.String() != "106" || line.Exact.String() != "105.5" {
		t.Errorf("got %+v, %v, want 106 of 105.5", line, err)
	}
}
