package schemas

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// DecimalText is a decimal as documents have it, as text. A number of JSON is
// taken too, digit by digit: it never is a float.
type DecimalText string

// UnmarshalJSON takes any text; Check of what it is part of says what is allowed.
func (d *DecimalText) UnmarshalJSON(b []byte) error {
	var n json.Number
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(d))
	}
	err := json.Unmarshal(b, &n)
	*d = DecimalText(n)
	return err
}

// isPlain: digits, and up to so many behind a point; of up to 12 before it.
func (d DecimalText) isPlain(places int) bool {
	whole, fraction, point := strings.Cut(string(d), ".")
	digits := func(s string) bool { return strings.Trim(s, "0123456789") == "" }
	return whole != "" && len(whole) <= 12 && digits(whole) && len(fraction) <= places && digits(fraction) && point == (fraction != "")
}

// Tax is a rate that is added to what a customer owes: once per document, on the
// sum of the lines that it is of.
type Tax struct {
	Name    string      `json:"name"` // as the document shows it, such as VAT
	Percent DecimalText `json:"percent"`
}

const (
	maxTaxes      = 5
	maxTaxName    = 50
	percentPlaces = 4
)

// CheckTaxes names the fields at fault.
func CheckTaxes(at string, taxes []Tax) []FieldProblem {
	var bad []FieldProblem
	fault := func(field, problem string) { bad = append(bad, FieldProblem{field, field + " " + problem}) }
	if len(taxes) > maxTaxes {
		fault(at, fmt.Sprintf("may have up to %d entries", maxTaxes))
		return bad
	}
	for i, t := range taxes {
		field := fmt.Sprintf("%s[%d]", at, i)
		if t.Name == "" || len(t.Name) > maxTaxName || strings.ContainsFunc(t.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			fault(field+".name", fmt.Sprintf("is required: up to %d bytes without control characters", maxTaxName))
		}
		if slices.ContainsFunc(taxes[:i], func(o Tax) bool { return o.Name == t.Name }) {
			fault(field+".name", "stands twice: a tax has one rate for a customer")
		}
		d, err := ParseDecimal([]byte(t.Percent))
		if err != nil || !t.Percent.isPlain(percentPlaces) || d.Cmp(Decimal{Units: 100}) > 0 {
			fault(field+".percent", fmt.Sprintf("must be a decimal from 0 to 100 with up to %d places, such as 19 or 7.7", percentPlaces))
		}
	}
	return bad
}

// CheckMinimum names the field where it is no amount; "" is none.
func CheckMinimum(field string, minimum DecimalText) []FieldProblem {
	if minimum == "" || minimum.isPlain(9) {
		return nil
	}
	return []FieldProblem{{field, field + ` must be a decimal of 0 or more, such as "50.00", with up to 12 digits before and 9 behind the point`}}
}
