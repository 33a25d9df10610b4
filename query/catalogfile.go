package query

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json"

	"tallybook/api"
	"tallybook/schemas"
	"tallybook/store"
)

// catalogFile is the form of a catalog in YAML: the words are those of the API.
type catalogFile struct {
	Routes    []fileRoute    `json:"routes"`
	Customers []fileCustomer `json:"customers"`
}

type fileRoute struct {
	API      string      `json:"apiName"`
	Version  string      `json:"apiVersion"`
	Endpoint *string     `json:"endpointName"`
	Prices   []priceBody `json:"prices"`
}

type fileCustomer struct {
	ID            string               `json:"id"`
	APIKey        *string              `json:"apiKey"`
	Account       string               `json:"account"`
	Name          string               `json:"customerName"`
	Address       *string              `json:"address"`
	Email         *string              `json:"email"`
	PricingModel  *string              `json:"pricingModelName"`
	Timezone      *string              `json:"timezone"`
	Currency      *string              `json:"currency"`
	Taxes         *[]schemas.Tax       `json:"taxes"`
	Minimum       *schemas.DecimalText `json:"minimum"`
	Subscriptions *[]fileSubscription  `json:"subscriptions"`
}

type fileSubscription struct {
	API          string             `json:"apiName"`
	Version      string             `json:"apiVersion"`
	PricingModel string             `json:"pricingModelName"`
	StartsAt     *string            `json:"startsAt"`
	EndsAt       *string            `json:"endsAt"`
	Unsubscribed bool               `json:"unsubscribed"`
	Quota        stdjson.RawMessage `json:"quota"` // null: no limit; left out: as it is
}

// Limits of a catalog file: its changes are one transaction, which checkpoints
// wait for.
const (
	maxCatalogFile    = 16 << 20
	maxCatalogEntries = 20_000 // routes, prices, customers and subscriptions together
	maxFileProblems   = 20     // that are told at once
)

// CatalogFile is a catalog that was read, and the lines that its parts stand at.
type CatalogFile struct {
	store.Catalog
	where *located
}

