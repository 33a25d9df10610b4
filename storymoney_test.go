package main

import (
	"math/big"
	"slices"
	"strings"
	"time"
)

// storyAccount is what the script said, kept apart from all that is tested: calls
// and what was taken back, and prices.
type storyAccount struct {
	prices []storyPrice
	list   []storyCall // in the order of being sent
	calls  int
	mails  []storyMail
}

// storyCall is a call; one that takes another back has its quantity below 0.
type storyCall struct {
	customer      *storyCustomer
	api, endpoint string
	at            time.Time
	id            string
	quantity      *big.Rat
}

// add keeps a call, but for a repeat.
func (a *storyAccount) add(call storyCall) {
	if !slices.ContainsFunc(a.list, func(c storyCall) bool { return c.customer == call.customer && c.id == call.id }) {
		a.list = append(a.list, call)
	}
}

func (a *storyAccount) takeBack(c *storyCustomer, id string) (found bool) {
	for _, call := range a.list {
		if call.customer == c && call.id == id {
			call.quantity, call.id = new(big.Rat).Neg(call.quantity), ""
			a.list = append(a.list, call)
			return true
		}
	}
	return false
}

// storyPrice is a price as the script has it.
type storyPrice struct {
	model, api, endpoint, kind string

	from   time.Time
	params struct {
		Amount       string `json:"amount"`
		UnitPrice    string `json:"unit_price"`
		FreeUnits    string `json:"free_units"`
		PackageSize  string `json:"package_size"`
		PackagePrice string `json:"package_price"`
		Discount     string `json:"discount_percent"`
		Maximum      string `json:"maximum_amount"`
		Minimum      string `json:"minimum_amount"`
		Tiers        []struct {
			UpTo      *string `json:"up_to"`
			UnitPrice string  `json:"unit_price"`
			FlatFee   string  `json:"flat_fee"`
		} `json:"tiers"`
	}
}

// rat reads a decimal; "" is 0.
func (s *story) rat(text string) *big.Rat {
	s.t.Helper()
	if text == "" {
		return new(big.Rat)
	}
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		s.fatal("%q is no number", text)
	}
	return r
}

// cost is what a quantity comes to when the price held for a share of the period.
func (s *story) cost(p *storyPrice, quantity, share *big.Rat, places int) *big.Rat {
	times := func(a, b *big.Rat) *big.Rat { return new(big.Rat).Mul(a, b) }
	minus := func(a, b *big.Rat) *big.Rat { return new(big.Rat).Sub(a, b) }
	q := new(big.Rat).Set(quantity)
	if q = minus(q, s.rat(p.params.FreeUnits)); q.Sign() < 0 {
		q = new(big.Rat)
	}
	sum := new(big.Rat)
	switch p.kind {
	case "flat":
		sum = times(s.rat(p.params.Amount), share)
	case "per_unit":
		sum = times(q, s.rat(p.params.UnitPrice))
	case "package":
		packs := new(big.Rat).Quo(q, s.rat(p.params.PackageSize))
		whole := new(big.Int).Quo(packs.Num(), packs.Denom())
		if !packs.IsInt() {
			whole.Add(whole, big.NewInt(1))
		}
		sum = times(new(big.Rat).SetInt(whole), s.rat(p.params.PackagePrice))
	case "graduated", "volume":
		below := new(big.Rat)
		for i, tier := range p.params.Tiers {
			upTo := q
			if tier.UpTo != nil && q.Cmp(s.rat(*tier.UpTo)) > 0 {
				upTo = s.rat(*tier.UpTo)
			}
			if i > 0 && q.Cmp(below) <= 0 {
				break
			}
			if p.kind == "graduated" {
				sum.Add(sum, times(minus(upTo, below), s.rat(tier.UnitPrice)))
				sum.Add(sum, s.rat(tier.FlatFee))
			} else {
				sum = new(big.Rat).Add(times(q, s.rat(tier.UnitPrice)), s.rat(tier.FlatFee))
			}
			if below = upTo; upTo == q {
				break
			}
		}
	default:
		s.fatal("the account does not know the model %s", p.kind)
	}
	sum = minus(sum, times(sum, new(big.Rat).Quo(s.rat(p.params.Discount), big.NewRat(100, 1))))
	if most := s.rat(p.params.Maximum); p.params.Maximum != "" && sum.Cmp(most) > 0 {
		sum = most
	}
	if least := times(s.rat(p.params.Minimum), share); sum.Cmp(least) < 0 {
		sum = least
	}
	return s.rat(sum.FloatString(places)) // which rounds half away from zero
}

// storyDue is what a price comes to in a month.
type storyDue struct{ quantity, amount *big.Rat }

// due is what a customer owes for a month, by all calls so far: by route and
// start of the price.
func (s *story) due(c *storyCustomer, month string) map[string]storyDue {
	s.t.Helper()
	first, err := time.ParseInLocation("2006-01", month, c.zone)
	if err != nil {
		s.fatal("%v", err)
	}
	end := first.AddDate(0, 1, 0)
	all := map[string]storyDue{}
	for _, sub := range c.subs {
		for i, p := range s.account.prices {
			if p.api != sub.api || p.model != c.model {
				continue
			}
			from, to := later(first, sub.start, p.from), end
			for _, next := range slices.Concat(s.account.prices[i+1:], []storyPrice{{from: sub.end}}) {
				same := next.api == p.api && next.endpoint == p.endpoint && next.model == p.model || next.api == ""
				if same && !next.from.IsZero() && next.from.Before(to) {
					to = next.from
				}
			}
			if !from.Before(to) {
				continue
			}
			quantity := new(big.Rat)
			for _, call := range s.account.list {
				if call.customer == c && call.api == p.api && !call.at.Before(from) && call.at.Before(to) && s.routeOf(&call) == p.endpoint {
					quantity.Add(quantity, call.quantity)
				}
			}
			share := big.NewRat(days(from.In(c.zone), to.In(c.zone)), days(first, end))
			key := p.api + " " + strings.TrimPrefix(p.endpoint, "*") + " " + from.UTC().Format(time.RFC3339)
			all[key] = storyDue{quantity, s.cost(&p, quantity, share, minorPlaces(c.currency))}
		}
	}
	missing := s.rat(c.minimum) // of a whole month
	for _, due := range all {
		missing = new(big.Rat).Sub(missing, due.amount)
	}
	if len(all) > 0 && missing.Sign() > 0 {
		all["  "+first.UTC().Format(time.RFC3339)] = storyDue{new(big.Rat), missing}
	}
	return all
}

// routeOf is the endpoint whose price a call is of: its own where there is one
// at that time, else *.
func (s *story) routeOf(call *storyCall) string {
	for _, p := range s.account.prices {
		if p.api == call.api && p.endpoint == call.endpoint && p.model == call.customer.model && !p.from.After(call.at) {
			return p.endpoint
		}
	}
	return "*"
}

func later(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// days counts the midnights behind from, up to to.
func days(from, to time.Time) (n int64) {
	for at := time.Date(from.Year(), from.Month(), from.Day()+1, 0, 0, 0, 0, from.Location()); !at.After(to); at = at.AddDate(0, 0, 1) {
		n++
	}
	return n
}

func minorPlaces(currency string) int {
	if currency == "JPY" {
		return 0
	}
	return 2
}
