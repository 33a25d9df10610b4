package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// priceCheck recomputes the amounts of requests from the prices that their rows
// name. It shares nothing with the workers' rating, which it checks: fractions
// here, decimals there.
type priceCheck struct {
	c      *dayCheck
	prices map[int32]*oraclePrice
	known  map[ratedQuantity]schemas.Decimal
}

type ratedQuantity struct {
	version  int32
	quantity schemas.Decimal
}

// maxRatedKnown bounds the amounts that are remembered.
const maxRatedKnown = 100_000

func newPriceCheck(c *dayCheck) *priceCheck {
	return &priceCheck{c: c, prices: map[int32]*oraclePrice{}, known: map[ratedQuantity]schemas.Decimal{}}
}

// columns adds those that it reads besides the fold.
func (p *priceCheck) columns(all []string) []string {
	if p.c.topic == schemas.Usage {
		all = append(all, "price_version", "currency")
	}
	return all
}

// add checks row i of a file.
func (p *priceCheck) add(ctx context.Context, f *store.ArchiveFile, rows *archive.Rows, i int) error {
	if rows.Dataset != schemas.Usage || rows.String(rows.Type[i]) != schemas.TypeRequest {
		return nil
	}
	differs := func(format string, args ...any) {
		p.c.report(Difference{Kind: DiffAmount, Account: rows.String(rows.Account[i]), File: f.Name,
			Detail: fmt.Sprintf("the request at offset %d ", rows.Offset[i]) + fmt.Sprintf(format, args...)})
	}
	is, version := archive.NullDecimal, int32(archive.NullInt32)
	if len(rows.Amount) > 0 {
		is = rows.Amount[i]
	}
	if len(rows.PriceVersion) > 0 {
		version = rows.PriceVersion[i]
	}
	if version == archive.NullInt32 {
		if is != archive.NullDecimal {
			differs("has the amount %s and no price", is)
		}
		return nil
	}
	price, err := p.price(ctx, version)
	if err != nil {
		return err
	}
	want := archive.NullDecimal
	if len(rows.Quantity) > 0 && rows.Quantity[i] != archive.NullDecimal && price != nil {
		want = p.amount(ratedQuantity{version, rows.Quantity[i]}, price)
	}
	switch {
	case price == nil:
		differs("has price version %d, which is not in the catalog", version)
	case rows.Time[i] < price.from:
		differs("has price version %d, which takes effect later", version)
	case len(rows.Currency) == 0 || rows.Currency[i] == 0:
		differs("has price version %d and no currency", version)
	case is != want:
		differs("has the amount %s, price version %d makes %s", amountText(is), version, amountText(want))
	}
	return nil
}

func amountText(d schemas.Decimal) string {
	if d == archive.NullDecimal {
		return "null"
	}
	return d.String()
}

func (p *priceCheck) amount(key ratedQuantity, price *oraclePrice) schemas.Decimal {
	amount, ok := p.known[key]
	if !ok {
		amount = price.amount(key.quantity)
		if len(p.known) >= maxRatedKnown {
			clear(p.known)
		}
		p.known[key] = amount
	}
	return amount
}

// price reads a price of the catalog; nil where it is not there.
func (p *priceCheck) price(ctx context.Context, version int32) (*oraclePrice, error) {
	if known, ok := p.prices[version]; ok {
		return known, nil
	}
	is, err := p.c.cfg.Store.PriceOf(ctx, int64(version))
	if errors.Is(err, store.ErrNotFound) {
		p.prices[version] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	price := &oraclePrice{model: is.Model, from: is.EffectiveFrom.UnixMicro()}
	if err := json.Unmarshal(is.Params, &price.params); err != nil {
		return nil, fmt.Errorf("price version %d: %w", version, err)
	}
	p.prices[version] = price
	return price, nil
}

// oraclePrice is a price by its params as they are written.
type oraclePrice struct {
	model  string
	from   int64 // µs
	params map[string]json.RawMessage
}

// get is a param's number, nil where it is not given.
func (o *oraclePrice) get(name string) *big.Rat {
	var text json.Number // a number, or a text of one
	if err := json.Unmarshal(o.params[name], &text); err != nil || text == "" {
		return nil
	}
	r, _ := new(big.Rat).SetString(text.String())
	return r
}

func (o *oraclePrice) above0(names ...string) bool {
	for _, name := range names {
		if r := o.get(name); r != nil && r.Sign() > 0 {
			return true
		}
	}
	return false
}

// amount is what an event costs; null where the price looks at the period's total.
func (o *oraclePrice) amount(quantity schemas.Decimal) schemas.Decimal {
	if o.above0("minimum_amount") || o.get("maximum_amount") != nil {
		return archive.NullDecimal
	}
	q, _ := new(big.Rat).SetString(quantity.String())
	hundred := big.NewRat(100, 1)
	percent := func() *big.Rat { return q.Quo(q.Mul(q, o.get("rate_percent")), hundred) }
	switch {
	case o.model == "per_unit" && !o.above0("free_units"):
		q.Mul(q, o.get("unit_price"))
	case o.model == "percentage" && !o.above0("free_amount", "fixed_per_event"):
		percent()
	case o.model == "percentage_per_event" && !o.above0("free_amount", "free_event_count"):
		if q.Sign() < 0 {
			return schemas.Decimal{}
		}
		percent()
		if fee := o.get("fixed_per_event"); fee != nil {
			q.Add(q, fee)
		}
		if least := o.get("min_per_event"); least != nil && q.Cmp(least) < 0 {
			q = least
		} else if most := o.get("max_per_event"); most != nil && q.Cmp(most) > 0 {
			q = most
		}
	default:
		return archive.NullDecimal
	}
	if off := o.get("discount_percent"); off != nil {
		q.Quo(q.Mul(q, off.Sub(hundred, off)), hundred)
	}
	return nineDigits(q)
}

// nineDigits rounds half even; null where there is no room.
func nineDigits(r *big.Rat) schemas.Decimal {
	scaled := new(big.Int).Mul(r.Num(), big.NewInt(1_000_000_000))
	whole, rest := new(big.Int).DivMod(scaled, r.Denom(), new(big.Int))
	if c := rest.Lsh(rest, 1).Cmp(r.Denom()); c > 0 || c == 0 && whole.Bit(0) == 1 {
		whole.Add(whole, big.NewInt(1))
	}
	units, nanos := new(big.Int).DivMod(whole, big.NewInt(1_000_000_000), new(big.Int))
	most := new(big.Int).Mul(big.NewInt(schemas.MaxValue), big.NewInt(1_000_000_000))
	if whole.CmpAbs(most) >= 0 {
		return archive.NullDecimal
	}
	return schemas.Decimal{Units: units.Int64(), Nanos: int32(nanos.Int64())}
}
