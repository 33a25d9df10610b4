package rating

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"

	"tallybook/schemas"
)

// Number is an exact decimal of any length: quantities, prices and amounts.
// It is never changed; the zero Number counts as 0 and means "not given".
type Number struct{ d *apd.Decimal }

const (
	// MaxWhole and MaxPlaces bound the digits before and after the point of what
	// comes from outside. Amounts, which are products of such, may have more.
	MaxWhole  = 21
	MaxPlaces = 18

	maxNumberText = 64
	maxAmountText = 256
	// quotientPlaces are the fractional digits of a prorated amount, the one
	// place where something is divided. What is rounded to a minor unit later
	// differs from a tie by 1e-26 or not at all: a share counts days or seconds.
	quotientPlaces = 40
)

// exact computes without rounding. No rating of bounded numbers comes near 400
// digits; should one, it would panic and not answer wrongly.
var exact = apd.Context{Precision: 400, MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent,
	Traps: apd.DefaultTraps | apd.Inexact}

// rounding rounds half away from zero.
var rounding = apd.Context{Precision: 400, MaxExponent: apd.MaxExponent, MinExponent: apd.MinExponent,
	Traps: apd.DefaultTraps, Rounding: apd.RoundHalfUp}

var (
	errNotDecimal = errors.New("not a decimal")
	errTooLarge   = fmt.Errorf("more than %d digits before the point", MaxWhole)
	errTooFine    = fmt.Errorf("more than %d digits behind the point", MaxPlaces)
)

// ParseNumber reads a decimal that is written as JSON writes numbers.
func ParseNumber(text string) (Number, error) {
	n, err := parseText(text, maxNumberText)
	if err != nil {
		return Number{}, err
	}
	n = n.trim()
	switch d := n.d; {
	case d.NumDigits()+int64(d.Exponent) > MaxWhole:
		return Number{}, errTooLarge
	case d.Exponent < -MaxPlaces:
		return Number{}, errTooFine
	}
	return n, nil
}

// ParseAmount reads an amount that String wrote, with all of its digits: a
// product or a share has more than ParseNumber takes.
func ParseAmount(text string) (Number, error) {
	if strings.ContainsAny(text, "eE") {
		return Number{}, errNotDecimal
	}
	return parseText(text, maxAmountText)
}

func parseText(text string, most int) (Number, error) {
	if len(text) > most || !isJSONNumber(text) {
		return Number{}, errNotDecimal
	}
	d, _, err := apd.NewFromString(text)
	if err != nil {
		return Number{}, errNotDecimal
	}
	return number(d), nil
}

// isJSONNumber: the grammar of RFC 8259, with an exponent of at most 3 digits.
func isJSONNumber(text string) bool {
	digits := func() bool {
		n := 0
		for n < len(text) && text[n]-'0' <= 9 {
			n++
		}
		text = text[n:]
		return n > 0
	}
	if text != "" && text[0] == '-' {
		text = text[1:]
	}
	if len(text) > 1 && text[0] == '0' && text[1]-'0' <= 9 || !digits() {
		return false
	}
	if text != "" && text[0] == '.' {
		if text = text[1:]; !digits() {
			return false
		}
	}
	if text != "" && text[0]|0x20 == 'e' {
		if text = text[1:]; text != "" && (text[0] == '-' || text[0] == '+') {
			text = text[1:]
		}
		return len(text) <= 3 && digits() && text == ""
	}
	return text == ""
}

// NumberOf is the whole number n.
func NumberOf(n int64) Number { return Number{apd.New(n, 0)} }

// NumberFrom is what a rollup holds.
func NumberFrom(d schemas.Decimal) Number {
	whole, nanos := apd.New(d.Units, 0), apd.New(int64(d.Nanos), -9)
	return Number{whole}.Plus(Number{nanos}).trim()
}

// number takes d over. Zero has no sign, and is not written 00.
func number(d *apd.Decimal) Number {
	if d.IsZero() {
		d.Negative, d.Exponent = false, min(d.Exponent, 0)
	}
	return Number{d}
}

