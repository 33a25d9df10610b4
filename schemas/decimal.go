package schemas

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/bits"
	"strconv"
)

// Decimal is an exact number with nine fractional digits: Units + Nanos/1e9,
// with 0 <= Nanos < 1e9 also below zero (-0.5 is {-1, 500000000}), so that
// adding carries one way and (Units, Nanos) sorts as the number does.
type Decimal struct {
	Units int64
	Nanos int32
}

const (
	nanosPerUnit = 1_000_000_000
	// MaxValue bounds the size of one measured value (design: below 10^12).
	MaxValue = 1_000_000_000_000
)

var (
	// ErrNotNumber: the text is not a JSON number.
	ErrNotNumber = errors.New("not a number")
	// ErrOutOfRange: the number's size is 10^12 or more.
	ErrOutOfRange = errors.New("size must be below 1000000000000")
	// ErrOverflow: a sum left the range of 64 bit units.
	ErrOverflow = errors.New("sum exceeds 64 bits")
)

// ParseDecimal reads a JSON number. More than nine fractional digits are
// rounded half even; a size of 10^12 or more is ErrOutOfRange.
func ParseDecimal(text []byte) (Decimal, error) {
	digits, exp, neg, err := scanNumber(text)
	if err != nil {
		return Decimal{}, err
	}
	return scaleDecimal(digits, exp, neg)
}

// scanNumber reads the JSON number grammar into its significant digits (no
// leading zeros) and a power of ten: value = 0.d1d2d3… × 10^exp.
func scanNumber(text []byte) (digits []byte, exp int64, neg bool, err error) {
	i, n := 0, len(text)
	if i < n && text[i] == '-' {
		neg = true
		i++
	}
	intStart := i
	for i < n && isDigit(text[i]) {
		i++
	}
	if i == intStart || (text[intStart] == '0' && i > intStart+1) {
		return nil, 0, false, ErrNotNumber
	}
	whole, frac := text[intStart:i], []byte(nil)
	if i < n && text[i] == '.' {
		i++
		start := i
		for i < n && isDigit(text[i]) {
			i++
		}
		if i == start {
			return nil, 0, false, ErrNotNumber
		}
		frac = text[start:i]
	}
	if i < n && (text[i] == 'e' || text[i] == 'E') {
		i++
		sign := int64(1)
		if i < n && (text[i] == '+' || text[i] == '-') {
			if text[i] == '-' {
				sign = -1
			}
			i++
		}
		start := i
		for i < n && isDigit(text[i]) {
			if exp < 1_000_000 { // beyond it the answer no longer changes
				exp = exp*10 + int64(text[i]-'0')
			}
			i++
		}
		if i == start {
			return nil, 0, false, ErrNotNumber
		}
		exp *= sign
	}
	if i != n {
		return nil, 0, false, ErrNotNumber
	}
	exp += int64(len(whole))
	if len(frac) == 0 {
		digits = whole
	} else {
		var buf [64]byte
		digits = append(append(buf[:0], whole...), frac...)
	}
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
		exp--
	}
	return digits, exp, neg, nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// scaleDecimal turns 0.digits × 10^exp into units and nanos.
func scaleDecimal(digits []byte, exp int64, neg bool) (Decimal, error) {
	if len(digits) == 0 {
		return Decimal{}, nil
	}
	if exp > 12 {
		return Decimal{}, ErrOutOfRange
	}
	var units, nanos uint64
	keep := exp + 9 // digits that survive
	for k := int64(0); k < exp; k++ {
		units = units*10 + digitAt(digits, k)
	}
	for k := max(exp, 0); k < keep; k++ {
		nanos = nanos*10 + digitAt(digits, k)
	}
	if keep >= 0 && keep < int64(len(digits)) && roundsUp(digits[keep:], nanos) {
		nanos++
		if nanos == nanosPerUnit {
			nanos, units = 0, units+1
		}
	}
	if units >= MaxValue {
		return Decimal{}, ErrOutOfRange
	}
	d := Decimal{Units: int64(units), Nanos: int32(nanos)}
	if neg {
		d = d.Neg()
	}
	return d, nil
}

func digitAt(digits []byte, k int64) uint64 {
	if k < int64(len(digits)) {
		return uint64(digits[k] - '0')
	}
	return 0
}

// roundsUp is half to even: rest are the digits that are cut, last the number
// whose parity decides a tie.
func roundsUp(rest []byte, last uint64) bool {
	if rest[0] != '5' {
		return rest[0] > '5'
	}
	for _, c := range rest[1:] {
		if c != '0' {
			return true
		}
	}
	return last%2 == 1
}

// DecimalOf is the decimal that stands for a stored double: its shortest
// decimal form, rounded half even to nine digits. The archive holds latency as
// a double, and rollups add this decimal of it, so that both agree exactly.
func DecimalOf(f float64) (Decimal, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Decimal{}, ErrNotNumber
	}
	// A double with at most six fractional digits is the common case; the
	// division proves that the shortest form has them.
	if scaled := math.Round(f * 1e6); math.Abs(scaled) < 1<<53 && scaled/1e6 == f {
		n := int64(scaled)
		units, micros := n/1_000_000, n%1_000_000
		if micros < 0 {
			units, micros = units-1, micros+1_000_000
		}
		if units >= MaxValue || units <= -MaxValue {
			return Decimal{}, ErrOutOfRange
		}
		return Decimal{units, int32(micros * 1000)}, nil
	}
	var buf [32]byte
	return ParseDecimal(strconv.AppendFloat(buf[:0], f, 'e', -1, 64))
}

