package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
	"tallybook/store/storetest"
)

// The rig's acct-0 has a customer with a subscription, a price and a quota a day;
// the requests of acct-1 name a customer without one.
const (
	quotaOfRig = `{"limit":40,"period":"day","hard":true,"thresholds":[50]}`
	stampOf0   = `"customer":"cust-0","subscription":"sub-0",`
	stampOf1   = `"customer":"cust-1",`
)

func stamp(account string) string {
	return map[string]string{"acct-0": stampOf0, "acct-1": stampOf1}[account]
}

// sql runs statements on the store, behind its back.
func (r *rig) sql(statements ...string) {
	r.t.Helper()
	for _, text := range statements {
		storetest.Exec(r.t, r.url, text)
	}
}

func (r *rig) makeQuota() {
	r.t.Helper()
	r.openStore().Close()
	customer := `INSERT INTO customers (id, account, name, address, email, pricing_model, timezone, currency, created_at)
		VALUES ('cust-%d', 'acct-%d', '', '', '', '', 'UTC', 'USD', 0)`
	r.sql(fmt.Sprintf(customer, 0, 0), fmt.Sprintf(customer, 1, 1),
		`INSERT INTO subscriptions (id, customer, api, version, pricing_model, quota, starts_at, created_at)
		VALUES ('sub-0', 'cust-0', 'orders', 'v1', 'plan', '`+quotaOfRig+`', 0, 0)`,
		`INSERT INTO routes (id, api, version, endpoint, created_at) VALUES ('r-0', 'orders', 'v1', '/orders', 0)`,
		`INSERT INTO prices (version, route, pricing_model, model, params, effective_from, created_at)
		VALUES (7, 'r-0', 'plan', 'per_unit', '{"unit_price":"0.25"}', 0, 0)`,
		`UPDATE price_generation SET generation = 1`)
}

// noteUse adds an archived request to what the quota must show.
func (r *rig) noteUse(rows *archive.Rows, n int) {
	switch {
	case textAt(rows, schemas.Subscription, n) == "sub-0":
		day := schemas.DayOf(rows.Time[n])
		r.used[day] = plus(r.used[day], rows.Quantity[n])
	case textAt(rows, schemas.Customer, n) == "cust-1":
		r.lost++
	}
}

// checkQuotas holds quota use and outbox against the archive.
func (r *rig) checkQuotas(s *store.Store) {
	r.t.Helper()
	quota, err := schemas.NewQuotaMeter(&schemas.Quota{Limit: "40", Period: "day"}, "sub-0", time.UTC)
	if err != nil {
		r.t.Fatal(err)
	}
	want := map[string]bool{}
	for day, n := range r.used {
		key := store.QuotaPeriod{Quota: quota.ID, Start: day.Time().UnixMicro()}
		uses, err := s.QuotaUses(context.Background(), []store.QuotaPeriod{key})
		if err != nil {
			r.t.Fatal(err)
		}
		if uses[key] != n {
			r.t.Errorf("%v used on %v, the archive has %v", uses[key], day, n)
		}
		for percent, from := range map[int]int64{50: 20, 100: 40} {
			if n.Units >= from {
				want[fmt.Sprintf("%s/%d/%d", quota.ID, key.Start, percent)] = true
			}
		}
	}
	var lost int64
	for _, a := range r.alerts(s) {
		switch {
		case a.Kind == store.AlertSubscription && strings.HasPrefix(a.Key, "cust-1/no_subscription/"):
			lost += a.Count
		case !want[a.Key] || a.Count != 1:
			r.t.Errorf("alert %+v, which is not due", a)
		default:
			delete(want, a.Key)
		}
	}
	for key := range want {
		r.t.Errorf("no alert %s", key)
	}
	if lost != r.lost {
		r.t.Errorf("alerts tell of %d requests without subscription, the archive has %d", lost, r.lost)
	}
}

