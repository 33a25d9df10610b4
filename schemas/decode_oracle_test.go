package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

// oracleDecode reads a record with another JSON library, plainly: it is what
// Decoder is held against.
func oracleDecode(topic Topic, record []byte) (ev Event, reason Reason, field string) {
	if len(record) == 0 {
		return ev, EmptyRecord, ""
	}
	if !oracleValid(record, 1) {
		return ev, InvalidJSON, ""
	}
	attrs := map[string]jsontext.Value{}
	for _, m := range oracleMembers(record) {
		if m.value.Kind() != 'n' {
			attrs[m.name] = m.value
		}
	}
	text := func(name string) ([]byte, bool) {
		v, ok := attrs[name]
		if !ok || v.Kind() != '"' {
			return nil, false
		}
		return oracleString(v), true
	}
	if spec, _ := text("specversion"); string(spec) != "1.0" {
		return ev, InvalidEvent, "specversion"
	}
	into := map[string]*[]byte{"id": &ev.ID, "source": &ev.Source, "type": &ev.Type, "subject": &ev.Subject}
	for _, name := range []string{"id", "source", "type", "time", "subject"} {
		v, there := attrs[name]
		required := name != "time" && name != "subject"
		switch s, ok := text(name); {
		case !there && required:
			return ev, MissingField, name
		case !there:
		case !ok:
			return ev, WrongType, name
		case required && len(s) == 0:
			return ev, InvalidValue, name
		case name == "time":
			continue
		default:
			*into[name] = oracleString(v)
		}
	}
	if s, ok := text("time"); ok {
		if len(s) == 0 {
			return ev, MissingField, "time"
		}
		if ev.Time, ev.HasTime = oracleTime(s); !ev.HasTime {
			return ev, InvalidValue, "time"
		}
	}
	data, inline := attrs["data"]
	if encoded, there := attrs["data_base64"]; there {
		s, ok := text("data_base64")
		_ = encoded
		if !ok {
			return ev, WrongType, "data_base64"
		}
		if inline {
			return ev, InvalidEvent, "data_base64"
		}
		decoded, err := base64.StdEncoding.DecodeString(string(s))
		if err != nil || !oracleValid(decoded, 2) {
			return ev, WrongType, "data_base64"
		}
		data = bytes.TrimLeft(decoded, " \t\r\n")
	}
	oracleData(topic, data, &ev)
	if event, ok := strings.CutPrefix(string(ev.Type), EmailPrefix); ok && topic == Emails && !ev.Present.Has(MailEvent) {
		ev.Strings[MailEvent] = []byte(event)
		ev.Present |= Of(MailEvent)
	}
	return ev, "", ""
}

// oracleData reads data's fields the long way round.
func oracleData(topic Topic, data jsontext.Value, ev *Event) {
	if topic == Usage && string(ev.Type) == TypeRequest {
		ev.Quantity, ev.HasQuantity = Decimal{Units: 1}, true
	}
	if len(data) == 0 || data.Kind() == 'n' {
		return
	}
	var rest []string
	keep := func(raw, value jsontext.Value) {
		value = value.Clone()
		if err := value.Compact(); err != nil {
			panic(err)
		}
		rest = append(rest, string(raw)+":"+string(value))
	}
	if data.Kind() != '{' {
		keep(jsontext.Value(`"data"`), data)
		ev.bad("data", "", WrongType)
	} else {
		for _, m := range oracleMembers(data) {
			if !oracleColumn(topic, m, ev) {
				keep(m.raw, m.value)
			}
		}
	}
	if rest != nil {
		ev.Rest = []byte("{" + strings.Join(rest, ",") + "}")
	}
}

func oracleColumn(topic Topic, m oracleMember, ev *Event) (held bool) {
	numbers := map[Topic]string{Usage: " status latency_ms bytes quantity ", Errors: " status latency_ms "}[topic]
	null := m.value.Kind() == 'n'
	switch {
	case strings.Contains(numbers, " "+m.name+" "):
		return null || oracleNumber(m, ev)
	case m.name == "dimensions" && topic == Usage:
		return null || oracleDimensions(m, ev)
	}
	for f, name := range FieldNames {
		if name != m.name || Field(f) == Region || !TopicFields[topic].Has(Field(f)) {
			continue
		}
		if null {
			return true
		}
		if m.value.Kind() != '"' {
			ev.bad("data."+name, "", WrongType)
			return false
		}
		ev.Strings[f] = oracleString(m.value)
		ev.Present |= Of(Field(f))
		return true
	}
	return false
}

