package schemas

import "time"

// Hour is the start of an hour window: hours since 1970-01-01T00:00Z.
type Hour int32

const (
	microsPerHour = int64(time.Hour / time.Microsecond)
	microsPerDay  = 24 * microsPerHour
)

// HourOf is the hour that a time in µs lies in; times before 1970 too.
func HourOf(micros int64) Hour { return Hour(floorDiv(micros, microsPerHour)) }

// Time is the hour's start.
func (h Hour) Time() time.Time { return time.Unix(int64(h)*3600, 0).UTC() }

// Day is the day that the hour lies in.
func (h Hour) Day() Day { return Day(floorDiv(int64(h), 24)) }

// Day is a UTC date: days since 1970-01-01.
type Day int32

// DayOf is the UTC date that a time in µs lies in.
func DayOf(micros int64) Day { return Day(floorDiv(micros, microsPerDay)) }

// Time is the day's start.
func (d Day) Time() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

// String is YYYY-MM-DD.
func (d Day) String() string { return d.Time().Format(time.DateOnly) }

// Hour is the day's first hour.
func (d Day) Hour() Hour { return Hour(d) * 24 }

// MonthStart is the first day of the day's month.
func (d Day) MonthStart() Day {
	t := d.Time()
	return DayOf(time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC).UnixMicro())
}

// MonthEnd is the first day of the next month.
func (d Day) MonthEnd() Day {
	t := d.Time()
	return DayOf(time.Date(t.Year(), t.Month()+1, 1, 0, 0, 0, 0, time.UTC).UnixMicro())
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
