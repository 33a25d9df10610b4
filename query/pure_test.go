package query

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"tallybook/api"
	"tallybook/schemas"
)

func TestParseISODate(t *testing.T) {
	good := map[string]string{
		"2019-05-01T00:00:00Z":        "2019-05-01T00:00:00Z",
		"2019-05-01 00:00:00+00:00":   "2019-05-01T00:00:00Z",
		"20190501T000000Z":            "2019-05-01T00:00:00Z",
		"20190501":                    "2019-05-01T00:00:00Z",
		"2019-05-01":                  "2019-05-01T00:00:00Z",
		"2019-05":                     "2019-05-01T00:00:00Z",
		"2019":                        "2019-01-01T00:00:00Z",
		"2019-05-01T10":               "2019-05-01T10:00:00Z",
		"2019-05-01T10:11":            "2019-05-01T10:11:00Z",
		"2019-05-01T02:00:00+02:00":   "2019-05-01T00:00:00Z",
		"2019-05-01T02:00:00+0200":    "2019-05-01T00:00:00Z",
		"2019-05-01T02:00:00+02":      "2019-05-01T00:00:00Z",
		"2019-05-01T00:00:00-05:30":   "2019-05-01T05:30:00Z",
		"2019-05-01T00:00:00.900000Z": "2019-05-01T00:00:00Z",
		"2019-05-01T00:00:00,9":       "2019-05-01T00:00:00Z",
		"2020-02-29":                  "2020-02-29T00:00:00Z",
		"9999-12-31T23:59:59Z":        "9999-12-31T23:59:59Z",
	}
	for text, want := range good {
		got, err := parseISODate(text)
		if err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%q: got %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "not-a-date", "2019-13-01T00:00:00Z", "2019-00-01", "2019-02-29", "2019-05-32", "2019-05-00",
		"2019-05-01t00:00:00Z", "2019-05-01T00:00:00z", "1556668800", "155666880", "2019-05-01T24:00:00", "2019-05-01T00:00:60Z",
		"2019-05-01T00:60:00Z", "201905", "0000-01-01", "2019-05-01T00:00:00+24:00", "2019-05-01T00:00:00+02:60", "2019-05-01T",
		"2019-05-01Z", "2019-05-01 00:00:00 00:00", " 2019", "2019\n", "٢٠١٩", "2019-05-01T00:00:00.Z", "2019-"} {
		if got, err := parseISODate(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func FuzzParseISODate(f *testing.F) {
	f.Add("2019-05-01T02:00:00+02:00")
	f.Add("20190501T000000.5Z")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseISODate(text)
		if err != nil {
			return
		}
		again, err := parseISODate(got.Format("2006-01-02T15:04:05Z"))
		if y := got.Year(); y >= 1 && y <= 9999 && (err != nil || !again.Equal(got)) {
			t.Errorf("%q is %v, which reads back as %v, %v", text, got, again, err)
		}
	})
}

func TestSummaryParams(t *testing.T) {
	now := time.Date(2026, 12, 31, 23, 59, 0, 0, time.UTC)
	p, err := parseSummaryParams(url.Values{}, now)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := isoTime(p.begin)+" "+isoTime(p.end), "2026-12-01T00:00:00+00:00 2027-01-01T00:00:00+00:00"; got != want || p.limit != 100 || p.offset != 0 || p.object {
		t.Errorf("defaults: got %s, %+v, want %s", got, p, want)
	}
	values, err := url.ParseQuery("filters=k%3Av%2Ck2%3Av2&filter=k:w&filters=e:&groupby=id%2Ctype&groupby=type,time&limit=100000000000000000000&offset=3&response_format=object")
	if err != nil {
		t.Fatal(err)
	}
	if p, err = parseSummaryParams(values, now); err != nil {
		t.Fatal(err)
	}
	if got, want := p.groupBy, []string{"id", "type", "time"}; !reflect.DeepEqual(got, want) {
		t.Errorf("groupby: got %q, want %q", got, want)
	}
	if got, want := p.filters, map[string][]string{"k": {"w", "v"}, "k2": {"v2"}, "e": {""}}; !reflect.DeepEqual(got, want) {
		t.Errorf("filters: got %q, want %q", got, want)
	}
	if p.limit != math.MaxInt64 || p.offset != 3 || !p.object {
		t.Errorf("got %+v", p)
	}
	for query, field := range map[string]string{
		"limit=1.5": "limit", "limit=1&limit=2": "limit", "limit=0": "limit", "limit=": "limit", "limit=-1": "limit", "limit=+1": "limit",
		"offset=": "offset", "offset=-1": "offset", "offset=a": "offset", "offset=1&offset=2": "offset", "offset=-99999999999999999999": "offset",
		"filters=abc": "filters", "filters=a:b:c": "filters", "filters=": "filters", "filter=a:b,": "filter",
		"foo=bar": "foo", "Limit=1": "Limit", "begin=not-a-date": "begin", "begin=": "begin", "begin=2019-05-01&begin=2019-05-02": "begin",
		"end=2019-13-01T00:00:00Z": "end", "response_format=csv": "response_format", "response_format=": "response_format", "groupby=": "groupby",
		"groupby=a,,b":             "groupby",
		"groupby=" + manyNames(33): "groupby", "filters=" + strings.Repeat("k:v,", 500) + "k:v": "filters",
	} {
		values, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseSummaryParams(values, now)
		var f *api.Failure
		if !errors.As(err, &f) || f.Status != 400 || f.Field != field {
			t.Errorf("%s: got %v, want a 400 about %s", query, err, field)
		}
	}
}

func manyNames(n int) string {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprint("n", i))
	}
	return strings.Join(names, ",")
}

