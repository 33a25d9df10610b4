package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// catalog changes the catalog as of the year 2025, so that prices may take effect
// whenever events of 2026 need them to.
type catalog struct {
	t     *testing.T
	store *store.Store
	now   time.Time
}

func (r *rig) catalog() *catalog {
	r.t.Helper()
	c := &catalog{t: r.t, now: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	var err error
	c.store, err = store.Open(context.Background(), r.url,
		store.Options{Log: quiet(), Now: func() time.Time { return c.now }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.store.Close() })
	return c
}

func day(text string) time.Time {
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return at
}

// unit is a price per unit of the pricing model "plan".
func unit(amount string, from time.Time) store.Price {
	return store.Price{PricingModel: "plan", Model: "per_unit", Params: []byte(fmt.Sprintf(`{"unit_price":%q}`, amount)), EffectiveFrom: from}
}

func (c *catalog) route(api, endpoint string, prices ...store.Price) store.Route {
	c.t.Helper()
	r, err := c.store.CreateRoute(context.Background(), "test", store.Route{API: api, Version: "v1", Endpoint: endpoint, Prices: prices})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

func (c *catalog) price(route store.Route, p store.Price) {
	c.t.Helper()
	if _, err := c.store.AddPrices(context.Background(), "test", route.ID, []store.Price{p}); err != nil {
		c.t.Fatal(err)
	}
}

// customer makes a customer of an account with subscriptions to APIs.
func (c *catalog) customer(account string, apis ...string) (store.Customer, []store.Subscription) {
	c.t.Helper()
	c.now = c.now.Add(time.Second)
	subs := []store.Subscription{}
	for _, api := range apis {
		subs = append(subs, store.Subscription{API: api, Version: "v1", StartsAt: day("2026-01-01")})
	}
	customer, subs, err := c.store.CreateCustomer(context.Background(), "test", "key of "+c.now.String(),
		store.Customer{Account: account, Name: "c", PricingModel: "plan", Timezone: "UTC", Currency: "EUR"}, subs)
	if err != nil {
		c.t.Fatal(err)
	}
	return customer, subs
}

// request is one of shop v1; data is what else its data has.
func request(account, id, at, data string) kafka.Message {
	return message(account, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"api.request","subject":%q,"time":%q,`+
		`"data":{"api":"shop","version":"v1","status":200%s}}`, id, account, at, data))
}

func correction(kind, id, account, target string, revision int, after string) kafka.Message {
	if after != "" {
		after = `,"after":{"api":"shop","version":"v1","status":200` + after + `}`
	}
	return message(account, fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":"event.%s","subject":%q,`+
		`"data":{"event":{"source":"test","id":%q},"revision":%d,"reason":"test"%s}}`, id, kind, account, target, revision, after))
}

// ratedRows are the archive's rows of requests, by id and then what they were
// rated with, in order; it holds their signed amounts against the rollups.
func (r *rig) ratedRows() []string {
	r.t.Helper()
	var list []string
	archived, rolled := map[string]schemas.Decimal{}, map[string]schemas.Decimal{}
	a := archive.New(r.bucket)
	err := r.bucket.List(context.Background(), "usage/", func(name string, _ int64) error {
		return a.Read(context.Background(), name, archive.Columns(schemas.Usage), func(rows *archive.Rows) error {
			for i := range rows.Len() {
				if rows.String(rows.Type[i]) != schemas.TypeRequest {
					continue
				}
				amount, version := "-", "-"
				if rows.Amount[i] != archive.NullDecimal {
					amount = rows.Amount[i].String()
				}
				if rows.PriceVersion[i] != archive.NullInt32 {
					version = fmt.Sprint(rows.PriceVersion[i])
				}
				list = append(list, strings.TrimSpace(fmt.Sprintf("%s %+d: %s at %s %s %s %s", rows.ID.At(i), rows.Sign[i], amount, version,
					rows.String(rows.Currency[i]), textAt(rows, schemas.Customer, i), textAt(rows, schemas.Subscription, i))))
				d := amountAt(rows, i)
				if rows.Sign[i] < 0 {
					d = d.Neg()
				}
				account := rows.String(rows.Account[i])
				archived[account] = plus(archived[account], d)
			}
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	s := r.openStore()
	defer s.Close()
	err = s.View(context.Background(), func(v *store.View) error {
		return v.Rollups(store.RollupQuery{Family: schemas.FamilyRequest, To: 1 << 30}, func(row *store.Rollup) error {
			rolled[row.Series.Account] = plus(rolled[row.Series.Account], row.Amount)
			return nil
		})
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for account, want := range archived {
		if rolled[account] != want {
			r.t.Errorf("rollups of %s have an amount of %v, the archive %v", account, rolled[account], want)
		}
	}
	slices.Sort(list)
	return list
}

// wantRated compares what ratedRows says, after names were put in place.
func (r *rig) wantRated(names []string, want ...string) {
	r.t.Helper()
	got := r.ratedRows()
	replace := strings.NewReplacer(names...)
	for i := range want {
		want[i] = replace.Replace(want[i])
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		r.t.Errorf("rows:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

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

func (c *catalog) end(account string) {
	c.t.Helper()
	list, err := c.store.Customers(context.Background(), account, "", 1)
	if err != nil || len(list) != 1 {
		c.t.Fatal(list, err)
	}
	subs, err := c.store.Subscriptions(context.Background(), list[0].ID, "", 0)
	if err != nil || len(subs) != 1 {
		c.t.Fatal(subs, err)
	}
	_, err = c.store.UpdateSubscription(context.Background(), "test", list[0].ID, subs[0].ID, store.SubscriptionUpdate{EndsAt: day("2026-01-02")})
	if err != nil {
		c.t.Fatal(err)
	}
}

// noneStaged: what was staged for nothing is gone.
func (r *rig) noneStaged() {
	r.t.Helper()
	err := r.bucket.List(context.Background(), "_staging/", func(name string, _ int64) error {
		r.t.Errorf("%s is left", name)
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// byCustomer reads what rating fills in.
var byCustomer = schemas.MeterDefinition{Slug: "by_customer", EventType: schemas.TypeRequest, Aggregation: schemas.Max,
	ValueProperty: "$.quantity", GroupBy: map[string]string{"customer": "$.customer", "subscription": "$.subscription"}}

// checkByCustomer holds the meter's rollups against the archive's rows.
func (r *rig) checkByCustomer() {
	r.t.Helper()
	want, got := map[string]int64{}, map[string]int64{}
	for _, row := range r.ratedRows() {
		fields := strings.Fields(row)
		sign := int64(1)
		if fields[1] == "-1:" {
			sign = -1
		}
		key := ""
		if len(fields) > 5 {
			key = strings.Join(fields[len(fields)-2:], " ")
		}
		want[key] += sign
	}
	s := r.openStore()
	defer s.Close()
	err := s.View(context.Background(), func(v *store.View) error {
		m, err := v.Meter(byCustomer.Slug)
		if err != nil {
			return err
		}
		return v.Rollups(store.RollupQuery{Family: m.Family, To: 1 << 30}, func(row *store.Rollup) error {
			key := strings.TrimSpace(strings.Join(row.Series.Dims, " "))
			if got[key] += row.Count; got[key] == 0 {
				delete(got, key)
			}
			return nil
		})
	})
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		r.t.Errorf("the meter has %v, the archive %v (%v)", got, want, err)
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
