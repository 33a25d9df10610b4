package rating

// Line is what a price makes of a usage, and why.
type Line struct {
	Quantity Number `json:"quantity"`
	Amount   Number `json:"amount"`         // what is billed: rounded, where Places says so
	Exact    Number `json:"exact"`          // before it was rounded
	Places   int    `json:"places"`         // of the currency's minor unit; -1: not rounded
	InSum    bool   `json:"inSum,omitzero"` // Total rounds it with others, not by itself; Amount is the exact one
	Parts    []Part `json:"parts"`          // their amounts add up to Amount
}

// Part is a step of the way to a line's amount. By its kind
//
//	Quantity × Price = Amount, or Quantity × Percent / 100 = Amount,
//
// times Share where it has one; the others say what limit they come from.
type Part struct {
	Kind     Kind   `json:"kind"`
	Tier     int    `json:"tier,omitzero"`  // from 1
	Above    Number `json:"above,omitzero"` // of the tier: from here, exclusive
	UpTo     Number `json:"upTo,omitzero"`  // of the tier: to here, inclusive; none: open
	Quantity Number `json:"quantity,omitzero"`
	Price    Number `json:"price,omitzero"`
	Percent  Number `json:"percent,omitzero"`
	Share    *Share `json:"share,omitzero"` // of the period that the price held
	Amount   Number `json:"amount"`
}

// Kind of a Part.
type Kind string

// The kinds, in the order in which a line has them.
const (
	Free     Kind = "free"      // quantity that costs nothing
	Flat     Kind = "flat"      // Quantity 1
	Usage    Kind = "usage"     // units, of a tier where it has one
	TierFee  Kind = "tier_fee"  // Quantity 1
	Packages Kind = "packages"  // Quantity packages
	EventFee Kind = "event_fee" // Quantity events
	EventMin Kind = "event_min" // what min_per_event (Price) raised Quantity events by
	EventMax Kind = "event_max" // what max_per_event (Price) cut from Quantity events
	Discount Kind = "discount"  // Percent below 0 of Quantity, an amount
	Maximum  Kind = "maximum"   // down to Price
	Minimum  Kind = "minimum"   // up to Price, or its Share
	Rounding Kind = "rounding"  // to the minor unit
)

// Line rates the tally: the model's rule, then discount, maximum, minimum and
// rounding, each once. places is that of the currency's minor unit, -1 to leave
// the amount as it is; the price's currency_precision goes before it.
func (t *Tally) Line(term Term, places int) (Line, error) {
	p := t.price
	share, part, err := term.share(p.proration)
	if err != nil {
		return Line{}, err
	}
	if p.places >= 0 {
		places = p.places
	}
	l := Line{Quantity: t.quantity.orZero(), Amount: NumberOf(0), Places: places, Parts: []Part{}}
	if err := l.model(t, share, part); err != nil {
		return Line{}, err
	}
	if !p.discountAfterCap {
		l.discount(p.discount)
	}
	if !p.maximum.IsZero() && l.Amount.Cmp(p.maximum) > 0 {
		l.add(Part{Kind: Maximum, Price: p.maximum, Amount: p.maximum.Minus(l.Amount)})
	}
	if p.discountAfterCap {
		l.discount(p.discount)
	}
	l.minimum(p.minimum, share, part)
	l.Amount = l.Amount.trim()
	l.Exact = l.Amount
	if l.InSum = p.roundInSum; places >= 0 && !l.InSum {
		l.round()
	}
	return l, nil
}

// model adds what the price's model says.
func (l *Line) model(t *Tally, share Share, part bool) error {
	p := t.price
	q := l.free(p.freeUnits, t.quantity)
	switch p.model {
	case "flat":
		flat := Part{Kind: Flat, Quantity: NumberOf(1), Price: p.amount, Amount: p.amount}
		if part {
			flat.Share, flat.Amount = &share, p.amount.share(share)
		}
		l.add(flat)
	case "per_unit":
		l.add(Part{Kind: Usage, Quantity: q, Price: p.unitPrice, Amount: q.Times(p.unitPrice)})
	case "graduated", "graduated_percentage":
		l.graduated(p, q, t.quantity.Sign() > 0)
	case "volume":
		l.volume(p, q, t.quantity.Sign() > 0)
	case "package":
		n, more := q.packs(p.packageSize)
		if more && !p.roundsDown {
			n = n.Plus(NumberOf(1))
		}
		l.add(Part{Kind: Packages, Quantity: n, Price: p.packagePrice, Amount: n.Times(p.packagePrice)})
	case "percentage":
		return l.percentage(t)
	case "percentage_per_event":
		l.perEvent(t)
	}
	return nil
}