// DecimalFromInt is the whole number n.
func DecimalFromInt(n int64) Decimal { return Decimal{Units: n} }

// Add returns d + e, or ErrOverflow.
func (d Decimal) Add(e Decimal) (Decimal, error) {
	nanos := d.Nanos + e.Nanos
	var carry int64
	if nanos >= nanosPerUnit {
		nanos, carry = nanos-nanosPerUnit, 1
	}
	sum := d.Units + e.Units
	if (sum > d.Units) != (e.Units > 0) && e.Units != 0 {
		return Decimal{}, ErrOverflow
	}
	if sum == math.MaxInt64 && carry == 1 {
		return Decimal{}, ErrOverflow
	}
	return Decimal{sum + carry, nanos}, nil
}

// Neg returns -d.
func (d Decimal) Neg() Decimal {
	if d.Nanos == 0 {
		return Decimal{Units: -d.Units}
	}
	return Decimal{Units: -d.Units - 1, Nanos: nanosPerUnit - d.Nanos}
}

// Cmp is -1, 0 or +1 as d is below, equal to or above e.
func (d Decimal) Cmp(e Decimal) int {
	switch {
	case d.Units < e.Units || d.Units == e.Units && d.Nanos < e.Nanos:
		return -1
	case d == e:
		return 0
	}
	return 1
}

// IsZero reports whether d is 0.
func (d Decimal) IsZero() bool { return d == Decimal{} }

// String is the plain form without trailing zeros: "31", "-0.5".
func (d Decimal) String() string { return string(d.Append(nil)) }

// Append appends String's form to b; it is also a JSON number.
func (d Decimal) Append(b []byte) []byte {
	if d.Units < 0 {
		b = append(b, '-')
		d = d.Neg() // the least int64 alone wraps onto itself; sums stop before it
	}
	b = strconv.AppendUint(b, uint64(d.Units), 10)
	if d.Nanos == 0 {
		return b
	}
	var frac [10]byte
	frac[0] = '.'
	n := d.Nanos
	for i := 9; i >= 1; i-- {
		frac[i] = byte('0' + n%10)
		n /= 10
	}
	return append(b, bytes.TrimRight(frac[:], "0")...)
}

// MarshalJSON writes d as a JSON number.
func (d Decimal) MarshalJSON() ([]byte, error) { return d.Append(nil), nil }

// Float is the nearest double, for charts and float answers only.
func (d Decimal) Float() float64 {
	f, err := strconv.ParseFloat(d.String(), 64)
	if err != nil {
		panic(err) // String always parses
	}
	return f
}

// SortKey is 12 bytes whose order as bytes is the order of the numbers; the
// store keeps minimum and maximum in this form.
func (d Decimal) SortKey() [12]byte {
	var k [12]byte
	binary.BigEndian.PutUint64(k[:8], uint64(d.Units)^1<<63)
	binary.BigEndian.PutUint32(k[8:], uint32(d.Nanos))
	return k
}

// DecimalFromSortKey reads SortKey's form.
func DecimalFromSortKey(k []byte) (Decimal, error) {
	if len(k) != 12 {
		return Decimal{}, errors.New("a sort key has 12 bytes")
	}
	return Decimal{
		Units: int64(binary.BigEndian.Uint64(k[:8]) ^ 1<<63),
		Nanos: int32(binary.BigEndian.Uint32(k[8:])),
	}, nil
}

// Unscaled is d × 10^9 as a big-endian two's complement integer of 16 bytes,
// the physical form of Parquet's decimal(38,9).
func (d Decimal) Unscaled() [16]byte {
	u, neg := uint64(d.Units), d.Units < 0
	hi, lo := bits.Mul64(u, nanosPerUnit)
	if neg { // two's complement: subtract 2^64 × 10^9
		hi -= nanosPerUnit
	}
	lo, carry := bits.Add64(lo, uint64(d.Nanos), 0)
	hi += carry
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return b
}

// DecimalFromUnscaled reads Unscaled's form; ErrOverflow where the units do
// not fit 64 bits.
func DecimalFromUnscaled(b [16]byte) (Decimal, error) {
	hi, lo := binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	neg := hi>>63 == 1
	if neg { // magnitude
		var borrow uint64
		lo, borrow = bits.Sub64(0, lo, 0)
		hi, _ = bits.Sub64(0, hi, borrow)
	}
	if hi >= nanosPerUnit {
		return Decimal{}, ErrOverflow
	}
	units, nanos := bits.Div64(hi, lo, nanosPerUnit)
	if units > math.MaxInt64 {
		return Decimal{}, ErrOverflow
	}
	d := Decimal{int64(units), int32(nanos)}
	if neg {
		d = d.Neg()
	}
	return d, nil
}
