package worker

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"tallybook/store"
)

// A request is rated by who it says, or by rule, is to pay, at its own time, by
// the price of its endpoint before that of every endpoint.
func TestRated(t *testing.T) {
	r := newRig(t)
	c := r.catalog()
	tiers := store.Price{PricingModel: "plan", Model: "graduated", Params: []byte(`{"tiers":[{"unit_price":"1"}]}`), EffectiveFrom: day("2026-01-01")}
	c.route("shop", "", unit("0.5", day("2026-01-01")))                                     // 8
	c.route("shop", "/a", unit("0.01", day("2026-01-02")), unit("0.03", day("2026-01-04"))) // 9, 10
	c.route("shop", "/tiers", tiers)                                                        // 11
	c.route("shop", "/dear", unit("999999999999", day("2026-01-01")))                       // 12
	c.route("shop", "/other", store.Price{PricingModel: "premium", Model: "per_unit", Params: []byte(`{"unit_price":"9"}`), EffectiveFrom: day("2026-01-01")})
	c.route("books", "", unit("7", day("2026-01-01")))
	first, subs := c.customer("acct-a", "shop")
	second, more := c.customer("acct-a", "shop", "books")
	stranger, _ := c.customer("acct-b", "shop")
	names := []string{"FIRST", first.ID, "SUB", subs[0].ID, "SECOND", second.ID, "MORE", more[0].ID, "BOOKS", more[1].ID, "STRANGER", stranger.ID}
	named := func(text string) string { return strings.NewReplacer(names...).Replace(text) }
	at := "2026-01-03T12:00:00Z"
	r.produce(
		request("acct-a", "a none", at, `,"endpoint":"/x"`),
		request("acct-a", "b quantity", at, `,"endpoint":"/x","quantity":2.5`),
		request("acct-a", "c endpoint", at, `,"endpoint":"/a"`),
		request("acct-a", "d endpoint has no price yet", "2026-01-01T00:00:00Z", `,"endpoint":"/a"`),
		request("acct-a", "e next price", "2026-01-04T00:00:00Z", `,"endpoint":"/a"`),
		request("acct-a", "f before", "2026-01-03T23:59:59.999999Z", `,"endpoint":"/a"`),
		request("acct-a", "g tiers", at, `,"endpoint":"/tiers"`),
		request("acct-a", "h no room", at, `,"endpoint":"/dear","quantity":2`),
		request("acct-a", "i model of others", at, `,"endpoint":"/other"`),
		request("acct-a", "j customer", at, named(`,"endpoint":"/x","customer":"SECOND"`)),
		request("acct-a", "k subscription", at, named(`,"endpoint":"/x","subscription":"MORE"`)),
		request("acct-a", "l both", at, named(`,"endpoint":"/x","customer":"SECOND","subscription":"MORE"`)),
		request("acct-a", "m of another API", at, named(`,"endpoint":"/x","customer":"SECOND","subscription":"BOOKS"`)),
		request("acct-a", "n stranger", at, named(`,"endpoint":"/x","customer":"STRANGER"`)),
		request("acct-a", "o of another customer", at, named(`,"endpoint":"/x","customer":"FIRST","subscription":"MORE"`)),
		request("acct-a", "p unknown", at, `,"endpoint":"/x","subscription":"nothing"`),
		request("acct-a", "q too early", "2025-12-31T23:59:59Z", `,"endpoint":"/x"`),
		request("acct-a", "r no number", at, `,"endpoint":"/x","quantity":"NaN"`),
		request("acct-c", "s no customer", at, `,"endpoint":"/x"`),
		message("acct-a", strings.Replace(string(request("acct-a", "t another version", at, `,"endpoint":"/x"`).Value), `"v1"`, `"v2"`, 1)),
	)
	r.start().drain()
	r.wantRated(names,
		"a none +1: 0.5 at 8 EUR FIRST SUB",
		"b quantity +1: 1.25 at 8 EUR FIRST SUB",
		"c endpoint +1: 0.01 at 9 EUR FIRST SUB",
		"d endpoint has no price yet +1: 0.5 at 8 EUR FIRST SUB",
		"e next price +1: 0.03 at 10 EUR FIRST SUB",
		"f before +1: 0.01 at 9 EUR FIRST SUB",
		"g tiers +1: - at 11 EUR FIRST SUB",
		"h no room +1: - at 12 EUR FIRST SUB",
		"i model of others +1: 0.5 at 8 EUR FIRST SUB",
		"j customer +1: 0.5 at 8 EUR SECOND MORE",
		"k subscription +1: 0.5 at 8 EUR SECOND MORE",
		"l both +1: 0.5 at 8 EUR SECOND MORE",
		"m of another API +1: - at -  SECOND BOOKS",
		"n stranger +1: - at -  STRANGER",
		"o of another customer +1: - at -  FIRST MORE",
		"p unknown +1: - at -   nothing",
		"q too early +1: - at -",
		"r no number +1: - at 8 EUR FIRST SUB",
		"s no customer +1: - at -",
		"t another version +1: - at -")
}

