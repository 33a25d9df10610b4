package query

import (
	"slices"
	"strings"
	"time"

	"tallybook/api"
	"tallybook/schemas"
)

// statsTime reads an instant of the statistics' parameters into µs: RFC 2822 (its
// weekday is not looked at), RFC 3339 or seconds since 1970. It is done by hand,
// since package time takes every three letters for a zone of offset 0.
func statsTime(name, text string) (micros int64, err error) {
	if micros, ok := schemas.ParseTime([]byte(text)); ok {
		return micros, nil
	}
	if micros, ok := epochSeconds(text); ok {
		return micros, nil
	}
	if micros, ok := mailDate(text); ok {
		return micros, nil
	}
	return 0, api.Invalid(name, "%s must be a time of RFC 2822 (Tue, 22 Jan 2019 17:00:00 UTC, or +0100, GMT, UT, EST, EDT, CST, CDT, MST, MDT, PST, PDT; "+
		"a + in a query is written %%2B), of RFC 3339 (2019-01-22T17:00:00Z) or seconds since 1970, from year 1 to 9999, not %.100q", name, text)
}

// The years 1 to 9999.
var (
	firstInstant = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	lastInstant  = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
)

// epochSeconds reads digits, with a sign and a fraction if need be.
func epochSeconds(text string) (micros int64, ok bool) {
	unsigned := strings.TrimPrefix(text, "-")
	if unsigned == "" || unsigned[0] < '0' || unsigned[0] > '9' || strings.ContainsAny(text, "eE") {
		return 0, false
	}
	digits := strings.TrimLeft(unsigned, "0") // "007" is no JSON number
	if digits == "" || digits[0] == '.' {
		digits = "0" + digits
	}
	d, err := schemas.ParseDecimal([]byte(digits))
	if err != nil || d.Units > lastInstant/1_000_000+1 {
		return 0, false
	}
	micros = d.Units*1_000_000 + int64(d.Nanos)/1000
	if text[0] == '-' {
		micros = -micros
	}
	return micros, micros >= firstInstant && micros <= lastInstant
}

var (
	weekdays = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	months   = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	// zoneHours are the zones of RFC 2822 that have names, in hours east of UTC.
	zoneHours = map[string]int{"ut": 0, "utc": 0, "gmt": 0, "est": -5, "edt": -4, "cst": -6, "cdt": -5, "mst": -7, "mdt": -6, "pst": -8, "pdt": -7}
)

// mailDate reads a date of RFC 2822: [Tue,] 22 Jan 2019 17:00[:00] +0100.
func mailDate(text string) (micros int64, ok bool) {
	text = strings.ToLower(text)
	if day, rest, found := strings.Cut(text, ","); found {
		if !slices.Contains(weekdays, strings.TrimSpace(day)) {
			return 0, false
		}
		text = rest
	}
	if before, _, found := strings.Cut(text, "("); found && strings.HasSuffix(text, ")") { // +0000 (UTC): a comment
		text = before
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(parts) != 5 {
		return 0, false
	}
	day, dayOK := digits(parts[0], 1, 2)
	month := 1 + slices.Index(months, parts[1])
	year, yearOK := digits(parts[2], 4, 4)
	clock, clockOK := clockOf(parts[3])
	offset, zoneOK := zoneOf(parts[4])
	if !dayOK || month == 0 || !yearOK || year == 0 || !clockOK || !zoneOK {
		return 0, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day || t.Month() != time.Month(month) { // time.Date goes on to the next month
		return 0, false
	}
	micros = t.Add(clock - offset).UnixMicro()
	return micros, micros >= firstInstant && micros <= lastInstant
}

// clockOf reads 17:00 or 17:00:00.
func clockOf(text string) (clock time.Duration, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) != 2 && len(parts) != 3 {
		return 0, false
	}
	unit := time.Hour
	for i, part := range parts {
		n, ok := digits(part, 2, 2)
		if !ok || n > 59 || i == 0 && n > 23 {
			return 0, false
		}
		clock += time.Duration(n) * unit
		unit /= 60
	}
	return clock, true
}

// zoneOf reads +hhmm or a name, as a duration east of UTC.
func zoneOf(text string) (offset time.Duration, ok bool) {
	if hours, ok := zoneHours[text]; ok {
		return time.Duration(hours) * time.Hour, true
	}
	if len(text) != 5 || text[0] != '+' && text[0] != '-' {
		return 0, false
	}
	hours, hoursOK := digits(text[1:3], 2, 2)
	minutes, minutesOK := digits(text[3:], 2, 2)
	offset = time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, hoursOK && minutesOK && hours < 24 && minutes < 60
}

// digits reads least to most digits, and nothing else.
func digits(text string, least, most int) (n int, ok bool) {
	if len(text) < least || len(text) > most {
		return 0, false
	}
	for _, c := range []byte(text) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int(c-'0')
	}
	return n, true
}
