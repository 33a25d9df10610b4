package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// apply makes the signed rows of a correction: those in force are taken away
// exactly as they are, with the numbers that they were rated with, and an
// amendment's one row is added.
func (p *partition) apply(hard context.Context, c *pending, o *original) error {
	b := p.batch
	address := archive.Address{ID: []byte(c.id), Source: []byte(c.source), TargetID: []byte(c.ID),
		Offset: c.record.offset, LogTime: c.clock, Sign: -1}
	app, n := false, 0
	for _, image := range o.rows {
		var err error
		if n, err = b.takeAway(image, address); err != nil {
			return err
		}
		app = app || b.fixes.String(b.fixes.Type[n]) == schemas.TypeAppEvent
		address.Row++
	}
	o.revision, o.rows, o.retracted = c.Revision, nil, !c.amends
	if c.amends {
		image, err := p.amend(hard, c, address, n)
		if err != nil {
			return err
		}
		o.rows = []json.RawMessage{image}
		address.Row++
	}
	b.ledger.Counted++
	b.ledger.Extra += int64(address.Row) - 1
	switch {
	case app && c.amends:
		b.correctApp(&p.event, c.key, c.Revision, c.clock)
	case app:
		b.correctApp(nil, c.key, c.Revision, c.clock)
	}
	applied := store.Correction{Event: c.key, Revision: c.Revision, Source: c.source, ID: c.id,
		Reason: c.Reason, LogTime: c.clock}
	if c.amends {
		rows, err := json.Marshal(o.rows)
		if err != nil {
			return err
		}
		applied.Rows = rows
	}
	b.corrections = append(b.corrections, applied)
	return nil
}

// takeAway adds a row of sign -1 and returns its number.
func (b *batch) takeAway(image []byte, address archive.Address) (n int, err error) {
	r := &b.fixes
	if err := r.AppendImage(image, address, b.dims.intern.code); err != nil {
		return 0, err
	}
	r.Dict = b.dims.intern.strings
	n = r.Len() - 1
	ev, err := eventOf(r, n)
	if err != nil {
		return 0, err
	}
	b.days[schemas.DayOf(ev.Time)] = struct{}{}
	b.fold(r, n, ev, -1)
	return n, nil
}

// amend adds the row of sign +1 of the event in p.event, which has new data and
// takes the place of row was, and returns its image.
func (p *partition) amend(hard context.Context, c *pending, address archive.Address, was int) (json.RawMessage, error) {
	b, ev := p.batch, &p.event
	r, in := &b.fixes, b.dims.intern
	n := b.appendRow(r, ev, in.code(c.account), address.Offset, address.LogTime)
	r.Pad()
	r.Row[n], r.TargetID[n] = address.Row, in.code(address.TargetID)
	r.Dict = in.strings
	if err := p.rateAmended(hard, n, was); err != nil {
		return nil, err
	}
	r.Dict = in.strings
	rated, err := eventOf(r, n)
	if err != nil {
		return nil, err
	}
	b.fold(r, n, rated, 1)
	return r.Image(n), nil
}

// eventOf is the event that an archive row was made of, as far as folding looks
// at it. The numbers are the row's, not those of a new reading.
func eventOf(r *archive.Rows, n int) (*schemas.Event, error) {
	ev := &schemas.Event{Type: []byte(r.String(r.Type[n])), Time: r.Time[n], HasTime: true}
	for f := range schemas.NumFields {
		if col := r.Strings[f]; n < len(col) && col[n] != 0 {
			ev.Strings[f] = []byte(r.String(col[n]))
			ev.Present |= schemas.Of(f)
		}
	}
	if n < len(r.Data.Ends) && len(r.Data.At(n)) > 0 {
		ev.Rest = bytes.Clone(r.Data.At(n))
	}
	if n < len(r.Dimensions) && r.Dimensions[n] != 0 {
		ev.Dimensions = []byte(r.String(r.Dimensions[n]))
		var dims map[string]string
		if err := json.Unmarshal(ev.Dimensions, &dims); err != nil {
			return nil, fmt.Errorf("dimensions: %w", err)
		}
		if region, ok := dims[schemas.FieldNames[schemas.Region]]; ok {
			ev.Strings[schemas.Region] = []byte(region)
			ev.Present |= schemas.Of(schemas.Region)
		}
	}
	if string(ev.Type) == schemas.TypeRatedUsage {
		if why := ev.ReadRated(ev.Rest); why != nil {
			return nil, why
		}
		ev.Time = r.Time[n]
	}
	return ev, numbersOf(ev, r, n)
}

// numbersOf fills in what the columns of numbers say.
func numbersOf(ev *schemas.Event, r *archive.Rows, n int) (err error) {
	if n < len(r.Status) && r.Status[n] != archive.NullInt32 {
		ev.Status, ev.HasStatus = r.Status[n], true
	}
	if n < len(r.LatencyMS) && r.LatencyMS[n] == r.LatencyMS[n] { // no NaN, which is null
		ev.LatencyMS, ev.HasLatency = r.LatencyMS[n], true
		if ev.Latency, err = schemas.DecimalOf(ev.LatencyMS); err != nil {
			return fmt.Errorf("latency_ms: %w", err)
		}
	}
	if n < len(r.Bytes) && r.Bytes[n] != archive.NullInt64 {
		ev.Bytes, ev.HasBytes = r.Bytes[n], true
	}
	ev.Quantity, ev.HasQuantity = schemas.Decimal{}, false
	if n < len(r.Quantity) && r.Quantity[n] != archive.NullDecimal {
		ev.Quantity, ev.HasQuantity = r.Quantity[n], true
	}
	ev.Amount, ev.HasAmount = schemas.Decimal{}, false
	if n < len(r.Amount) && r.Amount[n] != archive.NullDecimal {
		ev.Amount, ev.HasAmount = r.Amount[n], true
	}
	return nil
}
