package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"tallybook/schemas"
)

// maxSubscriptions bounds a customer's subscriptions, ended ones included.
const maxSubscriptions = 10_000

// SubscribedError: the customer has a subscription to the API version at that
// time. It is an ErrExists.
type SubscribedError struct{ API, Version string }

func (e *SubscribedError) Error() string {
	return e.API + " " + e.Version + ": there is a subscription"
}

func (e *SubscribedError) Unwrap() error { return ErrExists }

// Subscribe adds a subscription to a customer; ErrNotFound, ErrExists where one
// to the same API version holds at the same time, *FieldError.
func (s *Store) Subscribe(ctx context.Context, actor string, sub Subscription) (Subscription, error) {
	err := s.transact(ctx, func(w *writeTx) error {
		c, err := readCustomer(ctx, w.conn, sub.Customer)
		if err != nil {
			return err
		}
		return s.subscribe(ctx, w, actor, &c, &sub, "")
	})
	if err != nil {
		return Subscription{}, fmt.Errorf("subscribe customer %s: %w", sub.Customer, err)
	}
	return sub, nil
}

// subscribe fills in sub and inserts it; at is what stands before its fields' names.
func (s *Store) subscribe(ctx context.Context, w *writeTx, actor string, c *Customer, sub *Subscription, at string) error {
	sub.ID, sub.Customer, sub.CreatedAt = newID(), c.ID, s.now()
	if sub.PricingModel == "" {
		sub.PricingModel = c.PricingModel
	}
	if sub.StartsAt.IsZero() {
		sub.StartsAt = sub.CreatedAt
	}
	if err := fitsCatalog(ctx, w, sub, at); err != nil {
		return err
	}
	ends, until := endOf(sub), int64(math.MaxInt64)
	if ends.Valid {
		until = ends.Int64
	}
	if until < sub.StartsAt.UnixMicro() {
		return fieldError(at+"endsAt", "%sendsAt must not be before %s, when the subscription begins", at, sub.StartsAt.Format(time.RFC3339Nano))
	}
	var all, overlapping int
	err := w.conn.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(CASE WHEN api = ? AND version = ? AND starts_at < ? AND (ends_at IS NULL OR ends_at > ? AND ends_at > starts_at) THEN 1 END)
		FROM subscriptions WHERE customer = ?`, sub.API, sub.Version, until, sub.StartsAt.UnixMicro(), c.ID).Scan(&all, &overlapping)
	switch {
	case err != nil:
		return engineError(err)
	case overlapping > 0:
		return &SubscribedError{sub.API, sub.Version}
	case all >= maxSubscriptions:
		return fieldError(at+"apiName", "a customer may have up to %d subscriptions", maxSubscriptions)
	}
	quota, err := quotaText(sub.Quota)
	if err != nil {
		return err
	}
	err = w.exec(ctx, `INSERT INTO subscriptions (`+subscriptionColumns+`) VALUES (`+placeholders(9)+`)`, sub.ID, sub.Customer,
		sub.API, sub.Version, sub.PricingModel, quota, sub.StartsAt.UnixMicro(), ends, sub.CreatedAt.UnixMicro())
	if err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "subscription", Subject: sub.ID, Account: c.Account, After: *sub})
}

// endOf is null of one without an end.
func endOf(sub *Subscription) sql.NullInt64 {
	return sql.NullInt64{Int64: sub.EndsAt.UnixMicro(), Valid: !sub.EndsAt.IsZero()}
}

// fitsCatalog: the API version has a route, and a price of the pricing model
// where it has prices at all; a quota's route is one of its endpoints.
func fitsCatalog(ctx context.Context, w *writeTx, sub *Subscription, at string) error {
	var routes, prices, ofModel int
	err := w.conn.QueryRowContext(ctx, `SELECT COUNT(DISTINCT r.id), COUNT(p.version), COUNT(CASE WHEN p.pricing_model = ? THEN 1 END)
		FROM routes r LEFT JOIN prices p ON p.route = r.id WHERE r.api = ? AND r.version = ?`,
		sub.PricingModel, sub.API, sub.Version).Scan(&routes, &prices, &ofModel)
	switch {
	case err != nil:
		return engineError(err)
	case routes == 0:
		return fieldError(at+"apiName", "%sapiName: no route of %s, version %s, is registered", at, sub.API, sub.Version)
	case prices > 0 && ofModel == 0:
		return fieldError(at+"pricingModelName", "%spricingModelName: no route of %s, version %s, has a price of %s",
			at, sub.API, sub.Version, sub.PricingModel)
	}
	return fitsRoute(ctx, w, sub, at)
}

func fitsRoute(ctx context.Context, w *writeTx, sub *Subscription, at string) error {
	if sub.Quota == nil || sub.Quota.Route == "" {
		return nil
	}
	var n int
	err := w.conn.QueryRowContext(ctx, `SELECT COUNT(*) FROM routes WHERE api = ? AND version = ? AND endpoint IN (?, '')`,
		sub.API, sub.Version, sub.Quota.Route).Scan(&n)
	if err == nil && n == 0 {
		return fieldError(at+"quota.route", "%squota.route: %s is no endpoint of %s, version %s", at, sub.Quota.Route, sub.API, sub.Version)
	}
	return engineError(err)
}

func quotaText(q *schemas.Quota) (sql.NullString, error) {
	if q == nil {
		return sql.NullString{}, nil
	}
	b, err := json.Marshal(q)
	return sql.NullString{String: string(b), Valid: true}, err
}

const subscriptionColumns = `id, customer, api, version, pricing_model, quota, starts_at, ends_at, created_at`

// Subscription reads a customer's subscription; ErrNotFound.
func (s *Store) Subscription(ctx context.Context, customer, id string) (Subscription, error) {
	sub, err := readSubscription(ctx, s.read, customer, id)
	if err != nil {
		return Subscription{}, fmt.Errorf("subscription %s: %w", id, err)
	}
	return sub, nil
}

func readSubscription(ctx context.Context, q querier, customer, id string) (Subscription, error) {
	sub, err := scanSubscription(q.QueryRowContext(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions WHERE id = ? AND customer = ?`, id, customer))
	if errors.Is(err, sql.ErrNoRows) {
		return Subscription{}, ErrNotFound
	}
	return sub, engineError(err)
}

