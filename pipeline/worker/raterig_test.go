package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	err := r.bucket.List(context.Background(), "usage/", "", func(name string, _ int64) error {
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

func (c *catalog) end(account string) {
	c.t.Helper()
	list, err := c.store.Customers(context.Background(), store.CustomerFilter{Account: account, Limit: 1})
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
	err := r.bucket.List(context.Background(), "_staging/", "", func(name string, _ int64) error {
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
