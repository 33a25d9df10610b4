package store

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tallybook/schemas"
	"tallybook/store/storetest"
)

// makeQuota makes customer c of account a with subscription s to shop v1 and a
// quota of 10 a day.
func makeQuota(t *testing.T, s *Store) {
	t.Helper()
	for _, text := range []string{
		`INSERT INTO routes (id, api, version, endpoint, created_at) VALUES ('r', 'shop', 'v1', '', 0), ('q', 'bank', 'v1', '/pay', 0)`,
		`INSERT INTO customers (id, account, name, address, email, pricing_model, timezone, currency, created_at)
			VALUES ('c', 'a', '', '', '', '', 'UTC', 'USD', 0)`,
		`INSERT INTO subscriptions (id, customer, api, version, pricing_model, quota, starts_at, created_at)
			VALUES ('s', 'c', 'shop', 'v1', '', '{"limit":10,"period":"day","hard":true,"thresholds":[80]}', 0, 0)`} {
		if _, err := s.write.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
}

// quotaOf is the quota of subscription s.
func quotaOf(t *testing.T, s *Store) *schemas.QuotaMeter {
	t.Helper()
	sub, err := s.Subscription(ctx, "c", "s")
	if err != nil {
		t.Fatal(err)
	}
	c, err := s.Customer(ctx, "c")
	if err != nil {
		t.Fatal(err)
	}
	m, err := sub.Meter(&c)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// usesOf is n requests on day0, of the quota that the transaction knows.
func usesOf(of *schemas.QuotaMeter, n int64) *SubscribedUse {
	return &SubscribedUse{Subscriptions: []string{of.Subscription}, Uses: func(quotas map[string]*schemas.QuotaMeter) []QuotaUse {
		q := quotas[of.Subscription]
		return []QuotaUse{{q, q.Periods.At(day0.Time()), schemas.DecimalFromInt(n)}}
	}}
}

// used is what was used of a quota on day0.
func used(t *testing.T, s *Store, q *schemas.QuotaMeter) string {
	t.Helper()
	key := QuotaPeriod{q.ID, q.Periods.At(day0.Time()).Start.UnixMicro()}
	uses, err := s.QuotaUses(ctx, []QuotaPeriod{key})
	if err != nil {
		t.Fatal(err)
	}
	return uses[key].String()
}

// outbox are the alerts as text.
func outbox(t *testing.T, s *Store) string {
	t.Helper()
	list, err := s.DueAlerts(ctx, closedAt.Add(24*time.Hour), 1000)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(list, func(a, b DueAlert) int { return cmp.Or(strings.Compare(a.Kind, b.Kind), strings.Compare(a.Key, b.Key)) })
	var all []string
	for _, a := range list {
		all = append(all, fmt.Sprintf("%s %s %d", a.Kind, a.Key[strings.LastIndexByte(a.Key, '/')+1:], a.Count))
	}
	return strings.Join(all, ", ")
}

func TestQuotaUse(t *testing.T) {
	path := storetest.URL(t)
	s := openFile(t, path, Options{})
	makeQuota(t, s)
	o := takeOver(t, s, usage0)
	q := quotaOf(t, s)
	use := func(n int64) {
		t.Helper()
		c := o.next(1)
		c.Subscribed = usesOf(q, n)
		o.apply(c)
	}
	want := func(wantUsed, wantOutbox string) {
		t.Helper()
		if got := used(t, s, quotaOf(t, s)); got != wantUsed {
			t.Errorf("used: got %s, want %s", got, wantUsed)
		}
		if got := outbox(t, s); got != wantOutbox {
			t.Errorf("outbox: got %q, want %q", got, wantOutbox)
		}
	}
	use(7)
	want("7", "")
	use(1)
	want("8", "quota_threshold 80 1")
	use(-3)
	use(4)
	want("9", "quota_threshold 80 1")
	use(5)
	want("14", "quota_limit 100 1, quota_threshold 80 1")

	// Another process changes the quota: it holds for the next checkpoint.
	other := openFile(t, path, Options{})
	change := func(quota *schemas.Quota) {
		t.Helper()
		if _, err := other.UpdateSubscription(ctx, "test", "c", "s", SubscriptionUpdate{SetQuota: true, Quota: quota}); err != nil {
			t.Fatal(err)
		}
	}
	change(&schemas.Quota{Limit: "5", Period: "day", Thresholds: []int{80, 300}})
	use(1)
	want("15", "quota_limit 100 1, quota_threshold 300 1, quota_threshold 80 1")
	change(&schemas.Quota{Limit: "5", Period: "month"}) // another count
	use(2)
	want("2", "quota_limit 100 1, quota_threshold 300 1, quota_threshold 80 1")
	zone := "Asia/Tokyo"
	if _, err := other.UpdateCustomer(ctx, "test", "c", CustomerUpdate{Timezone: &zone}); err != nil {
		t.Fatal(err)
	}
	use(1)
	if got := used(t, s, quotaOf(t, s)); got != "1" {
		t.Errorf("used in Tokyo: got %s, want 1", got)
	}
	change(nil)
	c := o.next(1)
	c.Subscribed = &SubscribedUse{Subscriptions: []string{"s", "unheard of"}, Uses: func(map[string]*schemas.QuotaMeter) []QuotaUse {
		t.Error("there is no quota")
		return nil
	}}
	o.apply(c)
}

func TestUnsubscribed(t *testing.T) {
	s := openNew(t)
	makeQuota(t, s)
	o := takeOver(t, s, usage0)
	for range 2 {
		c := o.next(1)
		c.Subscribed = &SubscribedUse{Unsubscribed: []UnsubscribedUse{
			{"a", "c", "shop", "v1", "/any", 1},
			{"a", "c", "", "v1", "/pay", 2},
			{"a", "c", "bank", "v1", "/pay", 4},
			{"a", "c", "bank", "v1", "/else", 8},
			{"a", "c", "", "", "", 16},
			{"b", "c", "shop", "v1", "/any", 32}, // another account's events name our customer
		}}
		o.apply(c)
	}
	// "" and v1, /pay: shop has a route of every endpoint, to which there is a subscription.
	want := "invalid_subscription 2026-03-01T12:00:00Z 6, invalid_subscription 2026-03-01T12:00:00Z 8, invalid_subscription 2026-03-01T12:00:00Z 48"
	if got := outbox(t, s); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// A change of the catalog is seen.
	if _, err := s.Subscribe(ctx, "test", Subscription{Customer: "c", API: "bank", Version: "v1"}); err != nil {
		t.Fatal(err)
	}
	c := o.next(1)
	c.Subscribed = &SubscribedUse{Unsubscribed: []UnsubscribedUse{{"a", "c", "bank", "v1", "/pay", 1}}}
	o.apply(c)
	if got := outbox(t, s); !strings.HasPrefix(got, "invalid_subscription 2026-03-01T12:00:00Z 7,") {
		t.Errorf("got %s", got)
	}
}

func TestOpenQuotaPeriods(t *testing.T) {
	s := openNew(t)
	makeQuota(t, s)
	at := day0.Time().Add(12 * time.Hour)
	open := func(now time.Time, want int64) {
		t.Helper()
		last, n, err := s.OpenQuotaPeriods(ctx, "", now, 10)
		if err != nil || n != want || last != "s" {
			t.Errorf("at %v: got %q, %d, %v, want s, %d", now, last, n, err, want)
		}
		if last, n, err := s.OpenQuotaPeriods(ctx, last, now, 10); last != "" || n != 0 || err != nil {
			t.Errorf("behind the last: got %q, %d, %v", last, n, err)
		}
	}
	open(at, 1)
	open(at, 0)
	open(at.Add(11*time.Hour), 0)
	o := takeOver(t, s, usage0)
	c := o.next(1)
	c.Subscribed = usesOf(quotaOf(t, s), 3)
	o.apply(c)
	open(at.Add(12*time.Hour), 1)
	open(at.AddDate(0, 0, 5), 4) // after a downtime
	open(at.AddDate(1, 0, 0), maxPeriodsOpened)
	open(at.AddDate(1, 0, 0), 0)
	if got := used(t, s, quotaOf(t, s)); got != "3" {
		t.Errorf("use of the day before: got %s, want 3", got)
	}
}

func TestAlertOutbox(t *testing.T) {
	s := openNew(t)
	hour := schemas.HourOf(closedAt.UnixMicro())
	for range 2 {
		if _, err := s.CountUnknownKeys(ctx, hour, map[string]int64{"aa": 2, "": 1}); err != nil {
			t.Fatal(err)
		}
	}
	if got := outbox(t, s); got != "unknown_key 2026-03-01T12:00:00Z 6" {
		t.Errorf("got %s", got)
	}
	due := (hour + 1).Time().Add(digestGrace)
	if list, err := s.DueAlerts(ctx, due.Add(-time.Microsecond), 10); err != nil || len(list) != 0 {
		t.Errorf("within the hour: got %v, %v", list, err)
	}
	list, err := s.DueAlerts(ctx, due, 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %v, %v, want one", list, err)
	}
	var d DigestAlert
	if err := json.Unmarshal(list[0].Details, &d); err != nil || !d.Hour.Equal(hour.Time()) {
		t.Errorf("details: got %s, %v", list[0].Details, err)
	}
	for i, want := range []bool{true, false} {
		if mine, err := s.ClaimAlert(ctx, &list[0], due.Add(time.Minute)); err != nil || mine != want {
			t.Errorf("claim %d: got %v, %v, want %v", i, mine, err, want)
		}
	}
	if err := s.StepAlert(ctx, AlertStep{ID: list[0].ID, Mailed: true, Error: "webhook"}, due); err != nil {
		t.Fatal(err)
	}
	again, err := s.DueAlerts(ctx, due.Add(time.Minute), 10)
	if err != nil || len(again) != 1 || !again[0].Mailed || again[0].Posted || again[0].Tries != 1 || again[0].ID != list[0].ID {
		t.Fatalf("got %+v, %v", again, err)
	}
	if err := s.StepAlert(ctx, AlertStep{ID: list[0].ID, Posted: true, Done: true}, due); err != nil {
		t.Fatal(err)
	}
	if got := outbox(t, s); got != "" {
		t.Errorf("done, but due: %s", got)
	}
}
