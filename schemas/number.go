package schemas

import (
	"strconv"
)

// number is the text of a JSON number, taken apart once. Where short holds its
// value is ±mantissa × 10^-scale, and whole its part before the point; this is
// so for up to 18 digits without an exponent. Others are read from the text again.
type number struct {
	text     []byte
	mantissa uint64
	whole    uint64
	scale    int
	neg      bool
	short    bool
}

var pow10 = [...]uint64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12,
	1e13, 1e14, 1e15, 1e16, 1e17, 1e18}

// read takes the number that b begins with, and says whether there is one by
// the grammar of RFC 8259.
func (n *number) read(b []byte) bool {
	i := 0
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		i = 1
	}
	start, mantissa := i, uint64(0)
	for i < len(b) && isDigit(b[i]) {
		mantissa = mantissa*10 + uint64(b[i]-'0')
		i++
	}
	digits, whole, scale := i-start, mantissa, 0
	if digits == 0 || digits > 1 && b[start] == '0' {
		return false
	}
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) && isDigit(b[i]) {
			mantissa = mantissa*10 + uint64(b[i]-'0')
			i++
		}
		if scale = i - point; scale == 0 {
			return false
		}
		digits += scale
	}
	short := digits <= 18
	if i < len(b) && b[i]|0x20 == 'e' {
		short = false
		if i = passExponent(b, i+1); i == 0 {
			return false
		}
	}
	n.text, n.mantissa, n.whole, n.scale, n.neg, n.short = b[:i], mantissa, whole, scale, neg, short
	return true
}

// passExponent is the place behind the exponent whose 'e' ends before i, or 0.
func passExponent(b []byte, i int) int {
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		i++
	}
	start := i
	for i < len(b) && isDigit(b[i]) {
		i++
	}
	if i == start {
		return 0
	}
	return i
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// parseNumber reads a text that is a number and nothing else.
func parseNumber(text []byte) (n number, err error) {
	if !n.read(text) || len(n.text) != len(text) {
		return number{}, ErrNotNumber
	}
	return n, nil
}

// ParseDecimal reads a JSON number. More than nine fractional digits are
// rounded half even; a size of 10^12 or more is ErrOutOfRange.
func ParseDecimal(text []byte) (Decimal, error) {
	n, err := parseNumber(text)
	if err != nil {
		return Decimal{}, err
	}
	d, _, err := n.decimal()
	return d, err
}

// decimal is n rounded half even to nine fractional digits; exact says that
// nothing was cut.
func (n *number) decimal() (d Decimal, exact bool, err error) {
	var units, nanos uint64
	switch {
	case !n.short:
		units, nanos, exact = n.long()
	case n.scale <= 9:
		units, exact = n.whole, true
		nanos = (n.mantissa - n.whole*pow10[n.scale]) * pow10[9-n.scale]
	default:
		p := pow10[n.scale-9]
		q, r := n.mantissa/p, n.mantissa%p
		if r > p/2 || r == p/2 && q%2 == 1 {
			q++
		}
		units, nanos, exact = q/nanosPerUnit, q%nanosPerUnit, r == 0
	}
	if units >= MaxValue {
		return Decimal{}, false, ErrOutOfRange
	}
	d = Decimal{Units: int64(units), Nanos: int32(nanos)}
	if n.neg {
		d = d.Neg()
	}
	return d, exact, nil
}

// integer is n's value where it is whole, however it is written (2e2, 200.0).
func (n *number) integer() (int64, error) {
	d, exact, err := n.decimal()
	if err != nil {
		return 0, err
	}
	if !exact || d.Nanos != 0 {
		return 0, ErrNotNumber
	}
	return d.Units, nil
}

// double is the nearest double and its DecimalOf.
func (n *number) double() (float64, Decimal, error) {
	if n.short && n.mantissa < 1e15 {
		// Mantissa and power of ten are both exact doubles, so that the division
		// rounds once, and 15 digits are the double's shortest form.
		f := float64(n.mantissa) / float64(pow10[n.scale])
		d, _, err := n.decimal()
		if n.neg && f != 0 {
			f = -f
		}
		return f, d, err
	}
	f, err := strconv.ParseFloat(string(n.text), 64)
	if err != nil { // the grammar is right: only the range is left
		return 0, Decimal{}, ErrOutOfRange
	}
	d, err := DecimalOf(f)
	return f + 0, d, err // -0 + 0 is 0
}

// long is decimal for the texts that are not short: units is MaxValue where
// they are out of range.
func (n *number) long() (units, nanos uint64, exact bool) {
	digits, exp := n.digits()
	first := int64(0)
	for first < digits.len() && digits.at(first) == 0 {
		first++
	}
	if first == digits.len() {
		return 0, 0, true
	}
	// The value is 0.d(first)d(first+1)… × 10^exp.
	exp -= first
	if exp > 12 {
		return MaxValue, 0, false
	}
	for k := int64(0); k < exp; k++ {
		units = units*10 + digits.at(first+k)
	}
	keep := exp + 9 // digits that survive
	for k := max(exp, 0); k < keep; k++ {
		nanos = nanos*10 + digits.at(first+k)
	}
	if keep < 0 {
		return 0, 0, false // below half of the last place
	}
	half, more := digits.at(first+keep), false
	for k := first + keep + 1; k < digits.len() && !more; k++ {
		more = digits.at(k) != 0
	}
	if half > 5 || half == 5 && (more || nanos%2 == 1) {
		nanos++
		if nanos == nanosPerUnit {
			nanos, units = 0, units+1
		}
	}
	return units, nanos, half == 0 && !more
}

// digitRun is the digits before and behind a number's point.
type digitRun struct{ whole, frac []byte }

func (r digitRun) len() int64 { return int64(len(r.whole) + len(r.frac)) }

// at is digit k, 0 behind the last.
func (r digitRun) at(k int64) uint64 {
	if k < int64(len(r.whole)) {
		return uint64(r.whole[k] - '0')
	}
	if k -= int64(len(r.whole)); k < int64(len(r.frac)) {
		return uint64(r.frac[k] - '0')
	}
	return 0
}

// digits splits n's text, whose grammar is known to be right: its value is
// 0.whole‖frac × 10^exp.
func (n *number) digits() (r digitRun, exp int64) {
	text := n.text
	if n.neg {
		text = text[1:]
	}
	i := 0
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	r.whole = text[:i]
	if i < len(text) && text[i] == '.' {
		i++
		point := i
		for i < len(text) && isDigit(text[i]) {
			i++
		}
		r.frac = text[point:i]
	}
	if i < len(text) { // e, sign, digits
		sign := int64(1)
		for _, c := range text[i+1:] {
			switch {
			case c == '-':
				sign = -1
			case isDigit(c) && exp < 1e15: // beyond it no text is long enough to matter
				exp = exp*10 + int64(c-'0')
			}
		}
		exp *= sign
	}
	return r, exp + int64(len(r.whole))
}
