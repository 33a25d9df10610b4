package worker

import (
	"tallybook/archive"
	"tallybook/schemas"
)

// setRated names the series of a rated.usage event and is the cells that it
// folds into. Rules.Validate has read the event's Rated.
func (b *batch) setRated(key *cellKey, ev *schemas.Event) *cells {
	if b.rated == nil {
		b.rated = newCells(schemas.FamilyRated)
	}
	in := b.dims.intern
	text := func(s []byte) archive.Code {
		if len(s) == 0 {
			return 0
		}
		return in.code(s)
	}
	r := ev.Rated
	key.dims = [maxDims]archive.Code{text(r.Metric), text(r.Unit), text(r.Groupby), text(r.Metadata)}
	return b.rated
}

// appendAmount adds row n's money to the column, which is nil until a row has some.
func appendAmount(col *[]schemas.Decimal, n int, ev *schemas.Event) {
	if !ev.HasAmount && len(*col) == 0 {
		return
	}
	for len(*col) < n {
		*col = append(*col, archive.NullDecimal)
	}
	amount := archive.NullDecimal
	if ev.HasAmount {
		amount = ev.Amount
	}
	*col = append(*col, amount)
}

// countTwin adds the second event that a record stands for: a row of its own,
// number 1 of the record, which is counted once in the ledger.
func (b *batch) countTwin(ev *schemas.Event, account archive.Code, offset, clock int64) {
	twin := *ev
	twin.Twin = ""
	twin.Type = []byte(schemas.EmailPrefix + ev.Twin)
	twin.Strings[schemas.MailEvent] = []byte(ev.Twin)
	n := b.appendRow(&b.rows, &twin, account, offset, clock)
	numberRow(&b.rows, n, 1)
	b.ledger.Extra++
	b.fold(&b.rows, n, &twin, 1)
}

// numberRow notes that row n, the newest, is not its record's first. The column
// is empty while every row is.
func numberRow(r *archive.Rows, n int, number int32) {
	for len(r.Row) <= n {
		r.Row = append(r.Row, 0)
	}
	r.Row[n] = number
}
