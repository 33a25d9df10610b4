package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"tallybook/schemas"
)

// SubscribedUse is what a checkpoint's requests say about quotas. It is looked
// at within the transaction, so that quotas are those of that very moment.
type SubscribedUse struct {
	Subscriptions []string // that requests name
	// Uses adds up what the requests use of the quotas, by subscription; it is
	// called where any of Subscriptions has one, and may be called again.
	Uses         func(quotas map[string]*schemas.QuotaMeter) []QuotaUse
	Unsubscribed []UnsubscribedUse
}

// QuotaUse is what a checkpoint adds to the use of a quota in a period; below 0
// where corrections took more away.
type QuotaUse struct {
	Quota  *schemas.QuotaMeter
	Period schemas.Period
	Used   schemas.Decimal
}

// UnsubscribedUse are requests of a customer without a subscription.
type UnsubscribedUse struct {
	Account, Customer      string
	API, Version, Endpoint string // "" all three: of more routes than were told apart
	Requests               int64
}

// quotaCache is what is known of quotas in this process. Transactions only read
// what it remembers. The audit log names every change of the catalog, in the
// order of their commits: those who write it are alone.
type quotaCache struct {
	mu       sync.Mutex
	version  int64                          // of the catalog
	quotas   map[string]*schemas.QuotaMeter // by subscription; nil: it has none
	problems map[UnsubscribedUse]string     // reasons, by use with 0 requests
}

const (
	maxQuotasKnown  = 100_000 // past it all are forgotten and read again
	maxProblems     = 10_000
	quotasPerQuery  = 400
	quotaUsePerStmt = 100
)

// countQuotas is the checkpoint's step: use is counted, and what it crosses is
// put in the outbox.
func (s *Store) countQuotas(ctx context.Context, w *writeTx, c *Checkpoint) error {
	if c.Subscribed == nil {
		return nil
	}
	reasons, quotas, err := s.subscribedNow(ctx, w, c.Subscribed)
	if err != nil {
		return err
	}
	if err := tellUnsubscribed(ctx, w, c, reasons); err != nil || len(quotas) == 0 {
		return err
	}
	uses := c.Subscribed.Uses(quotas)
	slices.SortFunc(uses, func(a, b QuotaUse) int {
		return cmp.Or(strings.Compare(a.Quota.ID, b.Quota.ID), a.Period.Start.Compare(b.Period.Start))
	})
	for chunk := range slices.Chunk(uses, quotaUsePerStmt) {
		if err := addQuotaUse(ctx, w, chunk, c.ClosedAt); err != nil {
			return err
		}
	}
	return nil
}

// subscribedNow is what the catalog says at this moment of requests: why those
// without a subscription have none, and the quotas of those that name one.
func (s *Store) subscribedNow(ctx context.Context, w *writeTx, use *SubscribedUse) (reasons []string, quotas map[string]*schemas.QuotaMeter, err error) {
	s.quotas.mu.Lock()
	defer s.quotas.mu.Unlock()
	if err := s.quotas.refresh(ctx, w); err != nil {
		return nil, nil, err
	}
	if reasons, err = s.problemsOf(ctx, w, use.Unsubscribed); err != nil {
		return nil, nil, err
	}
	quotas, err = s.quotasOf(ctx, w, use.Subscriptions)
	return reasons, quotas, err
}

// refresh forgets what changed in the catalog since it was read.
func (k *quotaCache) refresh(ctx context.Context, w *writeTx) error {
	changes, err := readChanges(ctx, w.conn, k.version)
	if err != nil {
		return err
	}
	if changes.Version != k.version {
		k.problems = nil
		k.version = changes.Version
	}
	all := changes.All
	for _, c := range changes.List {
		switch {
		case c.Noun == "subscription":
			delete(k.quotas, c.Subject)
		case c.Noun == "customer" && c.Action != "create": // its time zone
			all = true
		}
	}
	if all || k.quotas == nil || len(k.quotas) > maxQuotasKnown {
		k.quotas = map[string]*schemas.QuotaMeter{}
	}
	return nil
}

