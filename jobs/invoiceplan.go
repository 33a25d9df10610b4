package jobs

import (
	"slices"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

// firstMonth is the month in which a customer's first subscription began.
func firstMonth(b *store.Billing, zone *time.Location) (m schemas.Month, ok bool) {
	for i := range b.Subscriptions {
		if at := schemas.MonthOf(b.Subscriptions[i].StartsAt.In(zone)); !ok || at.Before(m) {
			m, ok = at, true
		}
	}
	return m, ok
}

// nextPeriod is the period of a month: it begins where the one of the month
// before ended, so that no instant is billed twice or left out when the
// customer's zone has changed in between.
func nextPeriod(b *store.Billing, m schemas.Month, zone *time.Location) schemas.InvoicePeriod {
	p := schemas.InvoicePeriod{Month: m.String(), Start: m.Start(zone).UTC(), End: m.Next().Start(zone).UTC(), Timezone: b.Customer.Timezone,
		Account: b.Customer.Account, Customer: b.Customer.ID, Unnamed: b.First,
		Minimum: b.Customer.Minimum, Taxes: b.Customer.Taxes}
	if b.Last == nil {
		return p
	}
	last := b.Last.Periods[0]
	if at, err := schemas.ParseMonth(last.Month); p.Start.Before(last.End) || err == nil && at.Next() == m {
		p.Start = last.End
	}
	return p
}

// pricesOf are the prices of a customer's subscriptions within a period, each
// for as long as it held: by subscription, endpoint and time. routes are those
// of an API version.
func pricesOf(p *schemas.InvoicePeriod, subs []store.Subscription, routes func(api, version string) ([]store.Route, error)) ([]schemas.InvoicePrice, error) {
	prices := []schemas.InvoicePrice{}
	for i := range subs {
		sub := &subs[i]
		start, end := latest(p.Start, sub.StartsAt), p.End
		if !sub.EndsAt.IsZero() && sub.EndsAt.Before(end) {
			end = sub.EndsAt
		}
		if !start.Before(end) {
			continue
		}
		list, err := routes(sub.API, sub.Version)
		if err != nil {
			return nil, err
		}
		for j := range list {
			prices = appendPrices(prices, &list[j], sub, start, end)
		}
	}
	return prices, nil
}

// appendPrices adds a route's prices of the subscription's pricing model that
// held within [start, end).
func appendPrices(to []schemas.InvoicePrice, r *store.Route, sub *store.Subscription, start, end time.Time) []schemas.InvoicePrice {
	var own []store.Price
	for _, p := range r.Prices {
		if p.PricingModel == sub.PricingModel {
			own = append(own, p)
		}
	}
	slices.SortFunc(own, func(a, b store.Price) int { return a.EffectiveFrom.Compare(b.EffectiveFrom) })
	for i, p := range own {
		from, until := latest(start, p.EffectiveFrom), end
		if i+1 < len(own) && own[i+1].EffectiveFrom.Before(end) {
			until = own[i+1].EffectiveFrom
		}
		if from.Before(until) {
			to = append(to, schemas.InvoicePrice{Subscription: sub.ID, API: r.API, Version: r.Version, Endpoint: r.Endpoint,
				PricingModel: p.PricingModel, PriceVersion: p.Version, Model: p.Model, Params: p.Params, Start: from.UTC(), End: until.UTC()})
		}
	}
	return to
}

func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// cutOf are the positions of the log that holds requests.
func cutOf(positions []store.Position) []schemas.CutPosition {
	cut := []schemas.CutPosition{}
	for _, p := range positions {
		cut = append(cut, schemas.CutPosition{Topic: p.Topic, Partition: p.ID, Next: p.Next})
	}
	return cut
}
