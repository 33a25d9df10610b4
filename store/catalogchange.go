package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// CatalogChange is one field of a thing in the catalog that is made ('+'),
// changed ('~') or ended ('-'). Before and After are JSON, "" where there is none.
type CatalogChange struct {
	Op                   rune
	Noun, Name           string
	Field, Before, After string // Field "": the thing itself
}

// String is a line of the difference.
func (c CatalogChange) String() string {
	line := fmt.Sprintf("%c %s %s", c.Op, c.Noun, c.Name)
	switch {
	case c.Field == "":
		return line
	case c.Before == "":
		return line + " " + c.Field + ": " + c.After
	case c.After == "":
		return line + " " + c.Field + ": " + c.Before + " is left out"
	}
	return line + " " + c.Field + ": " + c.Before + " → " + c.After
}

// unshown are fields that say nothing of what was asked for, named those that
// are in the name of what is made.
var (
	unshown = map[string]bool{"id": true, "createdAt": true, "customer": true, "account": true}
	named   = map[string]bool{"apiName": true, "apiVersion": true, "customerName": true}
)

// changesOf reads an entry of the audit log; name is the customer's.
func changesOf(customer string, a *Audit) []CatalogChange {
	if a.Noun == "route" {
		return routeChanges(a)
	}
	c := CatalogChange{Op: '~', Noun: a.Noun, Name: customer}
	if sub, ok := a.After.(Subscription); ok {
		c.Name += " " + sub.API + " " + sub.Version
	}
	before, after := fieldsOf(a.Before), fieldsOf(a.After)
	var list []CatalogChange
	if a.Before == nil {
		c.Op = '+'
		list = append(list, c)
	}
	if a.Noun == "key" {
		return list
	}
	for _, field := range slices.Sorted(maps.Keys(union(before, after))) {
		if before[field] == after[field] || unshown[field] || a.Before == nil && named[field] || after[field] == `""` && before[field] == "" {
			continue
		}
		one := c
		one.Field, one.Before, one.After = field, before[field], after[field]
		if field == "endsAt" && c.Op == '~' {
			one.Op = '-'
		}
		list = append(list, one)
	}
	return list
}

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// routeChanges: prices are only ever added.
func routeChanges(a *Audit) (list []CatalogChange) {
	after, _ := a.After.(Route)
	before, _ := a.Before.(Route)
	name := strings.TrimSpace(after.API + " " + after.Version + " " + after.Endpoint)
	if a.Before == nil {
		list = append(list, CatalogChange{Op: '+', Noun: "route", Name: name})
	}
	for _, p := range after.Prices {
		if !slices.ContainsFunc(before.Prices, func(o Price) bool { return o.Version == p.Version }) {
			list = append(list, CatalogChange{Op: '+', Noun: "price", Name: name + ", " + p.PricingModel,
				Field: "from " + p.EffectiveFrom.Format(time.RFC3339Nano), After: p.Model + " " + string(p.Params)})
		}
	}
	return list
}

// fieldsOf flattens an object: quota.limit and so on, lists whole.
func fieldsOf(v any) map[string]string {
	fields := map[string]string{}
	text, err := json.Marshal(v)
	if err == nil && v != nil {
		flatten(fields, "", text)
	}
	return fields
}

func flatten(to map[string]string, name string, text json.RawMessage) {
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		if !bytes.Equal(text, []byte("null")) {
			to[name] = string(text)
		}
		return
	}
	for key, value := range object {
		if name != "" {
			key = name + "." + key
		}
		flatten(to, key, value)
	}
}

// plainJSON is a value with numbers as their text; nil where it is no JSON.
func plainJSON(text json.RawMessage) any {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return plainNumbers(v)
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = plainNumbers(v[key])
		}
	}
	return v
}
