package producer

import (
	"bytes"
	"slices"

	"tallybook/schemas"
)

// spoiled is a way to be malformed and what a worker says to it.
type spoiled struct {
	reason schemas.Reason
	// spoil changes an api.request; nil: the value is left out.
	spoil func(value []byte) []byte
}

// spoils are tried alike.
var spoils = []spoiled{
	{schemas.InvalidJSON, func(v []byte) []byte { return v[:len(v)*2/3] }},
	{schemas.MissingField, renamed(`"status":`, `"code":`)},
	{schemas.MissingField, renamed(`"id":`, `"name":`)},
	{schemas.WrongType, func(v []byte) []byte {
		at := bytes.Index(v, []byte(`"status":`)) + len(`"status":`)
		return slices.Replace(v, at, at+3, []byte(`"abc"`)...)
	}},
	{schemas.OutOfRange, renamed(`"bytes":`, `"bytes":1e13,"was":`)},
	{schemas.InvalidValue, renamed(`"endpoint":"`, `"endpoint":"","was":"`)},
	{schemas.InvalidEvent, renamed(`"specversion":"1.0"`, `"specversion":"0.3"`)},
	{schemas.WrongTopic, renamed(`"`+schemas.TypeRequest+`"`, `"email.delivered"`)},
	{schemas.ReservedType, renamed(`"`+schemas.TypeRequest+`"`, `"`+schemas.TypeInternalError+`"`)},
	{schemas.EmptyRecord, nil},
}

func renamed(from, to string) func([]byte) []byte {
	return func(v []byte) []byte {
		at := bytes.Index(v, []byte(from))
		return slices.Replace(v, at, at+len(from), []byte(to)...)
	}
}

func (g *synth) spoilOf(i int64) *spoiled {
	r := g.random(i, 5)
	return &spoils[r.below(int64(len(spoils)))]
}

// spoil makes the good event b[at:] malformed.
func spoil(b []byte, at int, how *spoiled) []byte {
	if how.spoil == nil {
		return b[:at]
	}
	changed := how.spoil(bytes.Clone(b[at:]))
	return append(b[:at], changed...)
}
