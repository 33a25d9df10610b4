package store

import (
	"errors"

	"tallybook/schemas"
)

// Resolution is the length of a rollup's window.
type Resolution int

const (
	Hourly Resolution = iota
	Daily
	Monthly
)

// RollupQuery asks for rollup rows of one family.
type RollupQuery struct {
	Family   *schemas.Family
	Accounts []string         // nil: every account
	From, To schemas.Hour     // half-open
	Filter   map[int][]string // dimension position → allowed values
	// Resolution is what the caller needs at least. Hourly: a row per hour.
	// Daily, Monthly: only UTC days or months matter, and rows built for whole
	// days or months within [From, To) stand for their hours.
	Resolution Resolution
}

// Rollup is one row: the measures of a series in a window.
type Rollup struct {
	Window schemas.Hour // the window's first hour
	Series schemas.Series
	schemas.Measures
}

// Rollups streams the rows that a query asks for, in no order that may be
// relied on; several rows may be of one series and day. The Rollup is used again
// for the next row; an error of fn ends the stream and is returned.
func (v *View) Rollups(q RollupQuery, fn func(*Rollup) error) error {
	return errors.ErrUnsupported
}

// HourRollups streams every hour row of the day whose family belongs to the
// topic, by window, account and series.
func (v *View) HourRollups(day schemas.Day, topic schemas.Topic, fn func(*Rollup) error) error {
	return errors.ErrUnsupported
}
