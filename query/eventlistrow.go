package query

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"tallybook/archive"
	"tallybook/query/table"
	"tallybook/schemas"
	"tallybook/store"
)

// cloudEvent is an event of the archive.
type cloudEvent struct {
	id, source, kind, subject string
	time                      int64
	data                      []byte // an object; nil: it had none
	whole                     []byte // the event as it was sent, where it could not be processed and is an event all the same
}

func (e *cloudEvent) appendJSON(b []byte) []byte {
	if e.whole != nil {
		return e.whole
	}
	b = append(b, `{"specversion":"1.0"`...)
	for _, m := range [][2]string{{"id", e.id}, {"source", e.source}, {"type", e.kind}, {"subject", e.subject}, {"time", schemas.FormatTime(e.time)}} {
		b = append(append(append(b, `,"`...), m[0]...), `":`...)
		b = table.AppendString(b, m[1])
	}
	if e.data != nil {
		b = append(append(b, `,"data":`...), e.data...)
	}
	return append(b, '}')
}

// listMeter is a declared meter, as far as it looks at rows.
type listMeter struct {
	*archive.Extractor
	meter schemas.Meter
	topic schemas.Topic
}

// listMetersOf are the meters that can fail to count an event of theirs.
func listMetersOf(declared []store.DeclaredMeter) (all []listMeter) {
	for i := range declared {
		m := declared[i].Meter
		if m.Definition != nil && m.Definition.ValueProperty != "" {
			all = append(all, listMeter{archive.NewExtractor(&m), m, m.Family.Topic})
		}
	}
	return all
}

// eventOf is row i, whose columns were all read.
func (l *latestEvents) eventOf(rows *archive.Rows, i int) listedEvent {
	at := time.UnixMicro(rows.LogTime[i]).UTC()
	e := listedEvent{IngestedAt: at, StoredAt: at, time: rows.Time[i], id: string(rows.ID.At(i))}
	e.row = cloudEvent{id: e.id, source: rows.String(rows.Source[i]), kind: rows.String(rows.Type[i]),
		subject: rows.String(rows.Account[i]), time: e.time}
	if e.row.kind == schemas.TypeInternalError {
		e.ValidationError = failed(&e.row, rows, i)
		return e
	}
	e.row.data = dataOf(rows, i)
	e.ValidationError = l.uncounted(rows, i)
	return e
}

// failed makes of an error row the event that could not be processed, where
// what was kept of it is one, and says why it could not.
func failed(e *cloudEvent, rows *archive.Rows, i int) string {
	reason, message := rows.String(rows.Reason[i]), rows.String(rows.Message[i])
	var sent struct {
		SpecVersion, ID, Source, Type string
		Subject                       *string
		Data                          json.RawMessage
	}
	if input := rows.Input.At(i); len(input) > 0 && json.Unmarshal(input, &sent) == nil && sent.SpecVersion == "1.0" &&
		sent.ID != "" && sent.Source != "" && sent.Type != "" {
		e.id, e.source, e.kind, e.data = sent.ID, sent.Source, sent.Type, sent.Data
		e.whole = append([]byte(nil), input...)
		return reason + ": " + message
	}
	b := append([]byte(`{"reason":`), table.AppendString(nil, reason)...)
	b = append(append(b, `,"message":`...), table.AppendString(nil, message)...)
	if input := rows.Input.At(i); len(input) > 0 {
		b = append(append(b, `,"input":`...), table.AppendString(nil, string(input))...)
	}
	e.data = append(b, '}')
	return reason + ": " + message
}

// dataOf puts an event's data together from its columns and what was left over.
func dataOf(rows *archive.Rows, i int) []byte {
	b := []byte{'{'}
	name := func(s string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), s...), `":`...)
	}
	for f := range schemas.NumFields {
		if col := rows.Strings[f]; len(col) > 0 && col[i] != 0 {
			name(schemas.FieldNames[f])
			b = table.AppendString(b, rows.String(col[i]))
		}
	}
	if len(rows.Status) > 0 && rows.Status[i] != archive.NullInt32 {
		name("status")
		b = strconv.AppendInt(b, int64(rows.Status[i]), 10)
	}
	if len(rows.LatencyMS) > 0 && !math.IsNaN(rows.LatencyMS[i]) {
		name("latency_ms")
		b = strconv.AppendFloat(b, rows.LatencyMS[i], 'f', -1, 64)
	}
	if len(rows.Bytes) > 0 && rows.Bytes[i] != archive.NullInt64 {
		name("bytes")
		b = strconv.AppendInt(b, rows.Bytes[i], 10)
	}
	// A quantity of 1 is what an event without one has.
	if len(rows.Quantity) > 0 && rows.Quantity[i] != archive.NullDecimal && rows.Quantity[i] != schemas.DecimalFromInt(1) {
		name("quantity")
		b = rows.Quantity[i].Append(b)
	}
	if len(rows.Dimensions) > 0 && rows.Dimensions[i] != 0 {
		name("dimensions")
		b = append(b, rows.String(rows.Dimensions[i])...)
	}
	if rest := restOf(rows, i); len(rest) > 2 {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(b, rest[1:len(rest)-1]...)
	}
	if len(b) == 1 {
		return nil
	}
	return append(b, '}')
}

// restOf is the object of what had no column; empty where there was nothing.
func restOf(rows *archive.Rows, i int) []byte {
	if len(rows.Data.Ends) == 0 {
		return nil
	}
	return rows.Data.At(i)
}

// uncounted says which meters of an event's type could not count it.
func (l *latestEvents) uncounted(rows *archive.Rows, i int) string {
	var why []string
	if rows.String(rows.Type[i]) == schemas.TypeRequest {
		why = uncountedRequest(restOf(rows, i))
	}
	for _, m := range l.meters {
		if m.topic != rows.Dataset || !m.Matches(rows, i) {
			continue
		}
		v := m.Value(rows, i)
		property := m.meter.Definition.ValueProperty
		switch {
		case v.Problem == schemas.OutOfRange:
			why = append(why, fmt.Sprintf("meter %s: %s is too large", m.meter.Slug, property))
		case v.Problem != "":
			why = append(why, fmt.Sprintf("meter %s: %s is not a number", m.meter.Slug, property))
		case !v.Has && m.meter.Aggregation != schemas.Count:
			why = append(why, fmt.Sprintf("meter %s: %s is missing", m.meter.Slug, property))
		}
	}
	return strings.Join(why, "; ")
}

// uncountedRequest: the built-in meters of requests count every number that a
// request has; one that stands among what was left over was none ("NaN").
func uncountedRequest(rest []byte) (why []string) {
	if len(rest) == 0 {
		return nil
	}
	var left map[string]json.RawMessage
	if json.Unmarshal(rest, &left) != nil {
		return nil
	}
	for _, m := range [][2]string{{"requests", "quantity"}, {"latency", "latency_ms"}, {"bytes", "bytes"}} {
		if _, ok := left[m[1]]; ok {
			why = append(why, fmt.Sprintf("meter %s: data.%s is not a number", m[0], m[1]))
		}
	}
	return why
}