func (r *rig) alerts(s *store.Store) []store.DueAlert {
	r.t.Helper()
	list, err := s.DueAlerts(context.Background(), time.Now().Add(24*time.Hour), 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

// Only requests of the subscription's own account use up its quota, and those of
// its route; each in the period of its own time, whatever order they come in.
func TestQuotaCounts(t *testing.T) {
	hour := &schemas.QuotaMeter{ID: "q", Subscription: "s", Account: "a", Route: "/orders", Periods: mustPeriods(t, "hour")}
	rows := &archive.Rows{Dataset: schemas.Usage, Dict: []string{"", "a", "b", "s", schemas.TypeRequest, "other", "/orders", "/else"}}
	add := func(account, kind, sub, endpoint archive.Code, at string, quantity schemas.Decimal, sign int8) {
		when, err := time.Parse("15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		rows.Account, rows.Type, rows.Quantity = append(rows.Account, account), append(rows.Type, kind), append(rows.Quantity, quantity)
		rows.Time, rows.Sign = append(rows.Time, time.Date(2026, 1, 1, when.Hour(), when.Minute(), 0, 0, time.UTC).UnixMicro()), append(rows.Sign, sign)
		rows.Strings[schemas.Subscription] = append(rows.Strings[schemas.Subscription], sub)
		rows.Strings[schemas.Endpoint] = append(rows.Strings[schemas.Endpoint], endpoint)
	}
	one := schemas.DecimalFromInt(1)
	add(1, 4, 3, 6, "10:30", one, 1)
	add(1, 4, 3, 6, "09:59", schemas.Decimal{Units: 2, Nanos: 500_000_000}, 1)
	add(1, 4, 3, 6, "12:00", one, 1)
	add(1, 4, 3, 6, "10:59", one, 1)
	add(1, 4, 3, 6, "09:00", one, -1)
	add(1, 4, 3, 7, "10:00", one, 1) // of another route
	add(2, 4, 3, 6, "10:00", one, 1) // of another account
	add(1, 5, 3, 6, "10:00", one, 1) // no request
	add(1, 4, 0, 6, "10:00", one, 1) // of no subscription
	add(1, 4, 3, 6, "10:00", archive.NullDecimal, 1)
	use := subscribedUse(rows, &archive.Rows{})
	if got := strings.Join(use.Subscriptions, " "); got != "s" {
		t.Fatalf("subscriptions: got %q, want s", got)
	}
	var got []string
	for _, u := range use.Uses(map[string]*schemas.QuotaMeter{"s": hour}) {
		got = append(got, u.Period.Start.Format("15:04 ")+u.Used.String())
	}
	if want := "09:00 1.5, 10:00 2, 12:00 1"; strings.Join(got, ", ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, ", "), want)
	}
	if use := subscribedUse(&archive.Rows{Dict: []string{""}}, &archive.Rows{}); use != nil {
		t.Errorf("rows without subscription: got %+v, want nil", use)
	}
}

func mustPeriods(t *testing.T, period string) *schemas.QuotaPeriods {
	t.Helper()
	p, err := schemas.NewQuotaPeriods(period, time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A quota that was made or changed while a batch was folded holds for it, and a
// retraction gives back what its event used, without a second alert.
func TestQuotaOfNowAndRetraction(t *testing.T) {
	r := newRig(t)
	p := r.start()
	send := func(ids ...string) {
		t.Helper()
		var messages []kafka.Message
		for _, id := range ids {
			messages = append(messages, kafka.Message{Key: []byte("acct-0"), Value: []byte(event("acct-0", id, "2026-01-02T10:00:00Z"))})
		}
		r.produce(messages...)
		end := r.end()
		r.until("it is counted", func() bool { return p.part.nextPos.Load() == end })
	}
	limit := func(n json.Number) {
		t.Helper()
		_, err := p.store.UpdateSubscription(context.Background(), "test", "cust-0", "sub-0", store.SubscriptionUpdate{SetQuota: true,
			Quota: &schemas.Quota{Limit: n, Period: "day", Thresholds: []int{50}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	send("a", "b", "c")
	if got := r.alerts(p.store); len(got) != 0 {
		t.Fatalf("alerts of a limit of 40: %+v", got)
	}
	r.sql(`INSERT INTO routes (id, api, version, endpoint, created_at) VALUES ('r', 'orders', 'v1', '', 0)`)
	limit("4")
	send("d")
	if got := r.alerts(p.store); len(got) != 2 || got[0].Kind == got[1].Kind {
		t.Fatalf("got %+v, want the alerts of 50 and 100 percent", got)
	}
	retraction := `{"specversion":"1.0","id":"x","source":"test","type":"event.retracted","subject":"acct-0",
		"data":{"event":{"source":"test","id":"d"},"revision":1,"reason":"test"}}`
	r.produce(kafka.Message{Key: []byte("acct-0"), Value: []byte(retraction)})
	send("e", "f")
	day := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).UnixMicro()
	quota, err := schemas.NewQuotaMeter(&schemas.Quota{Limit: "4", Period: "day"}, "sub-0", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	key := store.QuotaPeriod{Quota: quota.ID, Start: day}
	uses, err := p.store.QuotaUses(context.Background(), []store.QuotaPeriod{key})
	if err != nil || uses[key] != schemas.DecimalFromInt(5) {
		t.Errorf("got %v, %v, want 5: six and one taken back", uses[key], err)
	}
	if got := r.alerts(p.store); len(got) != 2 {
		t.Errorf("got %d alerts, want 2", len(got))
	}
}

// What quotas cost a batch whose events name a subscription without one, per event.
func BenchmarkSubscribedUse(b *testing.B) {
	rows := &archive.Rows{Dict: []string{"", "a", "s", "c", schemas.TypeRequest}}
	const n = 50_000
	for range n {
		rows.Time, rows.Account, rows.Type = append(rows.Time, 0), append(rows.Account, 1), append(rows.Type, 4)
		rows.Strings[schemas.Subscription] = append(rows.Strings[schemas.Subscription], 2)
		rows.Strings[schemas.Customer] = append(rows.Strings[schemas.Customer], 3)
	}
	for b.Loop() {
		subscribedUse(rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/event")
}
