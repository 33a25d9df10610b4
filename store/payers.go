package store

import (
	"cmp"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// Payer is what a request says about who pays for it.
type Payer struct{ Account, Customer, Subscription string }

// PayerCustomer is the customer that pays: the one that is named, else that of
// the subscription that is named, else the first of the account. A customer of
// another account never does.
type PayerCustomer struct {
	ID, Currency  string
	Subscriptions []Subscription // by API, version and start, ended ones too; without quotas
}

// PayerCustomers are the customers of those of the payers that have one.
func (v *View) PayerCustomers(payers []Payer) (map[Payer]*PayerCustomer, error) {
	var byCustomer, bySubscription, byAccount []any
	for _, p := range payers {
		switch {
		case p.Customer != "":
			byCustomer = append(byCustomer, p.Customer)
		case p.Subscription != "":
			bySubscription = append(bySubscription, p.Subscription)
		default:
			byAccount = append(byAccount, p.Account)
		}
	}
	found := map[[2]string]*PayerCustomer{} // by account and what names it
	for _, ask := range []struct {
		query string
		names []any
	}{
		{`SELECT id, id, account, currency FROM customers WHERE id IN `, byCustomer},
		{`SELECT s.id, c.id, c.account, c.currency FROM subscriptions s JOIN customers c ON c.id = s.customer WHERE s.id IN `, bySubscription},
		{`SELECT '', id, account, currency FROM customers c WHERE NOT EXISTS (SELECT 1 FROM customers o
			WHERE o.account = c.account AND (o.created_at, o.id) < (c.created_at, c.id)) AND account IN `, byAccount},
	} {
		if err := v.findPayers(found, ask.query, ask.names); err != nil {
			return nil, err
		}
	}
	all := make(map[Payer]*PayerCustomer, len(payers))
	var ids []any
	customers := map[string]*PayerCustomer{}
	for _, p := range payers {
		c := found[[2]string{p.Account, cmp.Or(p.Customer, p.Subscription)}]
		if c == nil {
			continue
		}
		if customers[c.ID] == nil {
			customers[c.ID] = c
			ids = append(ids, c.ID)
		}
		all[p] = customers[c.ID]
	}
	return all, v.readSubscriptions(customers, ids)
}

// payersPerQuery bounds the parameters of a query.
const payersPerQuery = 400

func (v *View) findPayers(found map[[2]string]*PayerCustomer, query string, names []any) error {
	type row struct {
		name, account string
		PayerCustomer
	}
	for chunk := range slices.Chunk(names, payersPerQuery) {
		rows, err := collect(v, func(s scanner) (r row, err error) {
			return r, s.Scan(&r.name, &r.ID, &r.account, &r.Currency)
		}, query+`(`+placeholders(len(chunk))+`)`, chunk...)
		if err != nil {
			return err
		}
		for i := range rows {
			found[[2]string{rows[i].account, rows[i].name}] = &rows[i].PayerCustomer
		}
	}
	return nil
}

func (v *View) readSubscriptions(of map[string]*PayerCustomer, ids []any) error {
	for chunk := range slices.Chunk(ids, payersPerQuery) {
		list, err := collect(v, scanPayerSubscription, `SELECT id, customer, api, version, pricing_model, starts_at, ends_at
			FROM subscriptions WHERE customer IN (`+placeholders(len(chunk))+`)`, chunk...)
		if err != nil {
			return err
		}
		slices.SortFunc(list, func(a, b Subscription) int {
			return cmp.Or(strings.Compare(a.API, b.API), strings.Compare(a.Version, b.Version),
				a.StartsAt.Compare(b.StartsAt), strings.Compare(a.ID, b.ID))
		})
		for _, s := range list {
			c := of[s.Customer]
			c.Subscriptions = append(c.Subscriptions, s)
		}
	}
	return nil
}

func scanPayerSubscription(row scanner) (s Subscription, err error) {
	var starts int64
	var ends sql.NullInt64
	err = row.Scan(&s.ID, &s.Customer, &s.API, &s.Version, &s.PricingModel, &starts, &ends)
	s.StartsAt = time.UnixMicro(starts).UTC()
	if ends.Valid {
		s.EndsAt = time.UnixMicro(ends.Int64).UTC()
	}
	return s, err
}
