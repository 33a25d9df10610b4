package worker

import (
	"cmp"
	"context"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// wayKey is what a request says about who pays and for what, by the interner's
// codes, as its producer wrote it.
type wayKey struct{ account, customer, subscription, api, version, endpoint archive.Code }

// way is how requests of a key are rated.
type way struct {
	key                wayKey
	customer, currency archive.Code
	held               []heldRoute
	read               bool
}

// heldRoute is the route that the key names within a subscription, from and to
// when it holds.
type heldRoute struct {
	subscription archive.Code
	from, to     int64       // µs
	prices       [2][]*price // of the endpoint, and of every endpoint
}

// find is the subscription that holds at a time, and the price that does; nil
// where there is none.
func (w *way) find(at int64) (*heldRoute, *price) {
	for i := range w.held {
		h := &w.held[i]
		if at < h.from || at >= h.to {
			continue
		}
		for _, list := range h.prices {
			for j := len(list) - 1; j >= 0; j-- {
				if list[j].from <= at {
					return h, list[j]
				}
			}
		}
		return h, nil
	}
	return nil, nil
}

// rates are how a batch's requests are rated. They are rated when the batch
// closes, from its columns, so that it can be done again where the catalog has
// changed before the checkpoint.
type rates struct {
	generation int64 // of the catalog that they are rated with
	rated      bool
	ways       []way
	index      map[wayKey]int32
	last       int32
	ofCell     []int32 // by cell, the way of a row of it; -1: none yet
	of         []int32 // by row, its way; -1: no request
	cells      []int32 // by row, its cell among those of requests
	depends    map[dependency]bool
}

func (r *rates) reset() {
	r.generation, r.rated, r.ways, r.last = 0, false, r.ways[:0], 0
	clear(r.index)
	clear(r.depends)
	r.of, r.ofCell, r.cells = r.of[:0], r.ofCell[:0], r.cells[:0]
}

// wayOf is the number of a key's way.
func (r *rates) wayOf(key wayKey) int32 {
	if int(r.last) < len(r.ways) && r.ways[r.last].key == key {
		return r.last
	}
	n, ok := r.index[key]
	if !ok {
		n = int32(len(r.ways))
		r.ways = append(r.ways, way{key: key})
		if r.index == nil {
			r.index, r.depends = map[wayKey]int32{}, map[dependency]bool{}
		}
		r.index[key] = n
	}
	r.last = n
	return n
}

// collect finds the ways of the rows, before anything is filled in.
func (r *rates) collect(rows *archive.Rows) {
	requests := requestFilter{rows: rows}
	for n := len(r.of); n < rows.Len(); n++ {
		if !requests.has(n) {
			r.of = append(r.of, -1)
			continue
		}
		r.of = append(r.of, r.wayOfRow(rows, n))
	}
}

// wayOfRow mostly knows the way from another row of the same cell, which has the
// same account and route.
func (r *rates) wayOfRow(rows *archive.Rows, n int) int32 {
	cell := int(r.cells[n])
	for len(r.ofCell) <= cell {
		r.ofCell = append(r.ofCell, -1)
	}
	if i := r.ofCell[cell]; i >= 0 {
		k := &r.ways[i].key
		if k.customer == codeAt(rows, schemas.Customer, n) && k.subscription == codeAt(rows, schemas.Subscription, n) {
			return i
		}
	}
	i := r.wayOf(wayKeyOf(rows, n))
	r.ofCell[cell] = i
	return i
}

func wayKeyOf(rows *archive.Rows, n int) wayKey {
	return wayKey{rows.Account[n], codeAt(rows, schemas.Customer, n), codeAt(rows, schemas.Subscription, n),
		codeAt(rows, schemas.API, n), codeAt(rows, schemas.Version, n), codeAt(rows, schemas.Endpoint, n)}
}

// readWays reads the prices of the ways that are not read.
func (b *batch) readWays(r *priceReader) error {
	text := func(c archive.Code) string {
		if c == 0 {
			return ""
		}
		return b.dims.intern.strings[c]
	}
	payerOf := func(w *way) store.Payer {
		return store.Payer{Account: text(w.key.account), Customer: text(w.key.customer), Subscription: text(w.key.subscription)}
	}
	ways := b.rates.ways
	var payers []store.Payer
	for i := range ways {
		if !ways[i].read {
			payers = append(payers, payerOf(&ways[i]))
		}
	}
	slices.SortFunc(payers, func(a, b store.Payer) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Customer, b.Customer), cmp.Compare(a.Subscription, b.Subscription))
	})
	if err := r.customers(slices.Compact(payers)); err != nil {
		return err
	}
	for i := range ways {
		w := &ways[i]
		if w.read {
			continue
		}
		payer := payerOf(w)
		customer := r.payers[payer]
		b.rates.depends[dependencyOf(payer, customer)] = true
		w.read, w.customer, w.currency, w.held = true, 0, 0, nil
		if customer == nil {
			continue
		}
		if err := b.hold(w, customer, apiVersion{text(w.key.api), text(w.key.version)}, r); err != nil {
			return err
		}
	}
	return nil
}

