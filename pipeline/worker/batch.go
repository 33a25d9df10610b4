package worker

import (
	"bytes"
	"math"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// familyOf is the family that an accepted event of a topic folds into, or nil.
func familyOf(topic schemas.Topic, eventType []byte) *schemas.Family {
	switch topic {
	case schemas.Usage:
		switch string(eventType) {
		case schemas.TypeRequest:
			return schemas.FamilyRequest
		case schemas.TypeRatedUsage:
			return schemas.FamilyRated
		}
	case schemas.Errors:
		if string(eventType) == schemas.TypeAPIError {
			return schemas.FamilyError
		}
	case schemas.Emails:
		if bytes.HasPrefix(eventType, []byte(schemas.EmailPrefix)) {
			return schemas.FamilyEmail
		}
	}
	return nil
}

// topicFamily is the family that a topic's events fold into, but for rated.usage.
var topicFamily = map[schemas.Topic]*schemas.Family{
	schemas.Usage:  schemas.FamilyRequest,
	schemas.Errors: schemas.FamilyError,
	schemas.Emails: schemas.FamilyEmail,
}

// batch is what was folded since the last checkpoint: archive rows, rollup
// cells, error rows and the ledger. A partition has two of them in turn, so
// that one is written while the other fills.
type batch struct {
	topic  schemas.Topic
	dims   dimReader
	rows   archive.Rows
	cells  *cells
	rated  *cells // of rated.usage; nil before the first of them
	errors *errorLog
	ledger store.Ledger

	meters    meterFolds
	rates     rates
	latencies *latencies // usage only
	apps      []store.AppEvent

	pending     []pending // corrections, until the batch closes
	corrections []store.Correction
	fixes       archive.Rows // the signed rows of corrections, files of their own

	columns []schemas.Field // of the topic's archive

	away parcels // records of accounts that another partition has

	bytes   int64 // of record values
	days    map[schemas.Day]struct{}
	lastDay schemas.Day
	oldest  int64 // least record timestamp, µs
}

func newBatch(tp schemas.Partition, errors *errorLog) *batch {
	b := &batch{
		topic: tp.Topic,
		rows:  archive.Rows{Dataset: tp.Topic, Partition: tp.ID},
		fixes: archive.Rows{Dataset: tp.Topic, Partition: tp.ID},
		cells: newCells(topicFamily[tp.Topic]), errors: errors,
		days: map[schemas.Day]struct{}{}, columns: stringColumns(tp.Topic),
	}
	if tp.Topic == schemas.Usage {
		b.latencies = newLatencies()
	}
	return b
}

func stringColumns(topic schemas.Topic) (columns []schemas.Field) {
	for f := range schemas.NumFields {
		if f != schemas.Region && schemas.TopicFields[topic].Has(f) { // region is a dimension without a column
			columns = append(columns, f)
		}
	}
	return columns
}

// start empties the batch for records from offset next on.
func (b *batch) start(next int64, in *interner) {
	resetRows(&b.rows)
	b.pending, b.corrections, b.fixes = nil, nil, archive.Rows{Dataset: b.topic, Partition: b.fixes.Partition}
	b.cells.reset()
	if b.rated != nil {
		b.rated.reset()
	}
	if b.latencies != nil {
		b.latencies.reset()
	}
	b.rates.reset()
	b.apps, b.away = nil, parcels{}
	b.errors.reset()
	b.ledger = store.Ledger{First: next, Next: next}
	b.bytes, b.oldest = 0, math.MaxInt64
	clear(b.days)
	b.lastDay = math.MinInt32
	if b.dims.intern != in {
		b.dims = dimReader{intern: in}
	}
}

func (b *batch) empty() bool { return b.ledger.First == b.ledger.Next }

// count adds an accepted event: one archive row and at most one rollup cell.
func (b *batch) count(ev *schemas.Event, account []byte, offset, clock int64) {
	b.ledger.Counted++
	if day := schemas.DayOf(ev.Time); day != b.lastDay {
		b.lastDay = day
		b.days[day] = struct{}{}
	}
	accountCode := b.dims.intern.code(account)
	row := b.appendRow(&b.rows, ev, accountCode, offset, clock)
	if len(b.rows.Row) > 0 { // a twin is among the rows
		b.rows.Row = append(b.rows.Row, 0)
	}
	b.fold(&b.rows, row, ev, 1)
	if b.topic == schemas.Usage {
		b.rates.cells = append(b.rates.cells, int32(b.cells.hit))
	}
	if ev.Twin != "" {
		b.countTwin(ev, accountCode, offset, clock)
	}
}

// fold adds the numbers of row n, which ev holds decoded, to the rollups; a row
// of sign -1 takes away what its event had added. Everything that an archive
// row counts for goes through here, so that the archive's signed sum and the
// rollups agree; meters that read what rating fills in wait for it (foldLate).
func (b *batch) fold(rows *archive.Rows, n int, ev *schemas.Event, sign int64) {
	family := familyOf(b.topic, ev.Type)
	if len(b.meters.all) > 0 {
		unrated := rows == &b.rows && family == schemas.FamilyRequest
		for _, m := range b.meters.of(rows.Type[n], ev.Type) {
			if !m.late || !unrated {
				b.meters.fold(m, cellKey{account: rows.Account[n], hour: schemas.HourOf(ev.Time)}, ev, sign)
			}
		}
	}
	if family != nil {
		key := cellKey{account: rows.Account[n], hour: schemas.HourOf(ev.Time)}
		cells := b.cells
		if family == schemas.FamilyRated {
			cells = b.setRated(&key, ev)
		} else {
			b.setDims(&key, ev, rows, n)
		}
		if sign > 0 {
			addEvent(cells.at(&key), ev)
		} else {
			cells.retract(&key, ev)
		}
		if family == schemas.FamilyRequest && ev.HasLatency {
			b.latencies.add(cells.hit, &key, ev.LatencyMS, sign)
		}
	}
}

// setDims fills the key in the order of the family's dimensions. Codes of
// columns that appendRow has just written are not looked up again.
func (b *batch) setDims(key *cellKey, ev *schemas.Event, rows *archive.Rows, row int) {
	at := func(f schemas.Field) archive.Code {
		if col := rows.Strings[f]; row < len(col) {
			return col[row]
		}
		return 0
	}
	switch b.topic {
	case schemas.Usage:
		key.dims = [maxDims]archive.Code{at(schemas.API), at(schemas.Version), at(schemas.Endpoint),
			at(schemas.Method), b.dims.statusCode(ev), b.dims.field(ev, schemas.Region)}
	case schemas.Errors:
		key.dims = [maxDims]archive.Code{at(schemas.API), at(schemas.Version), at(schemas.Endpoint),
			b.dims.statusCode(ev), at(schemas.ErrorCode)}
	case schemas.Emails:
		event := at(schemas.MailEvent)
		if event == 0 {
			event = b.dims.intern.code(ev.Type[len(schemas.EmailPrefix):])
		}
		key.dims = [maxDims]archive.Code{at(schemas.Domain), event, at(schemas.Direction),
			at(schemas.Transport), at(schemas.Severity), at(schemas.MailReason)}
	}
}

// appendRow writes one archive row and returns its number.
func (b *batch) appendRow(r *archive.Rows, ev *schemas.Event, account archive.Code, offset, clock int64) int {
	in := b.dims.intern
	n := len(r.Time)
	r.ID.Append(ev.ID)
	r.Source = append(r.Source, b.dims.source.of(in, ev.Source))
	r.Account = append(r.Account, account)
	r.Type = append(r.Type, b.dims.kind.of(in, ev.Type))
	r.Time = append(r.Time, ev.Time)
	r.LogTime = append(r.LogTime, clock)
	r.Offset = append(r.Offset, offset)
	for _, f := range b.columns {
		appendCode(&r.Strings[f], n, b.dims.field(ev, f))
	}
	if len(ev.Rest) > 0 || len(r.Data.Ends) > 0 {
		for len(r.Data.Ends) < n { // rows before the first with leftover data
			r.Data.Append(nil)
		}
		r.Data.Append(ev.Rest)
	}
	if b.topic != schemas.Emails {
		r.Status = append(r.Status, statusValue(ev))
		r.LatencyMS = append(r.LatencyMS, latencyValue(ev))
	}
	if b.topic == schemas.Usage {
		r.Quantity = append(r.Quantity, quantityValue(ev))
		r.Bytes = append(r.Bytes, bytesValue(ev))
		appendAmount(&r.Amount, n, ev)
		var dimensions archive.Code
		if len(ev.Dimensions) > 0 {
			dimensions = in.code(ev.Dimensions)
		}
		appendCode(&r.Dimensions, n, dimensions)
	}
	return n
}

// appendCode adds row n's code to a column that is nil until its first value.
func appendCode(col *[]archive.Code, n int, c archive.Code) {
	if c == 0 && len(*col) == 0 {
		return
	}
	for len(*col) < n {
		*col = append(*col, 0)
	}
	*col = append(*col, c)
}

func statusValue(ev *schemas.Event) int32 {
	if ev.HasStatus {
		return ev.Status
	}
	return archive.NullInt32
}

func latencyValue(ev *schemas.Event) float64 {
	if ev.HasLatency {
		return ev.LatencyMS
	}
	return math.NaN()
}

func quantityValue(ev *schemas.Event) schemas.Decimal {
	if ev.HasQuantity {
		return ev.Quantity
	}
	return archive.NullDecimal
}

func bytesValue(ev *schemas.Event) int64 {
	if ev.HasBytes {
		return ev.Bytes
	}
	return archive.NullInt64
}

// resetRows empties the columns and keeps their memory; a column that may be
// nil for "no value in any row" has length 0 then, which means the same.
func resetRows(r *archive.Rows) {
	r.Dict = nil
	r.ID = archive.Texts{Data: r.ID.Data[:0], Ends: r.ID.Ends[:0]}
	r.Data = archive.Texts{Data: r.Data.Data[:0], Ends: r.Data.Ends[:0]}
	r.Source, r.Account, r.Type = r.Source[:0], r.Account[:0], r.Type[:0]
	r.Time, r.LogTime, r.Offset = r.Time[:0], r.LogTime[:0], r.Offset[:0]
	for f := range r.Strings {
		r.Strings[f] = r.Strings[f][:0]
	}
	r.Status, r.LatencyMS = r.Status[:0], r.LatencyMS[:0]
	r.Quantity, r.Bytes, r.Dimensions = r.Quantity[:0], r.Bytes[:0], r.Dimensions[:0]
	r.PriceVersion, r.Amount, r.Currency, r.Row = r.PriceVersion[:0], r.Amount[:0], r.Currency[:0], r.Row[:0]
}
