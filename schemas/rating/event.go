package rating

import "tallybook/schemas"

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