// hold notes the customer's subscriptions of a way's route: those there are, or
// the one that is named.
func (b *batch) hold(w *way, c *store.PayerCustomer, a apiVersion, r *priceReader) error {
	in := b.dims.intern
	for i := range c.Subscriptions {
		s := &c.Subscriptions[i]
		if s.API != a.api || s.Version != a.version || w.key.subscription != 0 && s.ID != in.strings[w.key.subscription] {
			continue
		}
		b.rates.depends[dependency{onAPI, a.api, a.version}] = true
		api, err := r.api(a)
		if err != nil {
			return err
		}
		endpoint := ""
		if w.key.endpoint != 0 {
			endpoint = in.strings[w.key.endpoint]
		}
		own, isRoute := api[endpoint]
		every, isEvery := api[""]
		if !isRoute && !isEvery {
			continue
		}
		h := heldRoute{subscription: in.code([]byte(s.ID)), from: s.StartsAt.UnixMicro(), to: forever,
			prices: [2][]*price{own[s.PricingModel], every[s.PricingModel]}}
		if !s.EndsAt.IsZero() {
			h.to = s.EndsAt.UnixMicro()
		}
		w.customer, w.currency = in.code([]byte(c.ID)), in.code([]byte(c.Currency))
		w.held = append(w.held, h)
	}
	return nil
}

const forever = 1<<63 - 1

// pricing is what the checkpoint says about it.
func (r *rates) pricing() *store.Pricing {
	return &store.Pricing{Generation: r.generation, Touches: func(c store.PriceChange) bool {
		return r.generation == 0 || slices.ContainsFunc(touchedBy(c), func(d dependency) bool { return r.depends[d] })
	}}
}

// rate rates the batch's requests with the present catalog: those that have a
// price get its version, an amount where it has one per event, and the customer
// and subscription that pay, where they do not name them. Rated again, they are
// as if they had been rated so at once.
func (p *partition) rate(hard context.Context, b *batch) error {
	if b.topic != schemas.Usage {
		return nil
	}
	for i := range b.rates.ways {
		b.rates.ways[i].read = false
	}
	clear(b.rates.depends)
	b.rows.Dict = b.dims.intern.strings
	if err := p.readPrices(hard, b, true); err != nil {
		return err
	}
	err := b.stampAll()
	b.rows.Dict = b.dims.intern.strings
	return err
}

// readPrices reads what the batch's ways need. It tries until hard ends: a store
// that is away is waited for. collect: the rows' ways are looked for first.
func (p *partition) readPrices(hard context.Context, b *batch, collect bool) error {
	return p.await(hard, "prices of requests", func() error {
		return p.cfg.prices.read(hard, p.cfg.Store, func(r *priceReader) error {
			if collect {
				b.rates.generation = r.generation
			}
			if r.generation == 0 { // there is no catalog
				return nil
			}
			if collect {
				b.rates.collect(&b.rows)
			}
			return b.readWays(r)
		})
	})
}

// await tries until it is done or hard ends.
func (p *partition) await(hard context.Context, what string, do func() error) error {
	wait := newBackoff(p.cfg.RetryMin, p.cfg.RetryMax)
	for {
		err := do()
		if err == nil {
			if wait.tries > 0 {
				p.setState("")
			}
			return nil
		}
		if hard.Err() != nil {
			return hard.Err()
		}
		delay := wait.next()
		p.cfg.Log.Error("a batch waits", "for", what, "topic", p.Topic, "partition", p.ID, "error", err, "retry_in", delay)
		p.setState(what + ": " + err.Error())
		sleep(hard, delay)
	}
}

// rateAgain writes a batch once more that the catalog has overtaken. One with
// corrections is read again as a whole: they hold what they took from its rows.
func (p *partition) rateAgain(hard context.Context, job *writeJob) error {
	if len(job.batch.corrections) > 0 {
		return errRefused
	}
	if err := p.rate(hard, job.batch); err != nil {
		return err
	}
	p.writing.start(job)
	p.inFlight = true
	return nil
}
