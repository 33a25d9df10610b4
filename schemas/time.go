package schemas

import "time"

// The instants of the years 0001 to 9999 UTC, in µs since 1970.
const (
	minTime = -62135596800 * 1_000_000
	maxTime = 253402300800*1_000_000 - 1
)

var daysInMonth = [...]uint{0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// ParseTime reads an RFC 3339 time with any offset into µs since 1970 UTC.
// Further fractional digits are cut; a leap second (:60) and instants outside
// the years 0001 to 9999 UTC are refused.
func ParseTime(text []byte) (micros int64, ok bool) {
	const shape = "0000-00-00T00:00:00"
	if len(text) < len(shape)+1 || text[4] != '-' || text[7] != '-' || text[10]|0x20 != 't' ||
		text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	t := (*[len(shape)]byte)(text)
	century, year := twoDigits(t[0], t[1]), twoDigits(t[2], t[3])
	month, day := twoDigits(t[5], t[6]), twoDigits(t[8], t[9])
	hour, minute, second := twoDigits(t[11], t[12]), twoDigits(t[14], t[15]), twoDigits(t[17], t[18])
	if century > 99 || year > 99 || month-1 > 11 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	year += century * 100
	if last := daysInMonth[month]; day == 0 || day > last && !(day == 29 && month == 2 && leap(year)) {
		return 0, false
	}
	fraction, rest, ok := microFraction(text[len(shape):])
	if !ok {
		return 0, false
	}
	offset, ok := zoneOffset(rest)
	if !ok {
		return 0, false
	}
	seconds := daysOfDate(year, month, day)*86400 + int64(hour*3600+minute*60+second) - offset
	micros = seconds*1_000_000 + fraction
	if micros < minTime || micros > maxTime {
		return 0, false
	}
	return micros, true
}

// twoDigits is over 99 where a and b are no digits.
func twoDigits(a, b byte) uint {
	tens, ones := uint(a)-'0', uint(b)-'0'
	if tens > 9 || ones > 9 {
		return 100
	}
	return tens*10 + ones
}

func leap(year uint) bool { return year%4 == 0 && (year%100 != 0 || year%400 == 0) }

// microFraction reads ".123…" if text begins with it.
func microFraction(text []byte) (micros int64, rest []byte, ok bool) {
	if text[0] != '.' {
		return 0, text, true
	}
	i, unit := 1, int64(1_000_000)
	for i < len(text) && isDigit(text[i]) {
		if i <= 6 {
			micros = micros*10 + int64(text[i]-'0')
			unit /= 10
		}
		i++
	}
	return micros * unit, text[i:], i > 1
}

// zoneOffset reads "Z" or "+hh:mm" into seconds east of UTC.
func zoneOffset(text []byte) (seconds int64, ok bool) {
	if len(text) == 1 {
		return 0, text[0]|0x20 == 'z'
	}
	if len(text) != 6 || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, false
	}
	hour, minute := twoDigits(text[1], text[2]), twoDigits(text[4], text[5])
	if hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = int64(hour*3600 + minute*60)
	if text[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// daysOfDate counts days since 1970-01-01 in the Gregorian calendar. Years
// begin in March here, so that the leap day is the last day of its year.
func daysOfDate(year, month, day uint) int64 {
	y, m := int64(year), int64(month)
	if m <= 2 {
		y--
		m += 12
	}
	century := floorDiv(y, 100)
	return 365*y + floorDiv(y, 4) - century + floorDiv(century, 4) + (153*(m-3)+2)/5 + int64(day) - 719469
}

// ParseUsageTime reads a time of usage-v1.md into µs since 1970 UTC:
// YYYY-MM-DD:HH:MM:SS in UTC, or RFC 3339.
func ParseUsageTime(text string) (micros int64, ok bool) {
	if t, err := time.Parse("2006-01-02:15:04:05", text); err == nil {
		return t.UnixMicro(), true
	}
	return ParseTime([]byte(text))
}