func oracleDimensions(m oracleMember, ev *Event) bool {
	if m.value.Kind() != '{' {
		ev.bad("data.dimensions", "", WrongType)
		return false
	}
	var region []byte
	for _, d := range oracleMembers(m.value) {
		if d.value.Kind() != '"' {
			ev.bad("data.dimensions", "", WrongType)
			return false
		}
		if d.name == "region" {
			region = oracleString(d.value)
		}
	}
	compact := m.value.Clone()
	if err := compact.Compact(); err != nil {
		panic(err)
	}
	ev.Dimensions = compact
	if region != nil {
		ev.Strings[Region] = region
		ev.Present |= Of(Region)
	}
	return true
}

func oracleNumber(m oracleMember, ev *Event) bool {
	bad := func(reason Reason) bool {
		ev.bad("data."+m.name, "", reason)
		if m.name == "quantity" {
			ev.Quantity, ev.HasQuantity = Decimal{}, false
		}
		return false
	}
	text := string(m.value)
	switch m.value.Kind() {
	case '"':
		text = string(oracleString(m.value))
		switch strings.ToLower(text) {
		case "nan", "inf", "-inf", "infinity", "-infinity":
			if m.name == "quantity" {
				ev.Quantity, ev.HasQuantity = Decimal{}, false
			}
			if m.name != "status" {
				return false
			}
		}
		if !json.Valid([]byte(text)) || strings.TrimSpace(text) != text || !strings.ContainsAny(text[:1], "-0123456789") {
			return bad(WrongType)
		}
	case '0':
	default:
		return bad(WrongType)
	}
	d, whole, err := oracleDecimal(text)
	switch m.name {
	case "quantity":
		if err != nil {
			return bad(OutOfRange)
		}
		ev.Quantity, ev.HasQuantity = d, true
	case "latency_ms":
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.Abs(f) >= 1e12 {
			return bad(OutOfRange)
		}
		if ev.Latency, _, err = oracleDecimal(strconv.FormatFloat(f, 'e', -1, 64)); err != nil {
			return bad(OutOfRange)
		}
		if f < 0 {
			ev.Latency = Decimal{}
			return bad(InvalidValue)
		}
		ev.LatencyMS, ev.HasLatency = f+0, true
	default:
		switch {
		case err != nil || m.name == "status" && (d.Units > math.MaxInt32 || d.Units < math.MinInt32) && whole:
			return bad(OutOfRange)
		case !whole:
			return bad(WrongType)
		case m.name == "status":
			ev.Status, ev.HasStatus = int32(d.Units), true
		case d.Units < 0:
			return bad(InvalidValue)
		default:
			ev.Bytes, ev.HasBytes = d.Units, true
		}
	}
	return true
}

// oracleDecimal rounds with math/big. Exponents that it could not hold are
// decided by their sign.
func oracleDecimal(text string) (d Decimal, whole bool, err error) {
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		exp, err := strconv.Atoi(text[i+1:])
		if err != nil || exp > 5000 || exp < -5000 {
			if !strings.ContainsAny(text[:i], "123456789") {
				return Decimal{}, true, nil
			}
			if strings.HasPrefix(text[i+1:], "-") {
				return Decimal{}, false, nil
			}
			return Decimal{}, false, ErrOutOfRange
		}
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return Decimal{}, false, ErrNotNumber
	}
	whole = r.IsInt()
	scaled := new(big.Rat).Mul(r, big.NewRat(nanosPerUnit, 1))
	neg := scaled.Sign() < 0
	scaled.Abs(scaled)
	q, rem := new(big.Int).QuoRem(scaled.Num(), scaled.Denom(), new(big.Int))
	switch rem.Lsh(rem, 1).Cmp(scaled.Denom()) {
	case 1:
		q.Add(q, big.NewInt(1))
	case 0:
		q.Add(q, big.NewInt(int64(q.Bit(0))))
	}
	limit := new(big.Int).Mul(big.NewInt(MaxValue), big.NewInt(nanosPerUnit))
	if q.Cmp(limit) >= 0 {
		return Decimal{}, false, ErrOutOfRange
	}
	if neg {
		q.Neg(q)
	}
	units, nanos := new(big.Int).DivMod(q, big.NewInt(nanosPerUnit), new(big.Int)) // floors
	return Decimal{units.Int64(), int32(nanos.Int64())}, whole, nil
}

