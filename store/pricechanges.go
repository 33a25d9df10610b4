package store

import (
	"context"
	"fmt"
	"slices"
)

// PriceChange is what a change of the catalog touched, as far as prices depend
// on it: a customer of an account, perhaps a subscription of its, or the routes
// and prices of an API version.
type PriceChange struct {
	Account, Customer, Subscription string
	API, Version                    string
}

// priced are the nouns of the catalog that prices depend on.
type priced interface{ priceChange() PriceChange }

func (r Route) priceChange() PriceChange    { return PriceChange{API: r.API, Version: r.Version} }
func (c Customer) priceChange() PriceChange { return PriceChange{Customer: c.ID} }
func (s Subscription) priceChange() PriceChange {
	return PriceChange{Customer: s.Customer, Subscription: s.ID}
}

// keptPriceChanges is how many changes are told one by one. Who knows an older
// state of the catalog reads it anew.
const keptPriceChanges = 10_000

// notePrices is part of each audited change: one that prices depend on raises
// their generation. The update holds the row until the commit, so that no
// generation is seen before a lower one.
func notePrices(ctx context.Context, w *writeTx, a *Audit) error {
	noun, ok := a.After.(priced)
	if !ok {
		if noun, ok = a.Before.(priced); !ok {
			return nil
		}
	}
	c := noun.priceChange()
	if c.Customer != "" {
		c.Account = a.Account
	}
	var generation int64
	err := w.conn.QueryRowContext(ctx, `UPDATE price_generation SET generation = generation + 1 RETURNING generation`).Scan(&generation)
	if err != nil {
		return engineError(err)
	}
	err = w.exec(ctx, `INSERT INTO price_changes (generation, account, customer, subscription, api, version) VALUES (?, ?, ?, ?, ?, ?)`,
		generation, c.Account, c.Customer, c.Subscription, c.API, c.Version)
	if err != nil {
		return err
	}
	return w.exec(ctx, `DELETE FROM price_changes WHERE generation <= ?`, generation-keptPriceChanges)
}

// PriceChanges is what changed since a generation that somebody knows.
type PriceChanges struct {
	Generation int64 // of now; 0: there never was a route, a customer or a subscription
	List       []PriceChange
	All        bool // there are more than are listed: nothing known holds
}

// PriceChanges reads the changes behind a generation.
func (v *View) PriceChanges(since int64) (PriceChanges, error) {
	return priceChanges(v.ctx, v.tx, since)
}

// maxPriceChanges bounds the changes that are looked at one by one.
const maxPriceChanges = 1000

func priceChanges(ctx context.Context, q querier, since int64) (c PriceChanges, err error) {
	if err := q.QueryRowContext(ctx, `SELECT generation FROM price_generation`).Scan(&c.Generation); err != nil {
		return c, engineError(err)
	}
	if c.Generation == since {
		return c, nil
	}
	rows, err := q.QueryContext(ctx, `SELECT account, customer, subscription, api, version FROM price_changes
		WHERE generation > ? AND generation <= ? ORDER BY generation LIMIT ?`, since, c.Generation, maxPriceChanges)
	c.List, err = scanAll(rows, err, func(row scanner) (p PriceChange, err error) {
		return p, row.Scan(&p.Account, &p.Customer, &p.Subscription, &p.API, &p.Version)
	})
	c.All = int64(len(c.List)) != c.Generation-since
	return c, err
}

// Pricing is what a checkpoint says about the prices that its requests were
// rated with.
type Pricing struct {
	Generation int64                  // of the catalog that they were read from
	Touches    func(PriceChange) bool // whether a change may lead to other prices
}

// checkPrices finds out whether the requests would be rated otherwise by now. A
// checkpoint that had been applied, and whose answer was lost, is no longer asked
// that: its files must not be made again.
func checkPrices(ctx context.Context, w *writeTx, c *Checkpoint) (already bool, err error) {
	if c.Pricing == nil {
		return false, nil
	}
	changes, err := priceChanges(ctx, w.conn, c.Pricing.Generation)
	if err != nil {
		return false, fmt.Errorf("changes of prices: %w", err)
	}
	if !changes.All && !slices.ContainsFunc(changes.List, c.Pricing.Touches) {
		return false, nil
	}
	// The row's lock waits for a commit of it whose answer was lost and that is
	// still on its way.
	err = w.exec(ctx, `UPDATE positions SET epoch = epoch WHERE topic = ? AND partition = ?`, string(c.From.Topic), c.From.ID)
	if err != nil {
		return false, err
	}
	if already, err = wasApplied(ctx, w, c); err == nil && !already {
		err = errOutdated
	}
	return already, err
}
