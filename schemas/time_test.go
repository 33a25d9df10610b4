package schemas

import (
	"bytes"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"
)

var hardTimes = []string{"2026-01-01T00:12:31.123456Z", "2026-01-01t00:12:31z", "2026-01-01T00:12:31+05:30",
	"2026-01-01T00:12:31.1234567899-00:00", "2024-02-29T23:59:59Z", "2023-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
	"2000-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z",
	"2026-01-32T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T23:60:00Z", "2016-12-31T23:59:60Z", "2026-01-01T00:00:00",
	"2026-01-01 00:00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z", "2026-01-01T00:00:00+24:00",
	"2026-01-01T00:00:00+23:59", "2026-01-01T00:00:00+00:60", "2026-01-01T00:00:00+0000", "2026-01-01T00:00:00Zx",
	"2026-1-01T00:00:00Z", "26-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0000-12-31T23:59:59.999999Z", "0000-12-31T23:30:00-01:00",
	"0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z",
	"-001-01-01T00:00:00Z", "1969-12-31T23:59:59.9999999Z", "1969-12-31T23:59:59.000001Z", "2026-01-01T5:00:00Z", "", "T", "now",
	"2026-01-01T00:00:00.000000000000000000000000001Z", "2026-01-01T00:00:0\xb0Z", "2O26-01-01T00:00:00Z"}

// The standard library takes more than RFC 3339 has (a comma, an hour of one
// digit, any offset) and less (no lower-case letters).
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// oracleTime is ParseTime by the standard library.
func oracleTime(text []byte) (micros int64, ok bool) {
	text = bytes.ToUpper(text)
	at, err := time.Parse(time.RFC3339, string(text))
	at = at.UTC()
	if err != nil || !rfc3339.Match(text) || at.Year() < 1 || at.Year() > 9999 {
		return 0, false
	}
	return at.UnixMicro(), true
}

func checkTime(t *testing.T, text string) {
	t.Helper()
	got, ok := ParseTime([]byte(text))
	want, wantOK := oracleTime([]byte(text))
	if ok != wantOK || got != want {
		t.Fatalf("%q: got %d %v, want %d %v", text, got, ok, want, wantOK)
	}
}

func TestParseTime(t *testing.T) {
	for _, text := range hardTimes {
		checkTime(t, text)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 50_000 {
		at := time.UnixMicro(minTime + r.Int64N(maxTime-minTime)).In(time.FixedZone("", (r.IntN(2*1439)-1439)*60))
		checkTime(t, at.Format(time.RFC3339Nano))
	}
	for day := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() <= 9999; day = day.AddDate(0, 0, 1) {
		want := day.Unix() / 86400
		if got := daysOfDate(uint(day.Year()), uint(day.Month()), uint(day.Day())); got != want {
			t.Fatalf("%s: got day %d, want %d", day.Format(time.DateOnly), got, want)
		}
	}
}

// Each byte of a good time replaced by each other byte.
func TestParseTimeMutations(t *testing.T) {
	for _, text := range []string{"2026-01-31T23:12:31.123456Z", "2024-02-29T00:12:31+05:30"} {
		for i := range text {
			for c := range 256 {
				mutated := []byte(text)
				mutated[i] = byte(c)
				checkTime(t, string(mutated))
			}
			checkTime(t, text[:i])
			checkTime(t, text[:i]+text[i+1:])
		}
	}
}

func FuzzTime(f *testing.F) {
	for _, text := range hardTimes {
		f.Add(text)
	}
	f.Fuzz(checkTime)
}
