package query

import (
	"net/http"
	"time"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// quotaView is a subscription's quota with its use in the period that now is in.
type quotaView struct {
	Subscription string          `json:"subscription"`
	API          string          `json:"apiName"`
	Version      string          `json:"apiVersion"`
	Quota        schemas.Quota   `json:"quota"`
	PeriodStart  time.Time       `json:"periodStart"`
	PeriodEnd    *time.Time      `json:"periodEnd"` // null: it never ends
	Used         schemas.Decimal `json:"used"`
	Remaining    schemas.Decimal `json:"remaining"`
	Percent      int64           `json:"percent"` // of the limit, rounded down
}

// listQuotas lists the quotas of subscriptions that hold now. Pages are of
// subscriptions, so that one may be shorter than limit.
func (q *Server) listQuotas(w http.ResponseWriter, r *http.Request) error {
	c, subs, limit, err := q.subscriptionsAsked(r)
	if err != nil {
		return err
	}
	next := ""
	if len(subs) > limit {
		subs, next = subs[:limit], subs[limit-1].ID
	}
	list, err := q.quotasNow(r, &c, subs)
	if err != nil {
		return err
	}
	body := map[string]any{"quotas": list}
	if next != "" {
		body["next"] = next
	}
	api.WriteJSON(w, http.StatusOK, body)
	return nil
}

func (q *Server) quotasNow(r *http.Request, c *store.Customer, subs []store.Subscription) ([]quotaView, error) {
	now := q.cfg.Now()
	list, limits, keys := []quotaView{}, []*schemas.QuotaMeter{}, []store.QuotaPeriod{}
	for i := range subs {
		s := &subs[i]
		m, err := s.Meter(c)
		if err != nil {
			return nil, err
		}
		if m == nil || now.Before(s.StartsAt) || !s.EndsAt.IsZero() && !now.Before(s.EndsAt) {
			continue
		}
		period := m.Periods.At(now)
		v := quotaView{Subscription: s.ID, API: s.API, Version: s.Version, Quota: *s.Quota, PeriodStart: period.Start.UTC()}
		if !period.End.IsZero() {
			end := period.End.UTC()
			v.PeriodEnd = &end
		}
		list, limits, keys = append(list, v), append(limits, m), append(keys, store.QuotaPeriod{Quota: m.ID, Start: period.Start.UnixMicro()})
	}
	uses, err := q.cfg.Store.QuotaUses(r.Context(), keys)
	if err != nil {
		return nil, err
	}
	for i := range list {
		used := uses[keys[i]]
		list[i].Used, list[i].Remaining, list[i].Percent = used, limits[i].Remaining(used), limits[i].Percent(used)
	}
	return list, nil
}
