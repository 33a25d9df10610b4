package rating

import (
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxNote bounds a price's note, in bytes.
const maxNote = 1000

var mustBeAmount = fmt.Sprintf(`must be a decimal of 0 or more, such as "0.01", of up to %d digits before and %d behind the point`, MaxWhole, MaxPlaces)

// readNumber reads a decimal that is written as text or as a number.
func readNumber(value jsontext.Value) (Number, error) {
	text := string(value)
	if value.Kind() == '"' {
		if err := json.Unmarshal(value, &text); err != nil {
			return Number{}, errNotDecimal
		}
	}
	return ParseNumber(text)
}

// readAmount reads a decimal of 0 or more.
func readAmount(value jsontext.Value) (Number, bool) {
	n, err := readNumber(value)
	return n, err == nil && n.Sign() >= 0
}

// readCount reads a whole number of 0 or more, below 10^15.
func readCount(value jsontext.Value) (Number, bool) {
	n, ok := readAmount(value)
	return n, ok && n.Round(0).Cmp(n) == 0 && n.Cmp(NumberOf(1e15)) < 0
}

func amountOf(field func(*Price) *Number) reader {
	return func(p *Price, value jsontext.Value) string {
		n, ok := readAmount(value)
		if !ok {
			return mustBeAmount
		}
		*field(p) = n
		return ""
	}
}

func countOf(field func(*Price) *Number) reader {
	return func(p *Price, value jsontext.Value) string {
		n, ok := readCount(value)
		if !ok {
			return "must be a whole number of 0 or more"
		}
		*field(p) = n
		return ""
	}
}

// choiceOf reads one of some words; set gets its place among them.
func choiceOf(words []string, set func(p *Price, i int)) reader {
	return func(p *Price, value jsontext.Value) string {
		var word string
		if json.Unmarshal(value, &word) == nil {
			for i, w := range words {
				if w == word {
					set(p, i)
					return ""
				}
			}
		}
		return `must be "` + strings.Join(words, `" or "`) + `"`
	}
}

func readPackageSize(p *Price, value jsontext.Value) string {
	n, ok := readAmount(value)
	if !ok || n.Sign() == 0 {
		return `must be a decimal above 0, such as "10"`
	}
	p.packageSize = n
	return ""
}

func readDiscount(p *Price, value jsontext.Value) string {
	n, ok := readAmount(value)
	if !ok || n.Cmp(NumberOf(100)) > 0 {
		return "must be a decimal from 0 to 100"
	}
	p.discount = n
	return ""
}

func readPlaces(p *Price, value jsontext.Value) string {
	n, ok := readCount(value)
	if !ok || n.Cmp(NumberOf(9)) > 0 {
		return "must be a whole number from 0 to 9"
	}
	places, _ := n.value().Int64() // from 0 to 9
	p.places = int(places)
	return ""
}

func readFeeAtZero(p *Price, value jsontext.Value) string {
	var billed bool
	if json.Unmarshal(value, &billed) != nil {
		return "must be true or false"
	}
	p.noFeeAtZero = !billed
	return ""
}

func readNote(_ *Price, value jsontext.Value) string {
	var note string
	if json.Unmarshal(value, &note) != nil || len(note) > maxNote {
		return fmt.Sprintf("must be a text of up to %d bytes", maxNote)
	}
	return ""
}
