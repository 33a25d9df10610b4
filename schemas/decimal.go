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

// DecimalOf is the decimal that stands for a stored double: its shortest
// decimal form, rounded half even to nine digits. The archive holds latency as
// a double, and rollups add this decimal of it, so that both agree exactly.
func DecimalOf(f float64) (Decimal, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Decimal{}, ErrNotNumber
	}
	// A double with at most six fractional digits is the common case. The
	// division proves that scaled/1e6 stands for f; below 10^15 no other decimal
	// of 15 digits does, so that it is the shortest form too.
	if scaled := math.Round(f * 1e6); math.Abs(scaled) < 1e15 && scaled/1e6 == f {
		n := int64(scaled)
		units, micros := n/1_000_000, n%1_000_000
		if micros < 0 {
			units, micros = units-1, micros+1_000_000
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