// free takes units that cost nothing off the quantity.
func (l *Line) free(units, quantity Number) Number {
	if units.Sign() == 0 {
		return quantity.orZero()
	}
	if units.Cmp(quantity) > 0 {
		units = quantity.orZero()
	}
	l.add(Part{Kind: Free, Quantity: units, Amount: NumberOf(0)})
	return quantity.Minus(units)
}

// percentage is that of a total above its free amount, and fees of events above
// those that are free. No value, no fees.
func (l *Line) percentage(t *Tally) error {
	p := t.price
	q := l.free(p.freeAmount, t.quantity)
	l.add(Part{Kind: Usage, Quantity: q, Percent: p.percent, Amount: q.Percent(p.percent)})
	if p.eventFee.Sign() == 0 || t.quantity.Sign() == 0 {
		return nil
	}
	events := NumberOf(t.events)
	if !p.eventCount.IsZero() {
		events = p.eventCount
	} else if !t.counted {
		return errEventsUnknown
	}
	if events = events.Minus(p.freeEvents); events.Sign() > 0 {
		l.add(Part{Kind: EventFee, Quantity: events, Price: p.eventFee, Amount: events.Times(p.eventFee)})
	}
	return nil
}

func (l *Line) perEvent(t *Tally) {
	p := t.price
	if t.free.Sign() > 0 {
		l.add(Part{Kind: Free, Quantity: t.free, Amount: NumberOf(0)})
	}
	l.add(Part{Kind: Usage, Quantity: t.paid.orZero(), Percent: p.percent, Amount: t.paid.Percent(p.percent)})
	if p.eventFee.Sign() > 0 && t.paidEvents > 0 {
		events := NumberOf(t.paidEvents)
		l.add(Part{Kind: EventFee, Quantity: events, Price: p.eventFee, Amount: events.Times(p.eventFee)})
	}
	if t.raisedEvents > 0 {
		l.add(Part{Kind: EventMin, Quantity: NumberOf(t.raisedEvents), Price: p.eventMin, Amount: t.raised})
	}
	if t.cutEvents > 0 {
		l.add(Part{Kind: EventMax, Quantity: NumberOf(t.cutEvents), Price: p.eventMax, Amount: NumberOf(0).Minus(t.cut)})
	}
}

func (l *Line) discount(percent Number) {
	if percent.Sign() > 0 && l.Amount.Sign() > 0 {
		less := NumberOf(0).Minus(percent)
		l.add(Part{Kind: Discount, Quantity: l.Amount.trim(), Percent: less, Amount: l.Amount.Percent(less)})
	}
}

// minimum comes last: it is what a customer pays at least, for the part of the
// period that the price held.
func (l *Line) minimum(least Number, share Share, part bool) {
	up := Part{Kind: Minimum, Price: least}
	if part {
		up.Share, least = &share, least.share(share)
	}
	if l.Amount.Cmp(least) < 0 {
		up.Amount = least.Minus(l.Amount)
		l.add(up)
	}
}

func (l *Line) round() {
	to := l.Amount.Round(l.Places)
	if to.Cmp(l.Amount) != 0 {
		l.add(Part{Kind: Rounding, Amount: to.Minus(l.Amount)})
	}
	l.Amount = to
}

func (l *Line) add(p Part) {
	p.Amount = p.Amount.trim()
	l.Amount = l.Amount.Plus(p.Amount)
	l.Parts = append(l.Parts, p)
}

// Total is what lines of one currency come to: rounded ones as they are, those
// whose price says so rounded together, to the most places that one of them has.
func Total(lines []Line) Number {
	rounded, exact, places := NumberOf(0), NumberOf(0), -1
	for i := range lines {
		if !lines[i].InSum {
			rounded = rounded.Plus(lines[i].Amount)
			continue
		}
		exact = exact.Plus(lines[i].Exact)
		places = max(places, lines[i].Places)
	}
	if places >= 0 {
		exact = exact.Round(places)
	}
	return rounded.Plus(exact)
}