// quotasOf are the quotas of those of the subscriptions that have one.
func (s *Store) quotasOf(ctx context.Context, w *writeTx, ids []string) (map[string]*schemas.QuotaMeter, error) {
	var unknown []string
	for _, id := range ids {
		if _, known := s.quotas.quotas[id]; !known {
			unknown = append(unknown, id)
			s.quotas.quotas[id] = nil
		}
	}
	for chunk := range slices.Chunk(unknown, quotasPerQuery) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		quotas, err := s.readQuotas(ctx, w.conn, `s.quota IS NOT NULL AND s.id IN (`+placeholders(len(chunk))+`)`, args...)
		if err != nil {
			s.quotas.quotas = nil
			return nil, err
		}
		for _, q := range quotas {
			s.quotas.quotas[q.Subscription] = q
		}
	}
	found := map[string]*schemas.QuotaMeter{}
	for _, id := range ids {
		if q := s.quotas.quotas[id]; q != nil {
			found[id] = q
		}
	}
	return found, nil
}

func (s *Store) readQuotas(ctx context.Context, q querier, where string, args ...any) ([]*schemas.QuotaMeter, error) {
	type row struct{ id, customer, account, zone, quota string }
	rows, err := q.QueryContext(ctx, `SELECT s.id, s.customer, c.account, c.timezone, s.quota
		FROM subscriptions s JOIN customers c ON c.id = s.customer WHERE `+where, args...)
	all, err := scanAll(rows, err, func(sc scanner) (r row, err error) {
		return r, sc.Scan(&r.id, &r.customer, &r.account, &r.zone, &r.quota)
	})
	if err != nil {
		return nil, err
	}
	var quotas []*schemas.QuotaMeter
	for _, r := range all {
		m, err := quotaMeter(r.id, r.zone, []byte(r.quota))
		if err != nil { // it was checked when it was made; events go on
			s.opts.Log.Error("a quota is not counted", "subscription", r.id, "error", err)
			continue
		}
		m.Customer, m.Account = r.customer, r.account
		quotas = append(quotas, m)
	}
	return quotas, nil
}

func quotaMeter(subscription, zone string, quota []byte) (*schemas.QuotaMeter, error) {
	var q schemas.Quota
	if err := json.Unmarshal(quota, &q); err != nil {
		return nil, err
	}
	location, err := time.LoadLocation(zone)
	if err != nil {
		return nil, err
	}
	return schemas.NewQuotaMeter(&q, subscription, location)
}

// Meter is the subscription's quota in the customer's time zone; nil without one.
func (sub *Subscription) Meter(c *Customer) (*schemas.QuotaMeter, error) {
	if sub.Quota == nil {
		return nil, nil
	}
	location, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return nil, fmt.Errorf("quota of subscription %s: %w", sub.ID, err)
	}
	m, err := schemas.NewQuotaMeter(sub.Quota, sub.ID, location)
	if err != nil {
		return nil, fmt.Errorf("quota of subscription %s: %w", sub.ID, err)
	}
	m.Customer, m.Account = c.ID, c.Account
	return m, nil
}

// QuotaPeriod names a row of quota use.
type QuotaPeriod struct {
	Quota string // schemas.QuotaMeter.ID
	Start int64  // µs
}

type quotaRow struct {
	QuotaPeriod
	used schemas.Decimal
	told int
}

func readQuotaUse(ctx context.Context, q querier, of []QuotaPeriod) (map[QuotaPeriod]quotaRow, error) {
	args := make([]any, 0, 2*len(of))
	for _, p := range of {
		args = append(args, p.Quota, p.Start)
	}
	rows, err := q.QueryContext(ctx, `WITH wanted (quota, period_start) AS (VALUES `+
		strings.TrimSuffix(strings.Repeat("(CAST(? AS TEXT), CAST(? AS BIGINT)), ", len(of)), ", ")+`)
		SELECT u.quota, u.period_start, u.used_units, u.used_nanos, u.told FROM wanted w CROSS JOIN quota_use u
		WHERE u.quota = w.quota AND u.period_start = w.period_start`, args...)
	all, err := scanAll(rows, err, func(row scanner) (r quotaRow, err error) {
		return r, row.Scan(&r.Quota, &r.Start, &r.used.Units, &r.used.Nanos, &r.told)
	})
	found := make(map[QuotaPeriod]quotaRow, len(all))
	for _, r := range all {
		found[r.QuotaPeriod] = r
	}
	return found, err
}

