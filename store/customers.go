package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"tallybook/schemas"
)

// Customer uses APIs with a key of its own, and is billed for it.
type Customer struct {
	ID           string    `json:"id"`
	Account      string    `json:"account"` // whose events its are; "" when it is made: one of its own id
	Name         string    `json:"customerName"`
	Address      string    `json:"address"`
	Email        string    `json:"email"`
	PricingModel string    `json:"pricingModelName"` // of subscriptions that name none
	Timezone     string    `json:"timezone"`         // IANA name
	Currency     string    `json:"currency"`         // ISO 4217; never changed, and one for all customers of an account
	CreatedAt    time.Time `json:"createdAt"`

	Taxes   []schemas.Tax       `json:"taxes,omitempty"`   // on top of what the lines of an invoice come to
	Minimum schemas.DecimalText `json:"minimum,omitempty"` // what the lines of a month come to at least; "": none
}

// Subscription lets a customer use an API version in [StartsAt, EndsAt).
type Subscription struct {
	ID           string         `json:"id"`
	Customer     string         `json:"customer"`
	API          string         `json:"apiName"`
	Version      string         `json:"apiVersion"`
	PricingModel string         `json:"pricingModelName"`
	Quota        *schemas.Quota `json:"quota"`           // nil: no limit
	StartsAt     time.Time      `json:"startsAt"`        // zero when it is made: now
	EndsAt       time.Time      `json:"endsAt,omitzero"` // zero: it goes on
	CreatedAt    time.Time      `json:"createdAt"`
}

// Active reports whether the subscription holds at t.
func (s *Subscription) Active(t time.Time) bool {
	return !t.Before(s.StartsAt) && (s.EndsAt.IsZero() || t.Before(s.EndsAt))
}