// Subscriptions lists a customer's subscriptions by id, ended ones too, those
// after the given one; limit 0: all of them.
func (s *Store) Subscriptions(ctx context.Context, customer, after string, limit int) ([]Subscription, error) {
	where := filter{}
	where.add(`customer = ? AND id > ?`, customer, after)
	query := `SELECT ` + subscriptionColumns + ` FROM subscriptions` + where.sql() + ` ORDER BY id` + where.limit(limit)
	rows, err := s.read.QueryContext(ctx, query, where.args...)
	list, err := scanAll(rows, err, scanSubscription)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions of %s: %w", customer, err)
	}
	return list, nil
}

func scanSubscription(row scanner) (Subscription, error) {
	var sub Subscription
	var quota sql.NullString
	var starts, created int64
	var ends sql.NullInt64
	err := row.Scan(&sub.ID, &sub.Customer, &sub.API, &sub.Version, &sub.PricingModel, &quota, &starts, &ends, &created)
	if err != nil {
		return sub, err
	}
	sub.StartsAt, sub.CreatedAt = time.UnixMicro(starts).UTC(), time.UnixMicro(created).UTC()
	if ends.Valid {
		sub.EndsAt = time.UnixMicro(ends.Int64).UTC()
	}
	if quota.Valid {
		sub.Quota = new(schemas.Quota)
		err = json.Unmarshal([]byte(quota.String), sub.Quota)
	}
	return sub, err
}

// SubscriptionUpdate says what to change of a subscription.
type SubscriptionUpdate struct {
	SetQuota bool
	Quota    *schemas.Quota // nil: no limit
	EndsAt   time.Time      // zero: as it is
}