type oracleMember struct {
	name       string
	raw, value jsontext.Value
}

// oracleMembers lists an object's members; nil where v is none.
func oracleMembers(v jsontext.Value) (members []oracleMember) {
	dec := jsontext.NewDecoder(bytes.NewReader(v))
	if dec.PeekKind() != '{' {
		return nil
	}
	read := func() jsontext.Value {
		value, err := dec.ReadValue()
		if err != nil {
			panic(err)
		}
		return value.Clone()
	}
	if _, err := dec.ReadToken(); err != nil {
		panic(err)
	}
	for dec.PeekKind() != '}' {
		raw := read()
		members = append(members, oracleMember{string(oracleString(raw)), raw, read()})
	}
	return members
}

func oracleString(v jsontext.Value) []byte {
	s, err := jsontext.AppendUnquote([]byte{}, v)
	if err != nil {
		panic(err)
	}
	return s
}

// oracleValid reports whether text is one strict JSON value that nests no
// deeper than allowed, where its own object is at level.
func oracleValid(text []byte, level int) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	for n := 0; ; n++ {
		_, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return n > 0
		}
		if err != nil || n > 0 && dec.StackDepth() == 0 && dec.PeekKind() != 0 {
			return false
		}
		if dec.StackDepth()+level-1 > maxDepth {
			return false
		}
		if dec.StackDepth() == 0 {
			_, err := dec.ReadToken()
			return errors.Is(err, io.EOF)
		}
	}
}

// compareToOracle decodes record both ways.
func compareToOracle(t *testing.T, d *Decoder, topic Topic, record []byte) {
	t.Helper()
	var got Event
	rejection := d.Decode(topic, record, &got)
	want, reason, field := oracleDecode(topic, record)
	if rejection != nil {
		if rejection.Reason != reason || rejection.Field != field {
			t.Fatalf("%s %q\n got %v\nwant %s %s", topic, record, rejection, reason, field)
		}
		if rejection.Message == "" {
			t.Fatalf("%s %q: a rejection without a message", topic, record)
		}
		return
	}
	if reason != "" {
		t.Fatalf("%s %q\n got it accepted\nwant %s %s", topic, record, reason, field)
	}
	if got, want := show(&got), show(&want); got != want {
		t.Fatalf("%s %q\n got %s\nwant %s", topic, record, got, want)
	}
	if got.Rest != nil && !jsontext.Value(got.Rest).IsValid() {
		t.Fatalf("%s %q: rest is no JSON object: %s", topic, record, got.Rest)
	}
}

// show is an event as text, for comparing; it tells nil from empty.
func show(ev *Event) string {
	var b strings.Builder
	text := func(name string, v []byte) {
		if v != nil {
			fmt.Fprintf(&b, "%s=%q ", name, v)
		}
	}
	text("id", ev.ID)
	text("source", ev.Source)
	text("type", ev.Type)
	text("subject", ev.Subject)
	for f := range NumFields {
		if ev.Present.Has(f) {
			text(FieldNames[f], append([]byte{}, ev.Strings[f]...))
		}
	}
	text("dimensions", ev.Dimensions)
	text("rest", ev.Rest)
	fmt.Fprint(&b, ev.Time, ev.HasTime, ev.Present, ev.Status, ev.HasStatus, math.Float64bits(ev.LatencyMS),
		ev.Latency, ev.HasLatency, ev.Bytes, ev.HasBytes, ev.Quantity, ev.HasQuantity, ev.BadField, ev.BadReason)
	return b.String()
}
