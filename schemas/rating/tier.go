package rating

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"tallybook/schemas"
)

// maxTiers bounds the tiers of a price.
const maxTiers = 1000

// tier prices the units above the edge of the tier before it, up to its own
// edge: that one is the last unit of this tier.
type tier struct {
	upTo    Number // not given in the last
	rate    Number // of unit_price, or rate_percent
	flatFee Number
}

// readTiers: edges rise, the last is open. It stops at the first tier at fault,
// since each stands on the one before.
func (p *Price) readTiers(field string, value jsontext.Value) []schemas.FieldProblem {
	var list []map[string]jsontext.Value
	if err := json.Unmarshal(value, &list); err != nil || len(list) == 0 || len(list) > maxTiers {
		return []schemas.FieldProblem{problem(field, "must be a list of 1 to %d objects, each name once", maxTiers)}
	}
	last := NumberOf(0)
	for i, values := range list {
		at := fmt.Sprintf("%s[%d]", field, i)
		t, bad := p.readTier(at, values)
		if len(bad) > 0 {
			return bad
		}
		if open := i == len(list)-1; open != t.upTo.IsZero() || !open && t.upTo.Cmp(last) <= 0 {
			return []schemas.FieldProblem{problem(at+".up_to", "must be a decimal above %s, and null in the last tier alone", last)}
		}
		last = t.upTo
		p.tiers = append(p.tiers, t)
	}
	return nil
}

func (p *Price) readTier(at string, values map[string]jsontext.Value) (t tier, bad []schemas.FieldProblem) {
	if values == nil {
		return t, []schemas.FieldProblem{problem(at, "must be an object")}
	}
	rate := "unit_price"
	if p.model == "graduated_percentage" {
		rate = "rate_percent"
	}
	into := map[string]*Number{"up_to": &t.upTo, rate: &t.rate, "flat_fee": &t.flatFee}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		number, ok := into[name]
		if !ok {
			bad = append(bad, problem(at+"."+name, "is no parameter of a tier of the model %s; it has up_to, %s, flat_fee", p.model, rate))
		} else if !isNull(values[name]) {
			if *number, ok = readAmount(values[name]); !ok {
				bad = append(bad, problem(at+"."+name, "%s", mustBeAmount))
			}
		}
	}
	return t, bad
}

// graduated prices each unit in its own tier.
func (l *Line) graduated(p *Price, q Number, used bool) {
	lower := NumberOf(0)
	for i := range p.tiers {
		if i > 0 && q.Cmp(lower) <= 0 {
			return
		}
		upper := p.tiers[i].upTo
		if upper.IsZero() || q.Cmp(upper) < 0 {
			upper = q
		}
		l.tier(p, i, lower, upper.Minus(lower), used)
		lower = p.tiers[i].upTo
		if lower.IsZero() {
			return
		}
	}
}

// volume prices all units in the tier that their number falls into.
func (l *Line) volume(p *Price, q Number, used bool) {
	i := slices.IndexFunc(p.tiers, func(t tier) bool { return t.upTo.IsZero() || q.Cmp(t.upTo) <= 0 })
	var lower Number
	if i > 0 {
		lower = p.tiers[i-1].upTo
	}
	l.tier(p, i, lower, q, used)
}

// tier adds what units in a tier cost, and its fee.
func (l *Line) tier(p *Price, i int, above, units Number, used bool) {
	t := &p.tiers[i]
	part := Part{Tier: i + 1, Above: above, UpTo: t.upTo}
	if units.Sign() > 0 && (!t.rate.IsZero() || t.flatFee.IsZero()) {
		part.Kind, part.Quantity = Usage, units
		if p.model == "graduated_percentage" {
			part.Percent, part.Amount = t.rate.orZero(), units.Percent(t.rate)
		} else {
			part.Price, part.Amount = t.rate.orZero(), units.Times(t.rate)
		}
		l.add(part)
	}
	if t.flatFee.Sign() > 0 && (used || !p.noFeeAtZero) {
		part.Kind, part.Quantity, part.Percent, part.Price, part.Amount = TierFee, NumberOf(1), Number{}, t.flatFee, t.flatFee
		l.add(part)
	}
}