// UpdateSubscription changes a subscription's quota or end; ErrNotFound. An end
// in the past, or behind the one that it has, is a *FieldError.
func (s *Store) UpdateSubscription(ctx context.Context, actor, customer, id string, u SubscriptionUpdate) (Subscription, error) {
	return s.changeSubscription(ctx, customer, id, func(w *writeTx, c *Customer, sub *Subscription) error {
		return s.updateSubscription(ctx, w, actor, c, sub, &u, "")
	})
}

// EndSubscription ends a subscription now; one that has ended stays as it is.
// ErrNotFound.
func (s *Store) EndSubscription(ctx context.Context, actor, customer, id string) (Subscription, error) {
	return s.changeSubscription(ctx, customer, id, func(w *writeTx, c *Customer, sub *Subscription) error {
		return s.endSubscription(ctx, w, actor, c, sub)
	})
}

// end: one that has not begun by then ends when it would begin.
func (sub *Subscription) end(at time.Time) {
	if sub.EndsAt = at; at.Before(sub.StartsAt) {
		sub.EndsAt = sub.StartsAt
	}
}

func (s *Store) changeSubscription(ctx context.Context, customer, id string, change func(*writeTx, *Customer, *Subscription) error) (Subscription, error) {
	var sub Subscription
	err := s.transact(ctx, func(w *writeTx) error {
		c, err := readCustomer(ctx, w.conn, customer)
		if err != nil {
			return err
		}
		if sub, err = readSubscription(ctx, w.conn, customer, id); err != nil {
			return err
		}
		return change(w, &c, &sub)
	})
	if err != nil {
		return Subscription{}, fmt.Errorf("subscription %s: %w", id, err)
	}
	return sub, nil
}

// updateSubscription: at is what stands before the fields' names.
func (s *Store) updateSubscription(ctx context.Context, w *writeTx, actor string, c *Customer, sub *Subscription, u *SubscriptionUpdate, at string) error {
	before := *sub
	if u.SetQuota {
		sub.Quota = u.Quota
	}
	switch {
	case u.EndsAt.IsZero() || u.EndsAt.Equal(sub.EndsAt):
	case u.EndsAt.Before(s.now()):
		return fieldError(at+"endsAt", "%sendsAt must not lie in the past", at)
	case !sub.EndsAt.IsZero() && sub.EndsAt.Before(u.EndsAt):
		return fieldError(at+"endsAt", "%sendsAt must not be after %s, when it ends already; subscribe anew", at, sub.EndsAt.Format(time.RFC3339Nano))
	default:
		sub.end(u.EndsAt)
	}
	if err := fitsRoute(ctx, w, sub, at); err != nil {
		return err
	}
	return s.writeSubscription(ctx, w, Audit{Actor: actor, Action: "change"}, c, before, sub)
}

func (s *Store) endSubscription(ctx context.Context, w *writeTx, actor string, c *Customer, sub *Subscription) error {
	before := *sub
	if now := s.now(); sub.EndsAt.IsZero() || now.Before(sub.EndsAt) {
		sub.end(now)
	}
	return s.writeSubscription(ctx, w, Audit{Actor: actor, Action: "end"}, c, before, sub)
}

// writeSubscription writes what changed, if anything did.
func (s *Store) writeSubscription(ctx context.Context, w *writeTx, a Audit, c *Customer, before Subscription, sub *Subscription) error {
	quota, err := quotaText(sub.Quota)
	if err != nil {
		return err
	}
	if was, err := quotaText(before.Quota); err != nil || was == quota && before.EndsAt.Equal(sub.EndsAt) {
		return err
	}
	if err := w.exec(ctx, `UPDATE subscriptions SET quota = ?, ends_at = ? WHERE id = ?`, quota, endOf(sub), sub.ID); err != nil {
		return err
	}
	a.Noun, a.Subject, a.Account, a.Before, a.After = "subscription", sub.ID, c.Account, before, *sub
	return s.audit(ctx, w, a)
}
