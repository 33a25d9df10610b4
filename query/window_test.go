package query

import (
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		zone       string
		size       WindowSize
		hour       string // UTC
		start, end string // UTC
	}{
		{"UTC", windowHour, "2026-03-29T05", "2026-03-29T05", "2026-03-29T06"},
		{"UTC", windowDay, "2026-03-29T23", "2026-03-29T00", "2026-03-30T00"},
		{"UTC", windowMonth, "2024-02-29T23", "2024-02-01T00", "2024-03-01T00"},
		{"Europe/Berlin", windowDay, "2026-03-29T12", "2026-03-28T23", "2026-03-29T22"}, // 23 hours
		{"Europe/Berlin", windowDay, "2026-10-25T23", "2026-10-25T23", "2026-10-26T23"},
		{"Europe/Berlin", windowDay, "2026-10-25T00", "2026-10-24T22", "2026-10-25T23"}, // 25 hours
		{"Europe/Berlin", windowMonth, "2026-03-15T00", "2026-02-28T23", "2026-03-31T22"},
		{"America/New_York", windowDay, "2026-03-08T04", "2026-03-07T05", "2026-03-08T05"},
		{"America/New_York", windowMonth, "2026-11-30T23", "2026-11-01T04", "2026-12-01T05"},
		{"America/Sao_Paulo", windowDay, "2018-11-04T12", "2018-11-04T03", "2018-11-05T02"}, // no midnight: begins at 01:00
		{"America/Sao_Paulo", windowDay, "2018-02-18T02", "2018-02-17T02", "2018-02-18T03"}, // 23:00 twice
		{"America/Havana", windowDay, "2026-11-01T04", "2026-11-01T04", "2026-11-02T05"},    // 00:00 twice
		{"Pacific/Apia", windowMonth, "2011-12-31T11", "2011-12-01T10", "2011-12-31T10"},    // no 30 December
		{"Pacific/Apia", windowDay, "2011-12-30T10", "2011-12-30T10", "2011-12-31T10"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		w := newWindows(c.size, zone)
		h := hourAt(c.hour)
		if c.zone == "Pacific/Apia" && c.size == windowMonth {
			h = hourAt("2011-12-15T00")
		}
		for range 2 { // the second time from memory
			got, err := w.of(h)
			if err != nil {
				t.Errorf("%s %s of %s: %v", c.zone, c.size, c.hour, err)
			}
			if want := (span{hourAt(c.start), hourAt(c.end)}); got != want {
				t.Errorf("%s %s of %s: got %v to %v, want %v to %v", c.zone, c.size, c.hour,
					got.start.Time(), got.end.Time(), want.start.Time(), want.end.Time())
			}
		}
	}
}

func TestWholeHours(t *testing.T) {
	day := func(text string) time.Time {
		d, err := time.Parse(time.DateOnly, text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, c := range []struct {
		zone, from, to string
		ok             bool
	}{
		{"Asia/Kolkata", "2026-01-01", "2026-01-02", false},
		{"Australia/Lord_Howe", "2026-06-01", "2026-06-02", false}, // +10:30 in winter
		{"Australia/Lord_Howe", "2026-01-01", "2026-01-02", true},  // +11:00 in summer
		{"Australia/Lord_Howe", "2026-01-01", "2026-06-02", false},
		{"Europe/Berlin", "2000-01-01", "2100-01-01", true},
		{"America/St_Johns", "2026-01-01", "2026-01-02", false},
		{"Asia/Gaza", "2011-01-01", "2012-01-01", false}, // changed at 00:01
		{"UTC", "1900-01-01", "2100-01-01", true},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		if err := wholeHours(zone, day(c.from), day(c.to)); (err == nil) != c.ok {
			t.Errorf("%s %s to %s: got %v, want ok %v", c.zone, c.from, c.to, err, c.ok)
		}
	}
}