// QuotaUses are what was used in periods; one that is not there has no use yet.
func (s *Store) QuotaUses(ctx context.Context, of []QuotaPeriod) (map[QuotaPeriod]schemas.Decimal, error) {
	found := make(map[QuotaPeriod]schemas.Decimal, len(of))
	for chunk := range slices.Chunk(of, quotasPerQuery) {
		rows, err := readQuotaUse(ctx, s.read, chunk)
		if err != nil {
			return nil, fmt.Errorf("read quota use: %w", err)
		}
		for key, row := range rows {
			found[key] = row.used
		}
	}
	return found, nil
}

// addQuotaUse adds to the periods' use. A sum past 64 bits stays at the greatest:
// no limit is near it.
func addQuotaUse(ctx context.Context, w *writeTx, uses []QuotaUse, at time.Time) error {
	keys := make([]QuotaPeriod, len(uses))
	for i, u := range uses {
		keys[i] = QuotaPeriod{u.Quota.ID, u.Period.Start.UnixMicro()}
	}
	before, err := holdQuotaUse(ctx, w, uses, keys)
	if err != nil {
		return err
	}
	args := make([]any, 0, 6*len(uses))
	for i, u := range uses {
		row := before[keys[i]]
		used, err := row.used.Add(u.Used)
		if errors.Is(err, schemas.ErrOverflow) {
			used = schemas.Decimal{Units: math.MaxInt64}
		}
		for _, percent := range u.Quota.Reached(used, row.told) {
			if err := tellQuota(ctx, w, &u, used, percent, at); err != nil {
				return err
			}
			row.told = percent
		}
		args = append(args, keys[i].Quota, keys[i].Start, microsOrNull(u.Period.End), used.Units, int64(used.Nanos), row.told)
	}
	return w.exec(ctx, `INSERT INTO quota_use (quota, period_start, period_end, used_units, used_nanos, told) VALUES `+
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?), ", len(uses)), ", ")+`
		ON CONFLICT (quota, period_start) DO UPDATE SET used_units = excluded.used_units, used_nanos = excluded.used_nanos, told = excluded.told`, args...)
}

// holdQuotaUse reads the periods' use, which stays so until the transaction ends:
// another partition may count the same subscription.
func holdQuotaUse(ctx context.Context, w *writeTx, uses []QuotaUse, keys []QuotaPeriod) (map[QuotaPeriod]quotaRow, error) {
	if w.forUpdate != "" {
		args := make([]any, 0, 3*len(uses))
		for i, u := range uses {
			args = append(args, keys[i].Quota, keys[i].Start, microsOrNull(u.Period.End))
		}
		// A row that is there is held too, and in the order of the keys.
		err := w.exec(ctx, `INSERT INTO quota_use (quota, period_start, period_end, used_units, used_nanos, told) VALUES `+
			strings.TrimSuffix(strings.Repeat("(?, ?, ?, 0, 0, 0), ", len(uses)), ", ")+`
			ON CONFLICT (quota, period_start) DO UPDATE SET told = quota_use.told`, args...)
		if err != nil {
			return nil, err
		}
	}
	return readQuotaUse(ctx, w.conn, keys)
}

// HasAPIRoute reports whether an endpoint of an API version is registered, also
// by a route of every endpoint; api "" stands for any.
func (s *Store) HasAPIRoute(ctx context.Context, api, version, endpoint string) (bool, error) {
	var has bool
	err := s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM routes WHERE version = ? AND endpoint IN (?, '') AND (? = '' OR api = ?))`,
		version, endpoint, api, api).Scan(&has)
	if err != nil {
		return false, fmt.Errorf("look for a route: %w", engineError(err))
	}
	return has, nil
}