// CreateCustomer makes a customer, its key (under the hash of its text) and its
// subscriptions; nil subscriptions: one to every API version that has a price of
// the pricing model. ErrExists: the key is another's. *FieldError.
func (s *Store) CreateCustomer(ctx context.Context, actor, key string, c Customer, subs []Subscription) (Customer, []Subscription, error) {
	c.ID = newID()
	err := s.transact(ctx, func(w *writeTx) error {
		if err := s.createCustomer(ctx, w, actor, key, &c); err != nil {
			return err
		}
		if subs == nil {
			var err error
			if subs, err = everyAPI(ctx, w, c.PricingModel); err != nil {
				return err
			}
		}
		for i := range subs {
			if err := s.subscribe(ctx, w, actor, &c, &subs[i], fmt.Sprintf("subscriptions[%d].", i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Customer{}, nil, fmt.Errorf("create customer: %w", err)
	}
	return c, subs, nil
}

// createCustomer makes a customer of c.ID, and its key.
func (s *Store) createCustomer(ctx context.Context, w *writeTx, actor, key string, c *Customer) error {
	c.CreatedAt = s.now()
	if c.Account == "" {
		c.Account = c.ID
	}
	if err := sameCurrency(ctx, w, c); err != nil {
		return err
	}
	if err := s.insertCustomerKey(ctx, w, actor, key, c); err != nil {
		return err
	}
	taxes, err := taxesText(c.Taxes)
	if err != nil {
		return err
	}
	err = w.exec(ctx, `INSERT INTO customers (`+customerColumns+`) VALUES (`+placeholders(11)+`)`,
		c.ID, c.Account, c.Name, c.Address, c.Email, c.PricingModel, c.Timezone, c.Currency, c.CreatedAt.UnixMicro(), taxes, string(c.Minimum))
	if err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "create", Noun: "customer", Subject: c.ID, Account: c.Account, After: *c})
}

func (s *Store) insertCustomerKey(ctx context.Context, w *writeTx, actor, key string, c *Customer) error {
	_, err := s.insertKey(ctx, w, actor, key, Key{Role: RoleAccount, Account: c.Account, Customer: c.ID, Name: "apiKey of " + c.Name})
	return err
}

// sameCurrency: amounts of an account add up, so they are of one currency.
func sameCurrency(ctx context.Context, w *writeTx, c *Customer) error {
	var is string
	err := w.conn.QueryRowContext(ctx, `SELECT currency FROM customers WHERE account = ? AND currency <> ? LIMIT 1`, c.Account, c.Currency).Scan(&is)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return engineError(err)
	}
	return fieldError("currency", "currency must be %s, as that of the account's other customers", is)
}

// everyAPI are subscriptions to the API versions with a price of the pricing model.
func everyAPI(ctx context.Context, w *writeTx, pricingModel string) ([]Subscription, error) {
	rows, err := w.conn.QueryContext(ctx, `SELECT DISTINCT r.api, r.version FROM prices p JOIN routes r ON r.id = p.route
		WHERE p.pricing_model = ? ORDER BY r.api, r.version`, pricingModel)
	return scanAll(rows, err, func(row scanner) (sub Subscription, err error) {
		return sub, row.Scan(&sub.API, &sub.Version)
	})
}

const customerColumns = `id, account, name, address, email, pricing_model, timezone, currency, created_at, taxes, minimum`

// Customer reads a customer; ErrNotFound.
func (s *Store) Customer(ctx context.Context, id string) (Customer, error) {
	c, err := readCustomer(ctx, s.read, id)
	if err != nil {
		return Customer{}, fmt.Errorf("customer %s: %w", id, err)
	}
	return c, nil
}

func readCustomer(ctx context.Context, q querier, id string) (Customer, error) {
	c, err := scanCustomer(q.QueryRowContext(ctx, `SELECT `+customerColumns+` FROM customers WHERE id = ?`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Customer{}, ErrNotFound
	}
	return c, engineError(err)
}

// CustomerFilter narrows Customers; empty fields do not.
type CustomerFilter struct {
	Account string
	Text    string // part of a name, an account or an e-mail address, in letters of any size; or an id
	After   string
	Limit   int
}

// Customers lists customers by id.
func (s *Store) Customers(ctx context.Context, f CustomerFilter) ([]Customer, error) {
	where := filter{}
	where.add(`id > ?`, f.After)
	if f.Account != "" {
		where.add(`account = ?`, f.Account)
	}
	if f.Text != "" {
		// Engines know the small letters of ASCII alone, so a name is also looked for as it was typed.
		escape := strings.NewReplacer("!", "!!", "%", "!%", "_", "!_")
		typed, small := "%"+escape.Replace(f.Text)+"%", "%"+escape.Replace(strings.ToLower(f.Text))+"%"
		where.add(`(name LIKE ? ESCAPE '!' OR LOWER(name) LIKE ? ESCAPE '!' OR LOWER(account) LIKE ? ESCAPE '!' OR LOWER(email) LIKE ? ESCAPE '!' OR id = ?)`,
			typed, small, small, small, f.Text)
	}
	query := `SELECT ` + customerColumns + ` FROM customers` + where.sql() + ` ORDER BY id` + where.limit(f.Limit)
	rows, err := s.read.QueryContext(ctx, query, where.args...)
	list, err := scanAll(rows, err, scanCustomer)
	if err != nil {
		return nil, fmt.Errorf("list customers: %w", err)
	}
	return list, nil
}

func scanCustomer(row scanner) (Customer, error) {
	var c Customer
	var at int64
	var taxes, minimum string
	err := row.Scan(&c.ID, &c.Account, &c.Name, &c.Address, &c.Email, &c.PricingModel, &c.Timezone, &c.Currency, &at, &taxes, &minimum)
	if err != nil {
		return c, err
	}
	c.CreatedAt, c.Minimum = time.UnixMicro(at).UTC(), schemas.DecimalText(minimum)
	return c, json.Unmarshal([]byte(taxes), &c.Taxes)
}

func taxesText(taxes []schemas.Tax) (string, error) {
	if len(taxes) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal(taxes)
	return string(b), err
}

// CustomerUpdate says what to change of a customer; nil fields stay.
type CustomerUpdate struct {
	Name, Address, Email, PricingModel, Timezone *string
	Taxes                                        *[]schemas.Tax
	Minimum                                      *schemas.DecimalText
}

// UpdateCustomer changes a customer; ErrNotFound. Another pricing model is for
// later subscriptions: those there are keep theirs.
func (s *Store) UpdateCustomer(ctx context.Context, actor, id string, u CustomerUpdate) (Customer, error) {
	var c Customer
	err := s.transact(ctx, func(w *writeTx) (err error) {
		if c, err = readCustomer(ctx, w.conn, id); err != nil {
			return err
		}
		return s.updateCustomer(ctx, w, actor, &c, &u)
	})
	if err != nil {
		return Customer{}, fmt.Errorf("change customer %s: %w", id, err)
	}
	return c, nil
}

func (s *Store) updateCustomer(ctx context.Context, w *writeTx, actor string, c *Customer, u *CustomerUpdate) error {
	before := *c
	for _, f := range []struct{ to, from *string }{{&c.Name, u.Name}, {&c.Address, u.Address}, {&c.Email, u.Email},
		{&c.PricingModel, u.PricingModel}, {&c.Timezone, u.Timezone}, {(*string)(&c.Minimum), (*string)(u.Minimum)}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if u.Taxes != nil && !slices.Equal(*u.Taxes, c.Taxes) {
		c.Taxes = *u.Taxes
	}
	if reflect.DeepEqual(*c, before) {
		return nil
	}
	taxes, err := taxesText(c.Taxes)
	if err != nil {
		return err
	}
	err = w.exec(ctx, `UPDATE customers SET name = ?, address = ?, email = ?, pricing_model = ?, timezone = ?, taxes = ?, minimum = ? WHERE id = ?`,
		c.Name, c.Address, c.Email, c.PricingModel, c.Timezone, taxes, string(c.Minimum), c.ID)
	if err != nil {
		return err
	}
	return s.audit(ctx, w, Audit{Actor: actor, Action: "change", Noun: "customer", Subject: c.ID, Account: c.Account, Before: before, After: *c})
}

// CloseCustomer ends a customer's subscriptions and keys now; done again it
// changes nothing. The customer stays, with its usage and invoices. ErrNotFound.
func (s *Store) CloseCustomer(ctx context.Context, actor, id string) error {
	err := s.transact(ctx, func(w *writeTx) error {
		c, err := readCustomer(ctx, w.conn, id)
		if err != nil {
			return err
		}
		rows, err := w.conn.QueryContext(ctx, `SELECT `+subscriptionColumns+` FROM subscriptions WHERE customer = ? ORDER BY id`, id)
		subs, err := scanAll(rows, err, scanSubscription)
		if err != nil {
			return err
		}
		for i := range subs {
			if err := s.endSubscription(ctx, w, actor, &c, &subs[i]); err != nil {
				return err
			}
		}
		rows, err = w.conn.QueryContext(ctx, `SELECT id FROM keys WHERE customer = ? AND revoked_at IS NULL ORDER BY id`, id)
		keys, err := scanAll(rows, err, scanOne[string])
		for i := 0; err == nil && i < len(keys); i++ {
			err = s.revokeKey(ctx, w, actor, "", keys[i])
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("close customer %s: %w", id, err)
	}
	return nil
}

// Currencies are those of an account's customers, or of all ("").
func (s *Store) Currencies(ctx context.Context, account string) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT DISTINCT currency FROM customers WHERE ? = '' OR account = ? ORDER BY currency LIMIT 2`, account, account)
	list, err := scanAll(rows, err, scanOne[string])
	if err != nil {
		return nil, fmt.Errorf("read currencies: %w", err)
	}
	return list, nil
}