func TestTimeAttributes(t *testing.T) {
	for _, c := range []struct{ date, attr, want string }{
		{"2021-01-01", "week_of_the_year", "00"}, {"2022-01-01", "week_of_the_year", "00"}, {"2023-01-02", "week_of_the_year", "01"},
		{"2023-01-01", "week_of_the_year", "01"}, {"2028-12-31", "week_of_the_year", "53"}, {"2026-12-31", "week_of_the_year", "52"},
		{"2020-12-31", "day_of_the_year", "366"}, {"2021-01-02", "day_of_the_year", "2"}, {"2021-01-02", "month", "1"}, {"2021-12-02", "year", "2021"},
	} {
		at, err := time.Parse(time.DateOnly, c.date)
		if err != nil {
			t.Fatal(err)
		}
		if got := timeAttributes[c.attr].of(at); got != c.want {
			t.Errorf("%s of %s: got %s, want %s", c.attr, c.date, got, c.want)
		}
	}
}

func TestAverage(t *testing.T) {
	for _, c := range []struct {
		sum   string
		count int64
		want  string
	}{
		{"1", 3, "0.333333333"}, {"2", 3, "0.666666667"}, {"-2", 3, "-0.666666667"}, {"10", 4, "2.5"}, {"0", 7, "0"},
		{"0.000000001", 2, "0"}, {"0.000000003", 2, "0.000000002"}, {"-0.000000001", 2, "0"}, {"-0.000000003", 2, "-0.000000002"},
		{"-0.000000005", 2, "-0.000000002"}, {"999999999999.999999999", 1, "999999999999.999999999"},
	} {
		if got := average(dec(c.sum), c.count).String(); got != c.want {
			t.Errorf("%s / %d: got %s, want %s", c.sum, c.count, got, c.want)
		}
	}
	got := average(schemas.Decimal{Units: math.MaxInt64, Nanos: 999_999_999}, 1)
	if want := (schemas.Decimal{Units: math.MaxInt64, Nanos: 999_999_999}); got != want {
		t.Errorf("greatest: got %v, want %v", got, want)
	}
}

// The average is within half of the last digit of the true quotient.
func FuzzAverage(f *testing.F) {
	f.Add(int64(-7), int32(500_000_000), int64(3))
	f.Fuzz(func(t *testing.T, units int64, nanos int32, count int64) {
		if count <= 0 || nanos < 0 || nanos >= 1_000_000_000 {
			return
		}
		unscaled := func(d schemas.Decimal) *big.Rat {
			return new(big.Rat).Add(new(big.Rat).SetInt64(d.Units), big.NewRat(int64(d.Nanos), 1_000_000_000))
		}
		sum := schemas.Decimal{Units: units, Nanos: nanos}
		off := new(big.Rat).Quo(unscaled(sum), new(big.Rat).SetInt64(count))
		off.Sub(off, unscaled(average(sum, count)))
		if off.Abs(off).Cmp(big.NewRat(1, 2_000_000_000)) > 0 {
			t.Errorf("average(%v, %d) is off by %v", sum, count, off)
		}
	})
}
