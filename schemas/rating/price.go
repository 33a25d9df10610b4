package rating

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"tallybook/schemas"
)

// Price is a price whose params were found right. It is never changed, and may
// be used by many goroutines.
type Price struct {
	model string

	amount, unitPrice                         Number
	packageSize, packagePrice, freeUnits      Number
	percent, eventFee, eventMin, eventMax     Number
	freeAmount, freeEvents, eventCount        Number
	minimum, maximum, discount                Number
	tiers                                     []tier
	roundsDown, noFeeAtZero, discountAfterCap bool
	roundInSum                                bool
	proration                                 proration
	places                                    int // of currency_precision; -1: not given

	factor factor // of prices per event that are a multiple of the quantity
}

type proration uint8

const (
	prorateDays proration = iota
	prorateSeconds
	prorateNothing
)

// model is what a price of a model must have and may have beside common.
type model struct{ needs, may []string }

var models = map[string]model{
	"flat":                 {needs: []string{"amount"}},
	"per_unit":             {needs: []string{"unit_price"}, may: []string{"free_units"}},
	"graduated":            {needs: []string{"tiers"}, may: []string{"free_units", "flat_fee_at_zero"}},
	"volume":               {needs: []string{"tiers"}, may: []string{"free_units", "flat_fee_at_zero"}},
	"package":              {needs: []string{"package_size", "package_price"}, may: []string{"free_units", "rounding"}},
	"percentage":           {needs: []string{"rate_percent"}, may: []string{"fixed_per_event", "event_count", "free_amount", "free_event_count"}},
	"percentage_per_event": {needs: []string{"rate_percent"}, may: []string{"fixed_per_event", "min_per_event", "max_per_event", "free_amount", "free_event_count"}},
	"graduated_percentage": {needs: []string{"tiers"}, may: []string{"flat_fee_at_zero"}},
}

var common = []string{"minimum_amount", "maximum_amount", "discount_percent", "discount_order", "currency_precision", "round", "proration", "note"}

// Models are the names of the pricing models, sorted.
func Models() []string { return slices.Sorted(maps.Keys(models)) }

// reader reads a param's value into the price, and says what it must be
// where it is not: "must be …".
type reader func(p *Price, value jsontext.Value) string

var readers = map[string]reader{
	"amount":             amountOf(func(p *Price) *Number { return &p.amount }),
	"unit_price":         amountOf(func(p *Price) *Number { return &p.unitPrice }),
	"package_price":      amountOf(func(p *Price) *Number { return &p.packagePrice }),
	"free_units":         amountOf(func(p *Price) *Number { return &p.freeUnits }),
	"rate_percent":       amountOf(func(p *Price) *Number { return &p.percent }),
	"fixed_per_event":    amountOf(func(p *Price) *Number { return &p.eventFee }),
	"min_per_event":      amountOf(func(p *Price) *Number { return &p.eventMin }),
	"max_per_event":      amountOf(func(p *Price) *Number { return &p.eventMax }),
	"free_amount":        amountOf(func(p *Price) *Number { return &p.freeAmount }),
	"minimum_amount":     amountOf(func(p *Price) *Number { return &p.minimum }),
	"maximum_amount":     amountOf(func(p *Price) *Number { return &p.maximum }),
	"free_event_count":   countOf(func(p *Price) *Number { return &p.freeEvents }),
	"event_count":        countOf(func(p *Price) *Number { return &p.eventCount }),
	"package_size":       readPackageSize,
	"discount_percent":   readDiscount,
	"currency_precision": readPlaces,
	"flat_fee_at_zero":   readFeeAtZero,
	"tiers":              nil, // see Parse: its problems are of fields of their own
	"note":               readNote,
	"rounding":           choiceOf([]string{"up", "down"}, func(p *Price, i int) { p.roundsDown = i == 1 }),
	"round":              choiceOf([]string{"per line", "sum"}, func(p *Price, i int) { p.roundInSum = i == 1 }),
	"discount_order":     choiceOf([]string{"before cap", "after cap"}, func(p *Price, i int) { p.discountAfterCap = i == 1 }),
	"proration":          choiceOf([]string{"days", "seconds", "none"}, func(p *Price, i int) { p.proration = proration(i) }),
}

// Parse reads the params of a price of a model. at stands in front of the names
// of fields in what it finds wrong. A price is nil where something is wrong.
func Parse(at, modelName string, params []byte) (*Price, []schemas.FieldProblem) {
	m, known := models[modelName]
	if !known {
		return nil, []schemas.FieldProblem{problem(at+"model", "must be one of %s", strings.Join(Models(), ", "))}
	}
	at += "params"
	var values map[string]jsontext.Value
	if err := json.Unmarshal(params, &values); err != nil || values == nil {
		return nil, []schemas.FieldProblem{problem(at, "must be an object with %s, each name once", strings.Join(m.needs, ", "))}
	}
	p := &Price{model: modelName, places: -1}
	var bad []schemas.FieldProblem
	for _, name := range m.needs {
		if isNull(values[name]) {
			bad = append(bad, problem(at+"."+name, "is required for the model %s", modelName))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value, field := values[name], at+"."+name
		switch {
		case !slices.Contains(m.needs, name) && !slices.Contains(m.may, name) && !slices.Contains(common, name):
			bad = append(bad, problem(field, "is no parameter of the model %s; it has %s", modelName,
				strings.Join(slices.Concat(m.needs, m.may, common), ", ")))
		case isNull(value):
		case name == "tiers":
			bad = append(bad, p.readTiers(field, value)...)
		default:
			if must := readers[name](p, value); must != "" {
				bad = append(bad, problem(field, "%s", must))
			}
		}
	}
	if bad = append(bad, p.contradictions(at)...); len(bad) > 0 {
		return nil, bad
	}
	p.factor = p.eventFactor()
	return p, nil
}

// Check is Parse for those who store a price and rate nothing.
func Check(at, modelName string, params []byte) []schemas.FieldProblem {
	_, bad := Parse(at, modelName, params)
	return bad
}

func (p *Price) contradictions(at string) (bad []schemas.FieldProblem) {
	if !p.minimum.IsZero() && !p.maximum.IsZero() && p.minimum.Cmp(p.maximum) > 0 {
		bad = append(bad, problem(at+".minimum_amount", "must not be above maximum_amount"))
	}
	if !p.eventMin.IsZero() && !p.eventMax.IsZero() && p.eventMin.Cmp(p.eventMax) > 0 {
		bad = append(bad, problem(at+".min_per_event", "must not be above max_per_event"))
	}
	return bad
}

// Model is the name of the pricing model.
func (p *Price) Model() string { return p.model }

func problem(field, format string, args ...any) schemas.FieldProblem {
	return schemas.FieldProblem{Field: field, Problem: field + " " + fmt.Sprintf(format, args...)}
}

func isNull(value jsontext.Value) bool { return len(value) == 0 || value.Kind() == 'n' }
