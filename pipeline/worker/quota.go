package worker

import (
	"slices"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// maxUnsubscribedRoutes is how many routes of requests without a subscription a
// batch tells apart; further ones can only be routes that nobody registered.
const maxUnsubscribedRoutes = 256

// subscribedUse is what a batch's requests say about quotas, read from its
// columns when it is staged, beside the folding of the next. nil: no request
// names a subscription or a customer.
func subscribedUse(sets ...*archive.Rows) *store.SubscribedUse {
	use := &store.SubscribedUse{}
	var subscriptions codeSet
	var unsubscribed map[store.UnsubscribedUse]int64
	for _, rows := range sets {
		subs, customers := rows.Strings[schemas.Subscription], rows.Strings[schemas.Customer]
		if len(subs) == 0 && len(customers) == 0 {
			continue
		}
		requests := requestFilter{rows: rows}
		for n := range rows.Len() {
			switch {
			case n < len(subs) && subs[n] != 0:
				if requests.has(n) {
					subscriptions.add(subs[n])
				}
			case n < len(customers) && customers[n] != 0 && signOf(rows, n) > 0 && requests.has(n):
				if unsubscribed == nil {
					unsubscribed = map[store.UnsubscribedUse]int64{}
				}
				unsubscribed[unsubscribedOf(rows, n, len(unsubscribed) < maxUnsubscribedRoutes)]++
			}
		}
	}
	if len(subscriptions.list) == 0 && len(unsubscribed) == 0 {
		return nil
	}
	for u, n := range unsubscribed {
		u.Requests = n
		use.Unsubscribed = append(use.Unsubscribed, u)
	}
	dict := sets[0].Dict // one interner's
	for _, code := range subscriptions.list {
		use.Subscriptions = append(use.Subscriptions, dict[code])
	}
	use.Uses = func(quotas map[string]*schemas.QuotaMeter) []store.QuotaUse {
		counters := make([]*quotaCounter, len(subscriptions.seen)) // by code
		for _, code := range subscriptions.list {
			if q := quotas[dict[code]]; q != nil {
				counters[code] = &quotaCounter{quota: q}
			}
		}
		for _, rows := range sets {
			countRequests(rows, counters)
		}
		var uses []store.QuotaUse
		for _, c := range counters {
			if c != nil {
				uses = append(uses, c.uses...)
			}
		}
		return uses
	}
	return use
}

func unsubscribedOf(rows *archive.Rows, n int, apart bool) store.UnsubscribedUse {
	u := store.UnsubscribedUse{Account: rows.String(rows.Account[n]), Customer: textAt(rows, schemas.Customer, n)}
	if apart {
		u.API, u.Version, u.Endpoint = textAt(rows, schemas.API, n), textAt(rows, schemas.Version, n), textAt(rows, schemas.Endpoint, n)
	}
	return u
}

func textAt(rows *archive.Rows, f schemas.Field, n int) string {
	if col := rows.Strings[f]; n < len(col) {
		return rows.String(col[n])
	}
	return ""
}

func signOf(rows *archive.Rows, n int) int8 {
	if n < len(rows.Sign) {
		return rows.Sign[n]
	}
	return 1
}

// requestFilter knows the rows that are api.requests.
type requestFilter struct {
	rows *archive.Rows
	last archive.Code
	is   bool
}

func (f *requestFilter) has(n int) bool {
	if code := f.rows.Type[n]; code != f.last {
		f.last, f.is = code, f.rows.String(code) == schemas.TypeRequest
	}
	return f.is
}

// codeSet is a set of an interner's codes.
type codeSet struct {
	seen []bool
	list []archive.Code
}

func (s *codeSet) add(c archive.Code) {
	if int(c) >= len(s.seen) {
		s.seen = append(s.seen, make([]bool, int(c)+1-len(s.seen))...)
	}
	if !s.seen[c] {
		s.seen[c] = true
		s.list = append(s.list, c)
	}
}

// countRequests adds the rows' requests to the counters of their subscriptions,
// which stand by code.
func countRequests(rows *archive.Rows, counters []*quotaCounter) {
	subs := rows.Strings[schemas.Subscription]
	requests := requestFilter{rows: rows}
	for n, code := range subs {
		if int(code) >= len(counters) || counters[code] == nil || !requests.has(n) || n >= len(rows.Quantity) {
			continue
		}
		c, quantity := counters[code], rows.Quantity[n]
		// A producer may write any subscription into its events: those of other
		// accounts are not theirs to use up.
		if quantity == archive.NullDecimal || rows.String(rows.Account[n]) != c.quota.Account ||
			c.quota.Route != "" && textAt(rows, schemas.Endpoint, n) != c.quota.Route {
			continue
		}
		if signOf(rows, n) < 0 {
			quantity = quantity.Neg()
		}
		c.add(rows.Time[n], quantity)
	}
}

// quotaCounter adds up one quota's use by period.
type quotaCounter struct {
	quota      *schemas.QuotaMeter
	uses       []store.QuotaUse // by start
	start, end int64            // of the period that was last added to, µs
	last       int              // of uses
}

// add counts in the period of the event's own time. Sums stay within 64 bits, as
// those of cells do.
func (c *quotaCounter) add(at int64, quantity schemas.Decimal) {
	if at < c.start || at >= c.end {
		c.find(at)
	}
	u := &c.uses[c.last]
	u.Used = plus(u.Used, quantity)
}

func (c *quotaCounter) find(at int64) {
	t := time.UnixMicro(at).UTC()
	i, _ := slices.BinarySearchFunc(c.uses, at, func(u store.QuotaUse, at int64) int {
		if u.Period.Start.UnixMicro() > at {
			return 1
		}
		return -1
	})
	c.last = i - 1 // the last that begins up to at
	if i == 0 || !c.uses[i-1].Period.Has(t) {
		c.last = i
		c.uses = slices.Insert(c.uses, i, store.QuotaUse{Quota: c.quota, Period: c.quota.Periods.At(t)})
	}
	period := c.uses[c.last].Period
	c.start, c.end = period.Start.UnixMicro(), 1<<63-1
	if !period.End.IsZero() {
		c.end = period.End.UnixMicro()
	}
}
