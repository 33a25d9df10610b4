package schemas

import (
	"errors"
	"regexp"
	"strconv"
	"time"
)

// isoDate is the shape of the dates that CloudKitty takes. A year and a month
// without a dash is none of them.
var isoDate = regexp.MustCompile(`^([0-9]{4})(?:(?:-([0-9]{1,2})|([0-9]{2}))(?:(?:-([0-9]{1,2})|([0-9]{2}))` +
	`(?:[ T]([0-9]{2})(?::?([0-9]{2}))?(?::?([0-9]{1,2})(?:[.,][0-9]+)?)?(Z|[-+][0-9]{2}:?(?:[0-9]{2})?)?)?)?)?$`)

var errDate = errors.New("must be an ISO 8601 date such as 2019-05-01T00:00:00Z or 2019-05-01")

// ParseISODate reads a date of summary-v2.md. No offset means UTC, a fraction
// of a second is cut.
func ParseISODate(text string) (time.Time, error) {
	g := isoDate.FindStringSubmatch(text)
	if g == nil || len(text) == 6 {
		return time.Time{}, errDate
	}
	year, month, day := isoNumber(g[1], 0), isoNumber(g[2]+g[3], 1), isoNumber(g[4]+g[5], 1)
	hour, minute, second := isoNumber(g[6], 0), isoNumber(g[7], 0), isoNumber(g[8], 0)
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	if year < 1 || t.Month() != time.Month(month) || t.Day() != day || hour > 23 || minute > 59 || second > 59 {
		return time.Time{}, errDate
	}
	offset, err := isoOffset(g[9])
	if err != nil {
		return time.Time{}, err
	}
	return t.Add(-offset), nil
}

// isoOffset reads Z, ±hh, ±hhmm, ±hh:mm or nothing.
func isoOffset(text string) (time.Duration, error) {
	if text == "" || text == "Z" {
		return 0, nil
	}
	hours, minutes := isoNumber(text[1:3], 0), 0
	if len(text) > 4 {
		minutes = isoNumber(text[len(text)-2:], 0)
	}
	if hours > 23 || minutes > 59 {
		return 0, errDate
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		d = -d
	}
	return d, nil
}

// isoNumber is text as a number; the pattern above lets digits through only.
func isoNumber(text string, absent int) int {
	if text == "" {
		return absent
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}
