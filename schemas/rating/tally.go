package rating

import "errors"

// Tally is the usage of a price in a billing period, as it goes on. Its size
// does not grow with the events. One goroutine uses it.
type Tally struct {
	price    *Price
	quantity Number
	events   int64
	counted  bool // events is known

	// Of percentage_per_event, whose events cannot be told apart in a total:
	freeAmount, freeEvents Number // what is left of the allowances that the price has
	free                   Number // value that no percentage was taken of
	paid                   Number // value that it was taken of
	paidEvents             int64
	raised, cut            Number // by min_per_event and max_per_event
	raisedEvents           int64
	cutEvents              int64
}

var (
	errNegative       = errors.New("quantity must be a decimal of 0 or more")
	errNegativeEvent  = errors.New("quantity must have events of 0 or more")
	errNegativeTotal  = errors.New("quantity must not fall below 0 with any of its events")
	errEventByEvent   = errors.New("quantity must be given event by event for the model percentage_per_event")
	errEventsUnknown  = errors.New("params.event_count is required with fixed_per_event where quantity is a total, not a list of events")
	errNegativeEvents = errors.New("the number of events must be 0 or more")
)

// Tally begins a period without usage.
func (p *Price) Tally() *Tally {
	return &Tally{price: p, counted: true, freeAmount: p.freeAmount, freeEvents: p.freeEvents}
}

// Total sets the usage of the period as a whole; events is the number of events
// behind it, -1 where it is not known. Not for percentage_per_event.
func (t *Tally) Total(quantity Number, events int64) error {
	switch {
	case t.price.model == "percentage_per_event":
		return errEventByEvent
	case quantity.Sign() < 0:
		return errNegative
	case events < -1:
		return errNegativeEvents
	}
	t.quantity, t.events, t.counted = quantity, events, events >= 0
	return nil
}

// Event adds the value of the next event. After an error the tally is as before.
func (t *Tally) Event(value Number) error {
	total := t.quantity.Plus(value)
	if t.price.model == "percentage_per_event" {
		if value.Sign() < 0 {
			return errNegativeEvent
		}
		t.transaction(value)
	} else if total.Sign() < 0 {
		return errNegativeTotal
	}
	t.quantity = total
	t.events++
	return nil
}

// transaction takes an event's percentage.
func (t *Tally) transaction(value Number) {
	p := t.price
	free, whole := t.allowance(value)
	t.free = t.free.Plus(free)
	if whole {
		return
	}
	paid := value.Minus(free)
	t.paid = t.paid.Plus(paid)
	t.paidEvents++
	amount := paid.Percent(p.percent).Plus(p.eventFee)
	if !p.eventMin.IsZero() && amount.Cmp(p.eventMin) < 0 {
		t.raised = t.raised.Plus(p.eventMin.Minus(amount))
		t.raisedEvents++
	} else if !p.eventMax.IsZero() && amount.Cmp(p.eventMax) > 0 {
		t.cut = t.cut.Plus(amount.Minus(p.eventMax))
		t.cutEvents++
	}
}

// allowance is how much of an event's value is free. The first free_event_count
// events and the first free_amount of value are; where both are given, until
// either is used up. whole: the event pays neither fee nor minimum.
func (t *Tally) allowance(value Number) (free Number, whole bool) {
	byEvents, byAmount := t.price.freeEvents.Sign() > 0, t.price.freeAmount.Sign() > 0
	if !byEvents && !byAmount || byEvents && t.freeEvents.Sign() == 0 || byAmount && t.freeAmount.Sign() == 0 {
		return NumberOf(0), false
	}
	if byEvents {
		t.freeEvents = t.freeEvents.Minus(NumberOf(1))
	}
	if !byAmount || value.Cmp(t.freeAmount) <= 0 {
		t.freeAmount = t.freeAmount.Minus(value)
		return value, true
	}
	free, t.freeAmount = t.freeAmount, NumberOf(0)
	return free, false
}
