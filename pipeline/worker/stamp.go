package worker

import (
	"context"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
)

// stampAll writes into the columns what each request costs, and adds it to the
// rollups. Meters that read what is filled in here count the rows now.
func (b *batch) stampAll() error {
	late := b.meters.anyLate()
	r := &b.rates
	again := r.rated
	r.rated = true
	b.rows.Dict = b.dims.intern.strings
	holds := slices.ContainsFunc(r.ways, func(w way) bool { return len(w.held) > 0 })
	if !holds && !again && !late {
		return nil
	}
	requests := requestFilter{rows: &b.rows}
	for n := range b.rows.Len() {
		switch {
		case n < len(r.of) && r.of[n] >= 0:
			if err := b.stampRow(n, late, again); err != nil {
				return err
			}
		case late && !again && requests.has(n): // there is no catalog
			if err := b.foldLate(n, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// stampRow rates row n of the batch.
func (b *batch) stampRow(n int, late, again bool) error {
	w, rows := &b.rates.ways[b.rates.of[n]], &b.rows
	before := amountAt(rows, n)
	held, p := w.find(rows.Time[n])
	customer, subscription := w.key.customer, w.key.subscription
	if held != nil {
		customer, subscription = w.customer, held.subscription
	}
	moves := customer != codeAt(rows, schemas.Customer, n) || subscription != codeAt(rows, schemas.Subscription, n)
	if late && again && moves {
		if err := b.foldLate(n, -1); err != nil {
			return err
		}
	}
	setCode(&rows.Strings[schemas.Customer], rows.Len(), n, customer)
	setCode(&rows.Strings[schemas.Subscription], rows.Len(), n, subscription)
	setPrice(rows, n, p, w.currency)
	if after := amountAt(rows, n); after != before {
		m := &b.cells.sums[b.rates.cells[n]]
		m.Amount = plus(m.Amount, plus(after, before.Neg()))
	}
	if late && (moves || !again) {
		return b.foldLate(n, 1)
	}
	return nil
}

// setPrice stamps row n with a price, or takes its stamp away.
func setPrice(rows *archive.Rows, n int, p *price, currency archive.Code) {
	version, amount := int32(archive.NullInt32), archive.NullDecimal
	if p == nil {
		currency = 0
	} else {
		version = p.version
		if n < len(rows.Quantity) && rows.Quantity[n] != archive.NullDecimal {
			if d, ok := p.amount(rows.Quantity[n]); ok {
				amount = d
			}
		}
	}
	set(&rows.PriceVersion, rows.Len(), n, version, archive.NullInt32)
	set(&rows.Amount, rows.Len(), n, amount, archive.NullDecimal)
	setCode(&rows.Currency, rows.Len(), n, currency)
}

// set writes row n of a column of so many rows, which is empty until its first
// value that is not null.
func set[T comparable](col *[]T, rows, n int, value, null T) {
	if len(*col) == 0 && value == null {
		return
	}
	for len(*col) < rows {
		*col = append(*col, null)
	}
	(*col)[n] = value
}

func setCode(col *[]archive.Code, rows, n int, c archive.Code) { set(col, rows, n, c, 0) }

func codeAt(rows *archive.Rows, f schemas.Field, n int) archive.Code {
	if col := rows.Strings[f]; n < len(col) {
		return col[n]
	}
	return 0
}

// amountAt is row n's money, 0 where it has none.
func amountAt(rows *archive.Rows, n int) schemas.Decimal {
	if n < len(rows.Amount) && rows.Amount[n] != archive.NullDecimal {
		return rows.Amount[n]
	}
	return schemas.Decimal{}
}

// foldLate folds row n with the meters that read what rating fills in.
func (b *batch) foldLate(n int, sign int64) error {
	ev, err := eventOf(&b.rows, n)
	if err != nil {
		return &stopError{"a row of the batch cannot be read again: " + err.Error()}
	}
	key := cellKey{account: b.rows.Account[n], hour: schemas.HourOf(ev.Time)}
	for _, m := range b.meters.of(b.rows.Type[n], ev.Type) {
		if m.late {
			b.meters.fold(m, key, ev, sign)
		}
	}
	return nil
}

// rateAmended rates row n of the corrections, which takes the place of row was:
// with the same route and payer it keeps that one's price, whenever the
// correction comes. Who pays need not be named again.
func (p *partition) rateAmended(hard context.Context, n, was int) error {
	b := p.batch
	r := &b.fixes
	if r.String(r.Type[n]) != schemas.TypeRequest {
		return nil
	}
	key, before := wayKeyOf(r, n), wayKeyOf(r, was)
	same := key
	if (key.customer == 0 || key.customer == before.customer) && (key.subscription == 0 || key.subscription == before.subscription) {
		same.customer, same.subscription = before.customer, before.subscription
	}
	if same != before {
		return p.rateNew(hard, n, key)
	}
	r.Strings[schemas.Customer][n], r.Strings[schemas.Subscription][n] = same.customer, same.subscription
	if r.PriceVersion[was] == archive.NullInt32 {
		return nil
	}
	return p.await(hard, "the price of an amended event", func() error {
		price, err := p.cfg.prices.priceOf(hard, p.cfg.Store, r.PriceVersion[was])
		if err == nil {
			setPrice(r, n, price, r.Currency[was])
		}
		return err
	})
}

// rateNew rates row n of the corrections as an event of its time that is new.
func (p *partition) rateNew(hard context.Context, n int, key wayKey) error {
	b := p.batch
	i := b.rates.wayOf(key)
	if err := p.readPrices(hard, b, false); err != nil {
		return err
	}
	w, r := &b.rates.ways[i], &b.fixes
	held, price := w.find(r.Time[n])
	if held != nil {
		r.Strings[schemas.Customer][n], r.Strings[schemas.Subscription][n] = w.customer, held.subscription
	}
	setPrice(r, n, price, w.currency)
	return nil
}