// What the catalog says at the checkpoint holds, and not what it said when the
// batch was folded, whatever was changed in between.
func TestCatalogChangesOnTheWay(t *testing.T) {
	for _, c := range []struct {
		name      string
		before    func(*catalog) store.Route
		change    func(*catalog, store.Route)
		corrected bool
		want      string
	}{
		{"a price", func(c *catalog) store.Route {
			route := c.route("shop", "/a", unit("0.1", day("2026-01-01")))
			c.customer("acct-a", "shop")
			return route
		}, func(c *catalog, route store.Route) { c.price(route, unit("0.2", day("2026-01-02"))) }, false, "0.2 at 9"},
		{"a price, and a correction", func(c *catalog) store.Route {
			route := c.route("shop", "/a", unit("0.1", day("2026-01-01")))
			c.customer("acct-a", "shop")
			return route
		}, func(c *catalog, route store.Route) { c.price(route, unit("0.2", day("2026-01-02"))) }, true, "0.2 at 9"},
		{"a route", func(c *catalog) store.Route {
			c.route("shop", "", unit("0.1", day("2026-01-01")))
			c.customer("acct-a", "shop")
			return store.Route{}
		}, func(c *catalog, _ store.Route) { c.route("shop", "/a", unit("0.2", day("2026-01-01"))) }, false, "0.2 at 9"},
		{"a customer", func(c *catalog) store.Route { return c.route("shop", "/a", unit("0.1", day("2026-01-01"))) },
			func(c *catalog, _ store.Route) { c.customer("acct-a", "shop") }, false, "0.1 at 8"},
		{"an end", func(c *catalog) store.Route {
			c.route("shop", "/a", unit("0.1", day("2026-01-01")))
			c.customer("acct-a", "shop")
			return store.Route{}
		}, func(c *catalog, _ store.Route) { c.end("acct-a") }, false, "- at -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.declare(byCustomer)
			catalog := r.catalog()
			route := c.before(catalog)
			var change sync.Once // files are staged beside each other
			changed := false
			r.setFault(func(step string) (error, error) {
				if step == "put" { // the batch is folded, and being staged
					change.Do(func() {
						changed = true
						c.change(catalog, route)
					})
				}
				return nil, nil
			})
			r.produce(request("acct-a", "x", "2026-01-03T12:00:00Z", `,"endpoint":"/a"`))
			want := []string{"x +1: " + c.want}
			if c.corrected {
				r.produce(correction("amended", "y", "acct-a", "x", 1, `,"endpoint":"/a","quantity":3`))
				want = []string{"x +1: " + c.want, "y +1: 0.6 at 9", "y -1: " + c.want}
			}
			r.start(func(c *Config) { c.BatchEvents = 2 }).drain()
			got := r.ratedRows()
			for i := range got {
				got[i] = strings.Join(strings.Fields(got[i])[:5], " ")
			}
			if !slices.Equal(got, want) || !changed {
				t.Errorf("got %q, want %q", got, want)
			}
			r.checkByCustomer()
			r.noneStaged()
		})
	}
}

