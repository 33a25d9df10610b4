package schemas

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/robfig/cron/v3"
)

// FieldProblem is what is wrong with one field, and what is allowed.
type FieldProblem struct {
	Field   string `json:"field"`
	Problem string `json:"error"`
}

// paramKind is what a parameter of a pricing model must be.
type paramKind uint8

const (
	paramAmount paramKind = iota // a decimal of 0 or more, as text or number
	paramSize                    // a decimal above 0
	paramTiers                   // a list of objects with up_to
	paramPlaces                  // a whole number from 0 to 9
)

// pricingModels lists the models that a price may be of, and the parameters
// that each must have. Others of pricingParams are optional in all of them.
var pricingModels = map[string][]string{
	"flat":                 {"amount"},
	"per_unit":             {"unit_price"},
	"graduated":            {"tiers"},
	"volume":               {"tiers"},
	"package":              {"package_size", "package_price"},
	"percentage":           {"rate_percent"},
	"percentage_per_event": {"rate_percent"},
	"graduated_percentage": {"tiers"},
}

var pricingParams = map[string]paramKind{
	"amount": paramAmount, "unit_price": paramAmount, "tiers": paramTiers,
	"package_size": paramSize, "package_price": paramAmount, "free_units": paramAmount,
	"rate_percent": paramAmount, "fixed_per_event": paramAmount, "min_per_event": paramAmount, "max_per_event": paramAmount,
	"free_amount": paramAmount, "free_event_count": paramAmount,
	"minimum_amount": paramAmount, "maximum_amount": paramAmount, "currency_precision": paramPlaces,
}

// PricingModels are the names of the models, sorted.
func PricingModels() []string {
	names := make([]string, 0, len(pricingModels))
	for name := range pricingModels {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// CheckPrice holds the shape of a price's model and params against what the
// model needs; at is the field in front of theirs. Parameters that no model
// names are kept as they are.
func CheckPrice(at, model string, params json.RawMessage) []FieldProblem {
	needs, known := pricingModels[model]
	if !known {
		return []FieldProblem{{at + "model", fmt.Sprintf("%smodel must be one of %s", at, strings.Join(PricingModels(), ", "))}}
	}
	var values map[string]json.RawMessage
	if err := json.Unmarshal(params, &values); err != nil || values == nil {
		return []FieldProblem{{at + "params", fmt.Sprintf("%sparams must be an object with %s", at, strings.Join(needs, ", "))}}
	}
	var bad []FieldProblem
	for _, name := range needs {
		if _, ok := values[name]; !ok {
			bad = append(bad, FieldProblem{at + "params." + name, fmt.Sprintf("%sparams.%s is required for the model %s", at, name, model)})
		}
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		kind, ok := pricingParams[name]
		if !ok {
			continue
		}
		if problem := checkParam(kind, values[name]); problem != "" {
			bad = append(bad, FieldProblem{at + "params." + name, at + "params." + name + " " + problem})
		}
	}
	return bad
}

func checkParam(kind paramKind, value json.RawMessage) string {
	switch kind {
	case paramTiers:
		return checkTiers(value)
	case paramPlaces:
		if d, ok := decimalParam(value); !ok || d.Nanos != 0 || d.Units < 0 || d.Units > 9 {
			return "must be a whole number from 0 to 9"
		}
		return ""
	}
	d, ok := decimalParam(value)
	if !ok || d.Cmp(Decimal{}) < 0 || kind == paramSize && d == (Decimal{}) {
		if kind == paramSize {
			return `must be a decimal above 0, such as "10"`
		}
		return `must be a decimal of 0 or more, such as "0.01"`
	}
	return ""
}

// checkTiers: edges rise, the last is null.
func checkTiers(value json.RawMessage) string {
	var tiers []map[string]json.RawMessage
	if err := json.Unmarshal(value, &tiers); err != nil || len(tiers) == 0 || len(tiers) > 1000 {
		return "must be a list of 1 to 1000 tiers"
	}
	var last Decimal
	for i, tier := range tiers {
		edge, open := tier["up_to"], i == len(tiers)-1
		if isNull := len(edge) == 0 || bytes.Equal(edge, []byte("null")); isNull != open {
			return "must have up_to in each tier, rising, and null in the last"
		} else if !isNull {
			d, ok := decimalParam(edge)
			if !ok || d.Cmp(last) <= 0 {
				return "must have up_to in each tier, rising, and null in the last"
			}
			last = d
		}
		for _, name := range []string{"unit_price", "flat_fee", "rate_percent"} {
			if v, ok := tier[name]; ok {
				if d, ok := decimalParam(v); !ok || d.Cmp(Decimal{}) < 0 {
					return fmt.Sprintf("must have decimals of 0 or more as %s (tier %d)", name, i+1)
				}
			}
		}
	}
	return ""
}

// decimalParam reads a decimal that is written as text or as a number.
func decimalParam(value json.RawMessage) (Decimal, bool) {
	var text string
	if json.Unmarshal(value, &text) == nil {
		value = json.RawMessage(text)
	}
	d, err := ParseDecimal(value)
	return d, err == nil
}

// Quota is a subscription's limit.
type Quota struct {
	Limit      json.Number `json:"limit"`
	Period     string      `json:"period"`          // hour, day, month, or a cron expression of five fields
	Route      string      `json:"route,omitempty"` // an endpoint; "": all of the API version together
	Hard       *bool       `json:"hard"`            // nil: true
	Thresholds []int       `json:"thresholds"`      // percent of the limit; nil: 80 and 100
}

const maxThresholds = 10

// Check names the fields at fault, and fills in what was left out.
func (q *Quota) Check(at string) []FieldProblem {
	var bad []FieldProblem
	fault := func(field, format string, args ...any) {
		bad = append(bad, FieldProblem{at + field, at + field + " " + fmt.Sprintf(format, args...)})
	}
	if d, err := ParseDecimal([]byte(q.Limit)); err != nil || d.Cmp(Decimal{}) < 0 {
		fault("limit", "must be a number of 0 or more")
	}
	switch q.Period {
	case "hour", "day", "month":
	default:
		if len(q.Period) > 100 || strings.HasPrefix(q.Period, "@") || strings.Contains(q.Period, "TZ=") {
			fault("period", "must be hour, day, month or a cron expression of five fields")
		} else if _, err := cron.ParseStandard(q.Period); err != nil {
			fault("period", "must be hour, day, month or a cron expression of five fields")
		}
	}
	if q.Hard == nil {
		hard := true
		q.Hard = &hard
	}
	if q.Thresholds == nil {
		q.Thresholds = []int{80, 100}
	}
	for i, t := range q.Thresholds {
		if t < 1 || t > 1000 || len(q.Thresholds) > maxThresholds || i > 0 && t <= q.Thresholds[i-1] {
			fault("thresholds", "must be up to %d rising percentages from 1 to 1000", maxThresholds)
			break
		}
	}
	return bad
}
