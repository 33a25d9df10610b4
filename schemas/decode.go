package schemas

import (
	"bytes"
	"errors"
	"math"
)

// Decoder reads records into Events. It owns the memory that an Event's slices
// view where the record's own bytes do not do (escapes, white space): it is
// valid until the next call. A Decoder is for one goroutine; its zero value is
// ready.
type Decoder struct {
	scan    scanner
	columns columnSet // of the topic at work
	rest    []byte    // grows into Event.Rest
	dims    []byte    // Event.Dimensions, where it had to be compacted
	base64  []byte    // data_base64, decoded
	counted bool      // data has a quantity, be it no number

	attributes, fields keyOrder // of the envelope and of data
}

// Decode reads a CloudEvents 1.0 event in structured mode. What it could read
// is in ev also when it refuses: account and id name the error row.
//
// Null is absent, for envelope attributes and for columns alike. Extension
// attributes are ignored. A field of data that is no column of the topic, or
// whose JSON type does not fit its column (ev.BadField), goes to ev.Rest as it
// stood, less white space; data that is no object goes there as {"data": …}.
// Numbers may also stand as strings ("100"). Text that is not strict JSON, or
// nests more than 64 deep, is invalid_json. An e-mail's data.event is filled in
// from its type.
func (d *Decoder) Decode(topic Topic, record []byte, ev *Event) *Rejection {
	d.reset(topic, ev)
	if len(record) == 0 {
		return &Rejection{Reason: EmptyRecord, Message: "a record must hold one CloudEvents 1.0 event in JSON"}
	}
	var env envelope
	d.scan.start(record)
	d.envelope(&env, ev)
	env.fill(ev)
	if d.scan.err != "" {
		return d.invalidJSON()
	}
	if rejection := env.check(ev); rejection != nil {
		return rejection
	}
	if env.has(attrBase64) {
		if rejection := d.dataBase64(&env, ev); rejection != nil {
			return rejection
		}
	}
	d.complete(topic, ev)
	return nil
}

// DecodeBinary reads an event in binary mode: attributes from the headers
// ce_id, ce_source, ce_type, ce_specversion, ce_subject and ce_time, data from
// the record, which may be empty (no data) and is else JSON. The rest is as
// with Decode.
func (d *Decoder) DecodeBinary(topic Topic, headers func(name string) ([]byte, bool), record []byte, ev *Event) *Rejection {
	d.reset(topic, ev)
	var env envelope
	env.readHeaders(headers)
	env.fill(ev)
	d.scan.start(record)
	if len(record) > 0 {
		d.document(ev)
	}
	if d.scan.err != "" {
		return d.invalidJSON()
	}
	if rejection := env.check(ev); rejection != nil {
		return rejection
	}
	d.complete(topic, ev)
	return nil
}

func (d *Decoder) reset(topic Topic, ev *Event) {
	*ev = Event{}
	d.counted = false
	d.columns = topicColumns(topic)
	d.rest, d.dims, d.base64 = recycle(d.rest), recycle(d.dims), recycle(d.base64)
}

// complete fills in what data leaves out: the quantity 1 of a request, the event
// of an e-mail.
func (d *Decoder) complete(topic Topic, ev *Event) {
	if topic == Usage && !d.counted && string(ev.Type) == TypeRequest {
		ev.Quantity, ev.HasQuantity = DecimalFromInt(1), true
	}
	d.nameMailEvent(ev)
}

// nameMailEvent takes the event of an e-mail from its type where data does not
// repeat it.
func (d *Decoder) nameMailEvent(ev *Event) {
	if event, ok := bytes.CutPrefix(ev.Type, []byte(EmailPrefix)); ok &&
		d.columns.has(column(MailEvent)) && !ev.Present.Has(MailEvent) {
		ev.Strings[MailEvent] = event
		ev.Present |= 1 << MailEvent
	}
}

// recycle empties a buffer, and drops one that a huge record made.
func recycle(b []byte) []byte {
	if cap(b) > keepText {
		return nil
	}
	return b[:0]
}

// document reads data that is a whole text of its own.
func (d *Decoder) document(ev *Event) {
	d.scan.space()
	d.data(ev)
	d.scan.end()
}

// data reads the value of data.
func (d *Decoder) data(ev *Event) {
	s := &d.scan
	switch s.peek() {
	case '{':
		d.object(ev)
	case 'n':
		s.literal("null")
	default:
		start := s.pos
		s.spaced = false
		s.value(2)
		d.keep([]byte(`"data"`), start)
		d.closeRest(ev)
		ev.bad("data", "an object", WrongType)
	}
}

// object reads data's fields, each into its column or the rest.
func (d *Decoder) object(ev *Event) {
	s := &d.scan
	s.pos++
	base := len(s.names)
	var seen columnSet
	for k := 0; ; k++ {
		code, name, more := s.field(&d.fields, k, columnCode)
		if !more {
			break
		}
		start := s.pos
		s.spaced = false
		quoted := s.data[s.name.start:s.name.end]
		c := column(code)
		if !d.columns.has(c) {
			s.names = append(s.names, name)
			s.value(3)
			d.keep(quoted, start)
			continue
		}
		if seen.has(c) {
			s.fail("names in an object must differ")
			break
		}
		seen |= 1 << c
		if !d.column(c, ev) {
			d.keep(quoted, start)
		}
	}
	s.distinct(base)
	d.closeRest(ev)
}