// A checkpoint whose commit was applied and whose answer was lost is not made
// again when the catalog changes meanwhile: its files are those that are named.
func TestCatalogChangesAfterUnknownCommit(t *testing.T) {
	r := newRig(t)
	c := r.catalog()
	route := c.route("shop", "/a", unit("0.1", day("2026-01-01")))
	c.customer("acct-a", "shop")
	commits := 0
	r.setFault(func(step string) (error, error) {
		if step == "commit" {
			if commits++; commits == 1 {
				return nil, errFault
			}
		}
		if step == "begin" && commits == 1 {
			commits++
			c.price(route, unit("0.2", day("2026-01-02")))
		}
		return nil, nil
	})
	r.produce(request("acct-a", "x", "2026-01-03T12:00:00Z", `,"endpoint":"/a"`))
	r.start().drain()
	if got := r.ratedRows(); len(got) != 1 || !strings.HasPrefix(got[0], "x +1: 0.1 at 8 ") || commits < 2 {
		t.Errorf("got %q after %d commits", got, commits)
	}
	r.noneStaged()
}

// Other customers and other APIs may change as they like: the batch is not
// staged again.
func TestOtherChangesOnTheWay(t *testing.T) {
	r := newRig(t)
	c := r.catalog()
	c.route("shop", "/a", unit("0.1", day("2026-01-01")))
	c.customer("acct-a", "shop")
	puts := 0
	r.setFault(func(step string) (error, error) {
		if step == "put" {
			if puts++; puts == 1 {
				c.route("books", "", unit("1", day("2026-01-01")))
				c.customer("acct-b", "shop")
				c.customer("acct-a", "shop") // not the account's first
			}
		}
		return nil, nil
	})
	r.produce(request("acct-a", "x", "2026-01-03T12:00:00Z", `,"endpoint":"/a"`))
	r.start().drain()
	if got := r.ratedRows(); len(got) != 1 || !strings.HasPrefix(got[0], "x +1: 0.1 at 8 ") || puts != 1 {
		t.Errorf("got %q, staged %d times", got, puts)
	}
}

// A correction takes away what was stamped, and what an amendment puts in its
// place keeps the price, unless it is of another route by now.
func TestCorrectionsKeepThePrice(t *testing.T) {
	for _, batch := range []int{1, 100} { // each record a batch of its own, or all in one
		t.Run(fmt.Sprint(batch), func(t *testing.T) {
			r := newRig(t)
			c := r.catalog()
			route := c.route("shop", "/a", unit("0.1", day("2026-01-01")))
			c.route("shop", "/b", unit("5", day("2026-01-01")))
			customer, subs := c.customer("acct-a", "shop")
			names := []string{"CUST", customer.ID, "SUB", subs[0].ID}
			at := "2026-01-03T12:00:00Z"
			r.produce(request("acct-a", "x", at, `,"endpoint":"/a","quantity":2`), request("acct-a", "y", at, `,"endpoint":"/a"`),
				request("acct-a", "z", at, `,"endpoint":"/a"`))
			tune := func(c *Config) { c.BatchEvents = batch }
			r.start(tune).drain()
			c.price(route, unit("0.9", day("2026-01-03"))) // an event ahead of time had the price before
			r.produce(correction("amended", "x1", "acct-a", "x", 1, `,"endpoint":"/a","quantity":3`),
				correction("amended", "x2", "acct-a", "x", 2, `,"endpoint":"/b","quantity":3`),
				correction("retracted", "x3", "acct-a", "x", 3, ""),
				correction("retracted", "y1", "acct-a", "y", 1, ""),
				correction("amended", "z1", "acct-a", "z", 1, `,"endpoint":"/a","customer":"nobody"`))
			r.start(tune).drain()
			r.wantRated(names,
				"x +1: 0.2 at 8 EUR CUST SUB", "y +1: 0.1 at 8 EUR CUST SUB", "z +1: 0.1 at 8 EUR CUST SUB",
				"x1 -1: 0.2 at 8 EUR CUST SUB", "x1 +1: 0.3 at 8 EUR CUST SUB",
				"x2 -1: 0.3 at 8 EUR CUST SUB", "x2 +1: 15 at 9 EUR CUST SUB",
				"x3 -1: 15 at 9 EUR CUST SUB", "y1 -1: 0.1 at 8 EUR CUST SUB",
				"z1 -1: 0.1 at 8 EUR CUST SUB", "z1 +1: - at -  nobody")
		})
	}
}