func (n Number) value() *apd.Decimal {
	if n.d == nil {
		return new(apd.Decimal)
	}
	return n.d
}

func compute(op func(d, x, y *apd.Decimal) (apd.Condition, error), x, y Number) Number {
	d := new(apd.Decimal)
	if _, err := op(d, x.value(), y.value()); err != nil {
		panic(fmt.Sprintf("rating: %v of %s and %s", err, x, y))
	}
	return number(d)
}

// orZero is n, or 0 where it was not given.
func (n Number) orZero() Number { return Number{n.value()} }

// Plus returns n + m.
func (n Number) Plus(m Number) Number { return compute(exact.Add, n, m) }

// Minus returns n - m.
func (n Number) Minus(m Number) Number { return compute(exact.Sub, n, m) }

// Times returns n × m.
func (n Number) Times(m Number) Number { return compute(exact.Mul, n, m) }

// Percent returns n × p / 100.
func (n Number) Percent(p Number) Number { return n.Times(p).Times(hundredth) }

var hundredth = Number{apd.New(1, -2)}

// share returns n × part / whole, half away from zero at quotientPlaces.
func (n Number) share(s Share) Number {
	return compute(rounding.Quo, n.Times(NumberOf(s.Part)), NumberOf(s.Whole)).Round(quotientPlaces).trim()
}

// packs returns how many packages of a size n is, and whether one is not full.
func (n Number) packs(size Number) (full Number, more bool) {
	full = compute(exact.QuoInteger, n, size)
	return full, full.Times(size).Cmp(n) < 0
}

// Round rounds half away from zero to so many places, and keeps zeros: "31.00".
func (n Number) Round(places int) Number {
	d := new(apd.Decimal)
	if _, err := rounding.Quantize(d, n.value(), -int32(places)); err != nil {
		panic(fmt.Sprintf("rating: round %s to %d places: %v", n, places, err))
	}
	return number(d)
}

// trim drops zeros at the end of the fraction.
func (n Number) trim() Number {
	d, _ := new(apd.Decimal).Reduce(n.value())
	return number(d)
}

// Cmp is -1, 0 or +1 as n is below, equal to or above m.
func (n Number) Cmp(m Number) int { return n.value().Cmp(m.value()) }

// Sign is -1, 0 or +1 as n is below, equal to or above 0.
func (n Number) Sign() int { return n.value().Sign() }

// IsZero reports that n was not given (encoding/json asks it for omitzero); a
// number of 0 is told by Sign.
func (n Number) IsZero() bool { return n.d == nil }

// String is the plain form: "31.00", "-0.5".
func (n Number) String() string { return n.value().Text('f') }

// MarshalText writes String's form: in JSON numbers are texts, so that no reader
// takes them for floats.
func (n Number) MarshalText() ([]byte, error) { return n.value().Append(nil, 'f'), nil }

// UnmarshalText reads what MarshalText wrote, so that a Line can be kept and
// read again.
func (n *Number) UnmarshalText(text []byte) (err error) {
	*n, err = ParseAmount(string(text))
	return err
}

// Decimal is n as rollups, rows and the store hold it: rounded half even to
// nine places; schemas.ErrOverflow.
func (n Number) Decimal() (schemas.Decimal, error) {
	d, units, nanos := new(apd.Decimal), new(apd.Decimal), new(apd.Decimal)
	even := rounding
	even.Rounding = apd.RoundHalfEven
	if _, err := even.Quantize(d, n.value(), -9); err != nil {
		return schemas.Decimal{}, schemas.ErrOverflow
	}
	d.Modf(units, nanos)
	whole, err := units.Int64()
	if err != nil {
		return schemas.Decimal{}, schemas.ErrOverflow
	}
	nanos.Exponent += 9
	fraction, err := nanos.Int64()
	if err != nil {
		return schemas.Decimal{}, schemas.ErrOverflow
	}
	if fraction < 0 {
		if whole--; whole > 0 { // the least int64 wrapped
			return schemas.Decimal{}, schemas.ErrOverflow
		}
		fraction += 1e9
	}
	return schemas.Decimal{Units: whole, Nanos: int32(fraction)}, nil
}