// column reads a value into its column; false: it is passed but belongs into
// the rest.
func (d *Decoder) column(c column, ev *Event) (held bool) {
	s := &d.scan
	switch first := s.peek(); {
	case first == '"' && c < colStatus:
		ev.Strings[c] = s.str()
		ev.Present |= 1 << c
		return true
	case first == 'n':
		s.literal("null")
		return true
	case c == colDimensions:
		return d.dimensions(ev)
	case c >= colStatus:
		return d.number(c, ev)
	}
	s.value(3)
	ev.bad(columnPaths[c], "a string", WrongType)
	return false
}

// dimensions reads an object of strings.
func (d *Decoder) dimensions(ev *Event) (held bool) {
	const want = "an object of strings"
	s := &d.scan
	start := s.pos
	if s.peek() != '{' {
		s.value(3)
		ev.bad(columnPaths[colDimensions], want, WrongType)
		return false
	}
	s.pos++
	base, region, fits := len(s.names), []byte(nil), true
	for name, more := s.member(true); more; name, more = s.member(false) {
		s.names = append(s.names, name)
		if s.peek() != '"' {
			fits = false
			s.value(4)
			continue
		}
		if value := s.str(); string(name) == FieldNames[Region] {
			region = value
		}
	}
	s.distinct(base)
	if !fits {
		ev.bad(columnPaths[colDimensions], want, WrongType)
		return false
	}
	if ev.Dimensions = s.data[start:s.pos:s.pos]; s.spaced {
		d.dims = appendCompact(d.dims, ev.Dimensions)
		ev.Dimensions = d.dims
	}
	if region != nil {
		ev.Strings[Region] = region
		ev.Present |= 1 << Region
	}
	return true
}

// number reads a number, or a string that holds one, into c.
func (d *Decoder) number(c column, ev *Event) (held bool) {
	s := &d.scan
	d.counted = d.counted || c == colQuantity
	if c == colStatus || c == colBytes {
		if v, ok := s.smallInteger(); ok { // what nearly all of them are
			if c == colStatus {
				ev.Status, ev.HasStatus = int32(v), true
			} else {
				ev.Bytes, ev.HasBytes = int64(v), true
			}
			return true
		}
	}
	var n number
	var err error
	switch first := s.peek(); {
	case first == '"':
		var text []byte
		if text = s.str(); s.err != "" {
			return false
		}
		n, err = parseNumber(text)
		if err != nil && c != colStatus && notFinite(text) {
			ev.uncount(c)
			return false
		}
	case first == '-' || isDigit(first):
		s.number(&n)
	default:
		s.value(3)
		err = ErrNotNumber
	}
	if s.err != "" {
		return false
	}
	if err == nil {
		err = ev.setNumber(c, &n)
	}
	if err == nil {
		return true
	}
	ev.uncount(c)
	ev.bad(columnPaths[c], numberWants[c-colStatus], numberReason(err))
	return false
}

var numberWants = [...]string{"a whole number from 0 to 999",
	"a number from 0 to below 1000000000000", "a whole number from 0 to below 1000000000000",
	"a number between -1000000000000 and 1000000000000"}

var errNegative = errors.New("negative")

func numberReason(err error) Reason {
	switch err {
	case ErrOutOfRange:
		return OutOfRange
	case errNegative:
		return InvalidValue
	}
	return WrongType
}

// setNumber takes n into column c. Only a quantity may be negative: it gives
// back what was counted. Status keeps any int32 here; its range is a rule.
func (ev *Event) setNumber(c column, n *number) (err error) {
	switch c {
	case colStatus:
		var status int64
		if status, err = n.integer(); err != nil {
			return err
		}
		if status < math.MinInt32 || status > math.MaxInt32 {
			return ErrOutOfRange
		}
		ev.Status, ev.HasStatus = int32(status), true
	case colLatency:
		f, d, err := n.double()
		if err != nil {
			return err
		}
		if f < 0 {
			return errNegative
		}
		ev.LatencyMS, ev.Latency, ev.HasLatency = f, d, true
	case colBytes:
		var size int64
		if size, err = n.integer(); err != nil {
			return err
		}
		if size < 0 {
			return errNegative
		}
		ev.Bytes, ev.HasBytes = size, true
	case colQuantity:
		ev.Quantity, _, err = n.decimal()
		ev.HasQuantity = err == nil
	}
	return err
}

// uncount marks a quantity that was given but is no number.
func (ev *Event) uncount(c column) {
	if c == colQuantity {
		ev.Quantity, ev.HasQuantity = Decimal{}, false
	}
}

// bad remembers the first field that does not fit.
func (ev *Event) bad(path, want string, reason Reason) {
	if ev.BadField == "" {
		ev.BadField, ev.BadWant, ev.BadReason = path, want, reason
	}
}

// notFinite reports whether text is a name that programs write for a double
// that is no number; such a value is kept but not counted.
func notFinite(text []byte) bool {
	for _, name := range []string{"nan", "inf", "-inf", "infinity", "-infinity"} {
		if len(text) == len(name) && bytes.EqualFold(text, []byte(name)) {
			return true
		}
	}
	return false
}

// keep puts the value from start to here into the rest, under its name.
func (d *Decoder) keep(quotedName []byte, start int) {
	s := &d.scan
	if s.err != "" {
		return
	}
	if len(d.rest) == 0 {
		d.rest = append(d.rest, '{')
	} else {
		d.rest = append(d.rest, ',')
	}
	d.rest = append(append(d.rest, quotedName...), ':')
	if value := s.data[start:s.pos]; s.spaced {
		d.rest = appendCompact(d.rest, value)
	} else {
		d.rest = append(d.rest, value...)
	}
}

func (d *Decoder) closeRest(ev *Event) {
	if len(d.rest) > 0 && d.scan.err == "" {
		d.rest = append(d.rest, '}')
		ev.Rest = d.rest
	}
}
