package engine

import (
	"testing"
	"time"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		zone       string
		size       Size
		at         string // UTC
		start, end string // UTC
	}{
		{"UTC", Hour, "2026-03-29T05:00", "2026-03-29T05:00", "2026-03-29T06:00"},
		{"UTC", Day, "2026-03-29T23:00", "2026-03-29T00:00", "2026-03-30T00:00"},
		{"UTC", Month, "2024-02-29T23:00", "2024-02-01T00:00", "2024-03-01T00:00"},
		{"Europe/Berlin", Day, "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00"}, // 23 hours
		{"Europe/Berlin", Day, "2026-10-25T23:00", "2026-10-25T23:00", "2026-10-26T23:00"},
		{"Europe/Berlin", Day, "2026-10-25T00:00", "2026-10-24T22:00", "2026-10-25T23:00"}, // 25 hours
		{"Europe/Berlin", Month, "2026-03-15T00:00", "2026-02-28T23:00", "2026-03-31T22:00"},
		{"America/New_York", Day, "2026-03-08T04:00", "2026-03-07T05:00", "2026-03-08T05:00"},
		{"America/New_York", Month, "2026-11-30T23:00", "2026-11-01T04:00", "2026-12-01T05:00"},
		{"America/Sao_Paulo", Day, "2018-11-04T12:00", "2018-11-04T03:00", "2018-11-05T02:00"}, // no midnight: begins at 01:00
		{"America/Sao_Paulo", Day, "2018-02-18T02:00", "2018-02-17T02:00", "2018-02-18T03:00"}, // 23:00 twice
		{"America/Havana", Day, "2026-11-01T04:00", "2026-11-01T04:00", "2026-11-02T05:00"},    // 00:00 twice
		{"Pacific/Apia", Month, "2011-12-31T11:00", "2011-12-01T10:00", "2011-12-31T10:00"},    // no 30 December
		{"Pacific/Apia", Day, "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00"},
		{"Asia/Kolkata", Day, "2026-03-29T18:29", "2026-03-28T18:30", "2026-03-29T18:30"},
		{"Asia/Kolkata", Hour, "2026-03-29T18:29", "2026-03-29T17:30", "2026-03-29T18:30"},
		{"Asia/Kolkata", Minute, "2026-03-29T18:29", "2026-03-29T18:29", "2026-03-29T18:30"},
		{"Australia/Lord_Howe", Hour, "2026-04-04T15:10", "2026-04-04T15:00", "2026-04-04T15:30"}, // set back by half an hour at 15:00
		{"Australia/Lord_Howe", Day, "2026-04-04T15:10", "2026-04-04T13:00", "2026-04-05T13:30"},
		{"America/St_Johns", Day, "2010-11-07T02:31", "2010-11-07T02:30", "2010-11-08T03:30"}, // 00:01 is 23:01 of the day before again
		{"America/St_Johns", Day, "2010-11-07T03:00", "2010-11-07T02:30", "2010-11-08T03:30"},
		{"UTC", Week, "2026-03-01T12:00", "2026-02-23T00:00", "2026-03-02T00:00"},
		{"UTC", Year, "2026-03-01T12:00", "2026-01-01T00:00", "2027-01-01T00:00"},
		{"Europe/Berlin", Year, "2028-12-31T12:00", "2027-12-31T23:00", "2028-12-31T23:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		w := newWindows(c.size, zone)
		instant := at(c.at + ":00Z")
		if c.zone == "Pacific/Apia" && c.size == Month {
			instant = at("2011-12-15T00:00:00Z")
		}
		for range 2 { // the second time from memory
			got := w.of(instant)
			if want := (span{at(c.start + ":00Z"), at(c.end + ":00Z")}); got != want {
				t.Errorf("%s %s of %s: got %v to %v, want %v to %v", c.zone, c.size, c.at,
					timeOf(got.start), timeOf(got.end), timeOf(want.start), timeOf(want.end))
			}
			w.last = span{}
		}
	}
}

// Whatever the zone's clock does, windows follow each other without a gap, and
// an instant is in its own.
func TestWindowsArePartition(t *testing.T) {
	for _, name := range append(zones, "America/Havana", "America/Sao_Paulo", "Asia/Gaza", "Africa/Casablanca", "Antarctica/Troll") {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []Size{Hour, Day, Week, Month, Year} {
			from, to := at("2009-12-30T00:00:00Z"), at("2012-01-02T00:00:00Z")
			if size == Hour {
				from, to = at("2010-10-01T00:00:00Z"), at("2010-12-01T00:00:00Z")
			}
			w := newWindows(size, zone)
			for t0 := from; t0 < to; {
				s := newWindows(size, zone).of(t0)
				if t0 < s.start || t0 >= s.end || t0 != from && s.start != t0 {
					t.Fatalf("%s %s: the window of %v is %v to %v", name, size, timeOf(t0), timeOf(s.start), timeOf(s.end))
				}
				for _, inside := range []int64{s.start, s.start + (s.end-s.start)/2, s.end - 1} {
					if got := w.of(inside); got != s {
						t.Fatalf("%s %s: the window of %v is %v to %v, not %v to %v", name, size, timeOf(inside),
							timeOf(got.start), timeOf(got.end), timeOf(s.start), timeOf(s.end))
					}
				}
				t0 = s.end
			}
		}
	}
}
