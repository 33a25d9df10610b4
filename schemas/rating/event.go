package rating

import (
	"math/bits"

	"github.com/cockroachdb/apd/v3"

	"tallybook/schemas"
)

// PerEvent reports whether what an event costs depends on its own quantity
// alone, so that it can be said when the event is processed, and a line's exact
// amount is the sum over its events in any order:
//
//	per_unit              without free_units
//	percentage            without free_amount and fixed_per_event
//	percentage_per_event  without free_amount and free_event_count
//
// each without minimum_amount and maximum_amount. A flat fee is of no event,
// tiers and packages are of the total.
func (p *Price) PerEvent() bool {
	if p.minimum.Sign() > 0 || !p.maximum.IsZero() {
		return false
	}
	switch p.model {
	case "per_unit":
		return p.freeUnits.Sign() == 0
	case "percentage":
		return p.freeAmount.Sign() == 0 && p.eventFee.Sign() == 0
	case "percentage_per_event":
		return p.freeAmount.Sign() == 0 && p.freeEvents.Sign() == 0
	}
	return false
}

// OfEvent is what an event of a quantity costs, as rows and rollups hold it:
// rounded half even to nine places, once. schemas.ErrOutOfRange where it is 10^12
// or more. PerEvent must hold.
func (p *Price) OfEvent(quantity schemas.Decimal) (schemas.Decimal, error) {
	if amount, ok := p.factor.times(quantity); ok {
		return amount, nil
	}
	value, amount := NumberFrom(quantity), Number{}
	switch p.model {
	case "per_unit":
		amount = value.Times(p.unitPrice)
	case "percentage":
		amount = value.Percent(p.percent)
	case "percentage_per_event":
		if value.Sign() < 0 { // refunded elsewhere: a bill takes no percentage of it
			return schemas.Decimal{}, nil
		}
		amount = p.ofTransaction(value)
	}
	if p.discount.Sign() > 0 {
		amount = amount.Minus(amount.Percent(p.discount))
	}
	d, err := amount.Decimal()
	if err != nil || d.Units >= schemas.MaxValue || d.Neg().Units >= schemas.MaxValue {
		return schemas.Decimal{}, schemas.ErrOutOfRange
	}
	return d, nil
}

// ofTransaction is the percentage of a value and its fee, within the limits of an event.
func (p *Price) ofTransaction(value Number) Number {
	amount := value.Percent(p.percent).Plus(p.eventFee)
	switch {
	case !p.eventMin.IsZero() && amount.Cmp(p.eventMin) < 0:
		return p.eventMin.orZero()
	case !p.eventMax.IsZero() && amount.Cmp(p.eventMax) > 0:
		return p.eventMax.orZero()
	}
	return amount
}

// factor is what a quantity is multiplied with: digits / 10^places. It is the
// same arithmetic as that of Number, in machine words, where these have room.
type factor struct{ digits, scale uint64 } // scale is 10^places; 0: there is no factor

// eventFactor is the zero factor where an event costs something else than a
// multiple of its quantity, or that multiple has more digits than a word.
func (p *Price) eventFactor() factor {
	if !p.PerEvent() {
		return factor{}
	}
	var f Number
	switch p.model {
	case "per_unit":
		f = p.unitPrice.orZero()
	case "percentage":
		f = p.percent.orZero().Percent(NumberOf(1))
	default:
		return factor{}
	}
	if p.discount.Sign() > 0 {
		f = f.Minus(f.Percent(p.discount))
	}
	d := f.trim().d
	if d.Exponent > 0 {
		d = f.Round(0).d
	}
	const places = 18 // 10^18, and twice a rest of it, fit a word
	if d.Exponent < -places || !d.Coeff.IsInt64() {
		return factor{}
	}
	scale := new(apd.BigInt).Exp(apd.NewBigInt(10), apd.NewBigInt(int64(-d.Exponent)), nil)
	return factor{d.Coeff.Uint64(), scale.Uint64()}
}

// times is the product, rounded half even to nine places; ok is false where the
// words have no room for it.
func (f factor) times(q schemas.Decimal) (amount schemas.Decimal, ok bool) {
	size := q
	if q.Units < 0 {
		size = q.Neg()
	}
	const most = 9_000_000_000 // units whose nanos fit a word
	if f.scale == 0 || size.Units < 0 || size.Units >= most {
		return amount, false
	}
	const nanos = 1_000_000_000
	high, low := bits.Mul64(uint64(size.Units)*nanos+uint64(size.Nanos), f.digits)
	if high >= f.scale {
		return amount, false
	}
	n, rest := bits.Div64(high, low, f.scale)
	if rest > f.scale/2 || f.scale > 1 && rest == f.scale/2 && n%2 == 1 {
		n++
	}
	amount = schemas.Decimal{Units: int64(n / nanos), Nanos: int32(n % nanos)}
	if q.Units < 0 {
		amount = amount.Neg()
	}
	return amount, true
}