// ReadCatalogFile reads and checks a catalog in YAML. What is wrong is told by
// line, field and what is allowed.
func ReadCatalogFile(in io.Reader) (*CatalogFile, error) {
	text, err := io.ReadAll(io.LimitReader(in, maxCatalogFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxCatalogFile {
		return nil, fmt.Errorf("the file may have up to %d bytes", maxCatalogFile)
	}
	where, err := readYAML(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var file catalogFile
	if err := json.Unmarshal(where.json, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, where.explain(err)
	}
	f := &CatalogFile{where: where}
	var bad faults
	f.Catalog = bad.catalog(&file)
	return f, where.problems(bad)
}

// Explain puts the line of its field in front of an error of ApplyCatalog.
func (f *CatalogFile) Explain(err error) error {
	var field *store.FieldError
	if !errors.As(err, &field) {
		return err
	}
	return &lineError{f.where.lineOf(field.Field), field.Problem}
}

// explain says which value has the wrong type, or which name nobody knows.
func (l *located) explain(err error) error {
	var at *json.SemanticError
	if !errors.As(err, &at) {
		return err
	}
	path := pathOf(string(at.JSONPointer))
	if errors.Is(err, json.ErrUnknownName) {
		parent := path[:max(strings.LastIndexByte(path, '.'), 0)]
		return &lineError{l.lineOf(path), fmt.Sprintf("%s is unknown; allowed in %s are %s", path, orTop(parent), namesAt(parent))}
	}
	return &lineError{l.lineOf(path), fmt.Sprintf("%s must be %s", orTop(path), typeName(at.GoType))}
}

func orTop(path string) string {
	if path == "" {
		return "the file"
	}
	return path
}

// namesAt are the fields of what a path leads to.
func namesAt(path string) string {
	t := reflect.TypeFor[catalogFile]()
	for part := range strings.SplitSeq(path, ".") {
		name, _, _ := strings.Cut(part, "[")
		for i := range t.NumField() {
			if field := t.Field(i); field.Tag.Get("json") == name {
				t = field.Type
				for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
					t = t.Elem()
				}
				break
			}
		}
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, t.Field(i).Tag.Get("json"))
	}
	return strings.Join(names, ", ")
}

func typeName(t reflect.Type) string {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == nil:
		return "of another type"
	case t == reflect.TypeFor[schemas.DecimalText]():
		return "a decimal"
	case t.Kind() == reflect.String:
		return "a text: put it in quotes"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a map of names and values"
}

func (l *located) problems(bad faults) error {
	var list []error
	for i, f := range bad {
		if i == maxFileProblems {
			list = append(list, fmt.Errorf("and %d more", len(bad)-i))
			break
		}
		list = append(list, &lineError{l.lineOf(f.Field), f.Error})
	}
	return errors.Join(list...)
}

func (f *faults) catalog(file *catalogFile) (c store.Catalog) {
	entries := len(file.Routes) + len(file.Customers)
	for i := range file.Routes {
		r, at := &file.Routes[i], fmt.Sprintf("routes[%d].", i)
		f.name(at+"apiName", r.API, true)
		f.name(at+"apiVersion", r.Version, true)
		route := store.Route{API: r.API, Version: r.Version}
		if r.Endpoint != nil {
			f.name(at+"endpointName", *r.Endpoint, true)
			route.Endpoint = *r.Endpoint
		}
		for n := range r.Prices {
			p := &r.Prices[n]
			if len(p.Params) == 0 {
				p.Params = stdjson.RawMessage("{}") // what is missing is named
			}
		}
		route.Prices = f.prices(at+"prices", r.Prices)
		c.Routes = append(c.Routes, route)
		entries += len(r.Prices)
	}
	for i := range file.Customers {
		c.Customers = append(c.Customers, f.fileCustomer(fmt.Sprintf("customers[%d].", i), &file.Customers[i]))
		if subs := file.Customers[i].Subscriptions; subs != nil {
			entries += len(*subs)
		}
	}
	if entries > maxCatalogEntries {
		*f = append(*f, api.Field{Error: fmt.Sprintf("the file has %d routes, prices, customers and subscriptions; at most %d are applied at once: split it", entries, maxCatalogEntries)})
	}
	return c
}

func (f *faults) fileCustomer(at string, b *fileCustomer) store.CatalogCustomer {
	c := store.CatalogCustomer{ID: b.ID, Account: b.Account, Name: b.Name, CustomerUpdate: store.CustomerUpdate{Address: b.Address,
		Email: b.Email, PricingModel: b.PricingModel, Timezone: b.Timezone, Taxes: b.Taxes, Minimum: b.Minimum}}
	if b.ID != "" && strings.Trim(b.ID, "0123456789abcdef") != "" || len(b.ID) > 64 {
		f.add(at+"id", "must be that of a customer: up to 64 hexadecimal digits; leave it out of a new one")
	}
	f.name(at+"customerName", b.Name, true)
	f.account(at+"account", b.Account)
	if b.APIKey != nil {
		c.Key = *b.APIKey
		f.apiKey(at+"apiKey", c.Key)
	}
	if b.Currency != nil {
		c.Currency = *b.Currency
		f.currency(at+"currency", c.Currency)
	}
	for _, x := range []struct {
		field string
		text  *string
		check func(field, text string)
	}{{"address", b.Address, f.address}, {"email", b.Email, f.email}, {"timezone", b.Timezone, f.timezone},
		{"pricingModelName", b.PricingModel, func(field, text string) { f.name(field, text, true) }}} {
		if x.text != nil {
			x.check(at+x.field, *x.text)
		}
	}
	if b.Taxes != nil {
		f.addAll(schemas.CheckTaxes(at+"taxes", *b.Taxes))
	}
	if b.Minimum != nil {
		f.addAll(schemas.CheckMinimum(at+"minimum", *b.Minimum))
	}
	if b.Subscriptions != nil {
		c.Subscriptions = &[]store.CatalogSubscription{}
		for i := range *b.Subscriptions {
			*c.Subscriptions = append(*c.Subscriptions, f.fileSubscription(fmt.Sprintf("%ssubscriptions[%d].", at, i), &(*b.Subscriptions)[i]))
		}
	}
	return c
}

func (f *faults) fileSubscription(at string, b *fileSubscription) store.CatalogSubscription {
	f.name(at+"apiName", b.API, true)
	f.name(at+"apiVersion", b.Version, true)
	f.name(at+"pricingModelName", b.PricingModel, false)
	s := store.CatalogSubscription{API: b.API, Version: b.Version, PricingModel: b.PricingModel, StartsAt: f.time(at+"startsAt", b.StartsAt),
		Unsubscribed: b.Unsubscribed}
	s.EndsAt = f.time(at+"endsAt", b.EndsAt)
	s.SetQuota, s.Quota = f.quotaOf(at+"quota", b.Quota)
	if b.Unsubscribed && (b.EndsAt != nil || s.Quota != nil) {
		f.add(at+"unsubscribed", "ends the subscription now: leave out endsAt and quota")
	}
	return s
}
