package schemas

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func zone(t *testing.T, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestQuotaPeriods(t *testing.T) {
	for _, c := range []struct{ period, zone, at, start, end string }{
		{"hour", "UTC", "2026-03-01T10:59:59.999999Z", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z"},
		{"hour", "Asia/Kolkata", "2026-03-01T10:15:00Z", "2026-03-01T09:30:00Z", "2026-03-01T10:30:00Z"},
		{"hour", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T14:00:00Z", "2026-04-04T15:00:00Z"},
		{"hour", "Australia/Lord_Howe", "2026-04-04T15:10:00Z", "2026-04-04T15:00:00Z", "2026-04-04T15:30:00Z"},
		{"hour", "UTC", "1969-12-31T23:30:00Z", "1969-12-31T23:00:00Z", "1970-01-01T00:00:00Z"},
		{"day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},    // 23 hours
		{"day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},    // 25 hours
		{"day", "America/Santiago", "2026-09-06T12:00:00Z", "2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}, // no midnight
		{"day", "America/Havana", "2026-11-01T05:30:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"},   // midnight twice
		{"day", "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"}, // 00:01 back to 23:01
		{"day", "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"},     // a date left out
		{"month", "America/New_York", "2026-03-31T23:00:00Z", "2026-03-01T05:00:00Z", "2026-04-01T04:00:00Z"},
		{"month", "Asia/Tokyo", "2026-03-31T15:00:00Z", "2026-03-31T15:00:00Z", "2026-04-30T15:00:00Z"},
		{"30 2 * * *", "America/New_York", "2026-03-08T12:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}, // 2:30 is left out
		{"30 1 * * *", "America/New_York", "2026-11-01T07:00:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}, // 1:30 twice
		{"0 9 * * 1", "Europe/London", "2026-03-04T00:00:00Z", "2026-03-02T09:00:00Z", "2026-03-09T09:00:00Z"},
		{"*/15 * * * *", "UTC", "2026-03-04T00:15:00Z", "2026-03-04T00:15:00Z", "2026-03-04T00:30:00Z"},
		{"0 0 29 2 *", "UTC", "2026-03-04T00:00:00Z", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"0 0 30 2 *", "UTC", "2026-03-04T00:00:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"}, // never
	} {
		p, err := NewQuotaPeriods(c.period, zone(t, c.zone))
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, c.at)
		if err != nil {
			t.Fatal(err)
		}
		got := p.At(at)
		if start, end := got.Start.Format(time.RFC3339), got.End.Format(time.RFC3339); start != c.start || end != c.end {
			t.Errorf("%s in %s at %s: got %s to %s, want %s to %s", c.period, c.zone, c.at, start, end, c.start, c.end)
		}
	}
}

// Periods leave no moment out and have none twice, whatever the clock does.
func TestQuotaPeriodsJoin(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "America/Havana", "America/Santiago",
		"Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "Africa/Cairo", "Antarctica/Troll"}
	for _, name := range zones {
		for _, period := range []string{"hour", "day", "month", "0 9 * * 1-5", "*/20 * * * *", "30 1,2 * * *", "0 0 1 1 *"} {
			p, err := NewQuotaPeriods(period, zone(t, name))
			if err != nil {
				t.Fatal(err)
			}
			for range 25 {
				at := time.Unix(946684800+rnd.Int64N(30*365*86400), rnd.Int64N(1e9)).UTC()
				is := p.At(at)
				if !is.Has(at) || !is.End.After(is.Start) {
					t.Fatalf("%s in %s: %v is in %v", period, name, at, is)
				}
				for _, edge := range []time.Time{is.Start, is.End.Add(-time.Nanosecond)} {
					if got := p.At(edge); got != is {
						t.Fatalf("%s in %s: got %v at %v, want %v", period, name, got, edge, is)
					}
				}
				if got := p.At(is.End); got.Start != is.End {
					t.Fatalf("%s in %s: %v follows %v", period, name, got, is)
				}
				if got := p.At(is.Start.Add(-time.Nanosecond)); got.End != is.Start {
					t.Fatalf("%s in %s: %v precedes %v", period, name, got, is)
				}
			}
		}
	}
}

func TestQuotaMeterReached(t *testing.T) {
	m := func(limit json.Number, thresholds ...int) *QuotaMeter {
		m, err := NewQuotaMeter(&Quota{Limit: limit, Period: "day", Thresholds: thresholds}, "s", time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		meter *QuotaMeter
		used  Decimal
		told  int
		want  []int
	}{
		{m("10", 80, 100), Decimal{7, 999999999}, 0, nil},
		{m("10", 80, 100), Decimal{8, 0}, 0, []int{80}},
		{m("10", 80, 100), Decimal{11, 0}, 0, []int{80, 100}},
		{m("10", 80, 100), Decimal{11, 0}, 80, []int{100}},
		{m("10"), Decimal{10, 0}, 0, []int{100}},
		{m("0", 80), Decimal{0, 0}, 0, nil},
		{m("0", 80), Decimal{0, 1}, 0, []int{80, 100}},
		{m("0.000000001", 1), Decimal{0, 1}, 0, []int{1, 100}},
		{m("999999999999", 1000), Decimal{9999999999990, 0}, 100, []int{1000}},
	} {
		got := c.meter.Reached(c.used, c.told)
		if !slices.Equal(got, c.want) {
			t.Errorf("%v of %v, told %d: got %v, want %v", c.used, c.meter.Limit, c.told, got, c.want)
		}
	}
}

func BenchmarkQuotaPeriodMonth(b *testing.B) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		b.Fatal(err)
	}
	p, err := NewQuotaPeriods("month", berlin)
	if err != nil {
		b.Fatal(err)
	}
	at := time.Date(2026, 3, 17, 12, 0, 0, 0, time.UTC)
	for b.Loop() {
		p.At(at)
	}
}
