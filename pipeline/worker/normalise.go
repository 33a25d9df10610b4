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
