package schemas

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// Rated is what names a rated.usage event's series: a point of a data frame
// (summary-v2.md). Its numbers are the event's Quantity (qty) and Amount (price,
// the money of the whole point).
type Rated struct {
	Metric, Unit []byte
	Groupby      []byte // a JSON object of strings, its names in the order of their bytes
	Metadata     []byte // a JSON array of the names of metadata, in that order
}

// ratedMember is a name and a text of groupby or metadata.
type ratedMember struct{ name, value string }

// ReadRated reads a rated.usage event's fields from data, a JSON object: metric
// and qty are required, unit, price, groupby, metadata, begin and end may be
// absent. It sets the event's Rated, Quantity, Amount and, where begin is given,
// Time; data stays as it was.
func (ev *Event) ReadRated(data []byte) *Rejection {
	r := ratedReader{rated: &Rated{Groupby: []byte("{}"), Metadata: []byte("[]")}, ev: ev}
	if len(data) > 0 {
		r.scan.start(data)
		r.scan.pos++ // a decoder's rest is an object without white space
		for name, more := r.scan.member(true); more; name, more = r.scan.member(false) {
			if rejection := r.field(string(name)); rejection != nil {
				return rejection
			}
		}
		if r.scan.err != "" {
			return &Rejection{InvalidValue, "data", "data must be a JSON object: " + r.scan.err}
		}
	}
	switch {
	case len(r.rated.Metric) == 0:
		return &Rejection{MissingField, "data.metric", "data.metric is required: a non-empty string"}
	case !r.counted:
		return &Rejection{MissingField, "data.qty", "data.qty is required: " + ratedNumber}
	}
	ev.HasQuantity, ev.HasAmount = true, true // a price that is absent is 0
	ev.Rated = r.rated
	return nil
}

const ratedNumber = "a number between -1000000000000 and 1000000000000, or a string of one"

type ratedReader struct {
	scan    scanner
	ev      *Event
	rated   *Rated
	counted bool // qty was there
}

// field reads the value of one name of data; what it does not know it passes.
func (r *ratedReader) field(name string) (rejection *Rejection) {
	null := r.scan.peek() == 'n'
	path := "data." + name
	switch {
	case null:
		r.scan.literal("null")
	case name == "metric":
		r.rated.Metric, rejection = r.text(path)
	case name == "unit":
		r.rated.Unit, rejection = r.text(path)
	case name == "qty":
		r.counted = true
		r.ev.Quantity, rejection = r.number(path)
	case name == "price":
		r.ev.Amount, rejection = r.number(path)
	case name == "groupby":
		var members []ratedMember
		if members, rejection = r.members(path, true); rejection == nil {
			r.rated.Groupby = ratedObject(members)
		}
	case name == "metadata":
		var members []ratedMember
		if members, rejection = r.members(path, false); rejection == nil {
			r.rated.Metadata = ratedNames(members)
		}
	case name == "begin" || name == "end":
		rejection = r.time(path, name == "begin")
	default:
		r.scan.value(3)
	}
	return rejection
}

func (r *ratedReader) text(path string) ([]byte, *Rejection) {
	if r.scan.peek() != '"' {
		return nil, &Rejection{WrongType, path, path + " must be a string"}
	}
	text := bytes.Clone(r.scan.str())
	return text, checkText(path, text, MaxString)
}

// number reads a number or a string that holds one.
func (r *ratedReader) number(path string) (d Decimal, rejection *Rejection) {
	start := r.scan.pos
	r.scan.value(3)
	text := r.scan.data[start:r.scan.pos]
	if len(text) > 1 && text[0] == '"' {
		text = text[1 : len(text)-1] // an escape is no digit either way
	}
	d, err := ParseDecimal(text)
	if err != nil {
		return d, &Rejection{numberReason(err), path, path + " must be " + ratedNumber}
	}
	return d, nil
}

func (r *ratedReader) time(path string, begin bool) *Rejection {
	wrong := &Rejection{InvalidValue, path, path + " must be a time of RFC 3339, such as 2026-01-31T23:00:00Z"}
	if r.scan.peek() != '"' {
		return wrong
	}
	micros, ok := ParseTime(r.scan.str())
	switch {
	case !ok:
		return wrong
	case begin:
		r.ev.Time, r.ev.HasTime = micros, true
	}
	return nil
}

// members reads an object of strings, in the order of the names' bytes.
// Where controls is set the values may not have control characters, nor may the
// names ever: they become part of a series in the store.
func (r *ratedReader) members(path string, controls bool) (all []ratedMember, rejection *Rejection) {
	wrong := &Rejection{WrongType, path, path + " must be an object of strings"}
	s := &r.scan
	if s.peek() != '{' {
		return nil, wrong
	}
	start := s.pos
	s.pos++
	for name, more := s.member(true); more; name, more = s.member(false) {
		if s.peek() != '"' {
			return nil, &Rejection{WrongType, path, fmt.Sprintf("%s must be an object of strings, which %.100q is not", path, name)}
		}
		m := ratedMember{string(name), string(s.str())}
		if hasControl([]byte(m.name)) || controls && hasControl([]byte(m.value)) {
			return nil, controlRejection(path)
		}
		all = append(all, m)
	}
	if s.pos-start > MaxDimensions {
		return nil, tooLong(path, MaxDimensions)
	}
	slices.SortFunc(all, func(a, b ratedMember) int { return cmp.Compare(a.name, b.name) })
	return all, nil
}

// ratedObject is {"name":"value",…}.
func ratedObject(members []ratedMember) []byte {
	b := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPlainJSON(append(appendPlainJSON(b, m.name), ':'), m.value)
	}
	return append(b, '}')
}

// ratedNames is ["name",…].
func ratedNames(members []ratedMember) []byte {
	b := []byte{'['}
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPlainJSON(b, m.name)
	}
	return append(b, ']')
}

// appendPlainJSON appends text, which has no control characters, as JSON with no
// more escapes than JSON demands.
func appendPlainJSON(b []byte, text string) []byte {
	b = append(b, '"')
	for i := range len(text) {
		if c := text[i]; c == '"' || c == '\\' {
			b = append(b, '\\')
		}
		b = append(b, text[i])
	}
	return append(b, '"')
}

// readRated is ReadRated of a decoded event. What does not fit its column is
// refused by checkData.
func readRated(ev *Event) *Rejection {
	if ev.BadField != "" {
		return nil
	}
	return ev.ReadRated(ev.Rest)
}
