package query

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"tallybook/store"
)

const catalogHeader = `# The catalog. 'tallybook catalog apply FILE' brings it to what stands here: what
# is left out stays as it is, prices are only added, apiKeys are not shown.
# Subscriptions that have ended are not listed.
`

// exportPage is how many things are read at a time.
const exportPage = 500

// ExportCatalog writes the catalog in the form that ReadCatalogFile reads; to
// apply it changes nothing.
func ExportCatalog(ctx context.Context, st *store.Store, now time.Time, out io.Writer) error {
	routes, err := allOf(func(after string) ([]store.Route, error) {
		return st.Routes(ctx, store.RouteFilter{After: after, Limit: exportPage})
	}, func(r *store.Route) string { return r.ID })
	if err != nil {
		return err
	}
	customers, err := allOf(func(after string) ([]store.Customer, error) {
		return st.Customers(ctx, store.CustomerFilter{After: after, Limit: exportPage})
	}, func(c *store.Customer) string { return c.ID })
	if err != nil {
		return err
	}
	slices.SortFunc(routes, func(a, b store.Route) int {
		return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Version, b.Version), cmp.Compare(a.Endpoint, b.Endpoint))
	})
	slices.SortFunc(customers, func(a, b store.Customer) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	routeList, customerList := sequence(), sequence()
	for i := range routes {
		routeList.Content = append(routeList.Content, routeNode(&routes[i]))
	}
	for i := range customers {
		subs, err := st.Subscriptions(ctx, customers[i].ID, "", 0)
		if err != nil {
			return err
		}
		slices.SortFunc(subs, func(a, b store.Subscription) int {
			return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Version, b.Version), a.StartsAt.Compare(b.StartsAt))
		})
		customerList.Content = append(customerList.Content, customerNode(&customers[i], subs, now))
	}
	file := mapping()
	setNode(file, "routes", routeList)
	setNode(file, "customers", customerList)
	if _, err := io.WriteString(out, catalogHeader); err != nil {
		return err
	}
	e := yaml.NewEncoder(out)
	e.SetIndent(2)
	if err := e.Encode(file); err != nil {
		return fmt.Errorf("write the catalog: %w", err)
	}
	return e.Close()
}

// allOf reads a list page by page.
func allOf[T any](page func(after string) ([]T, error), id func(*T) string) (all []T, err error) {
	for after := ""; ; after = id(&all[len(all)-1]) {
		list, err := page(after)
		if all = append(all, list...); err != nil || len(list) < exportPage {
			return all, err
		}
	}
}

func routeNode(r *store.Route) *yaml.Node {
	n := mapping()
	setNode(n, "apiName", textNode(r.API))
	setNode(n, "apiVersion", textNode(r.Version))
	if r.Endpoint != "" {
		setNode(n, "endpointName", textNode(r.Endpoint))
	}
	prices := sequence()
	for _, p := range r.Prices {
		price := mapping()
		setNode(price, "pricingModelName", textNode(p.PricingModel))
		setNode(price, "model", textNode(p.Model))
		setNode(price, "params", jsonNode(p.Params))
		setNode(price, "effectiveFrom", textNode(p.EffectiveFrom.Format(time.RFC3339Nano)))
		prices.Content = append(prices.Content, price)
	}
	setNode(n, "prices", prices)
	return n
}

func customerNode(c *store.Customer, subs []store.Subscription, now time.Time) *yaml.Node {
	n := mapping()
	for _, f := range []struct{ name, text string }{{"id", c.ID}, {"account", c.Account}, {"customerName", c.Name}, {"address", c.Address},
		{"email", c.Email}, {"pricingModelName", c.PricingModel}, {"timezone", c.Timezone}, {"currency", c.Currency}, {"minimum", string(c.Minimum)}} {
		if f.text != "" {
			setNode(n, f.name, textNode(f.text))
		}
	}
	if len(c.Taxes) > 0 {
		setNode(n, "taxes", valueNode(c.Taxes))
	}
	list := sequence()
	for i := range subs {
		if sub := &subs[i]; sub.EndsAt.IsZero() || sub.EndsAt.After(now) {
			list.Content = append(list.Content, subscriptionNode(sub))
		}
	}
	setNode(n, "subscriptions", list)
	return n
}

func subscriptionNode(s *store.Subscription) *yaml.Node {
	n := mapping()
	setNode(n, "apiName", textNode(s.API))
	setNode(n, "apiVersion", textNode(s.Version))
	setNode(n, "pricingModelName", textNode(s.PricingModel))
	setNode(n, "startsAt", textNode(s.StartsAt.Format(time.RFC3339Nano)))
	if !s.EndsAt.IsZero() {
		setNode(n, "endsAt", textNode(s.EndsAt.Format(time.RFC3339Nano)))
	}
	if s.Quota != nil {
		setNode(n, "quota", valueNode(s.Quota))
	}
	return n
}

func mapping() *yaml.Node  { return &yaml.Node{Kind: yaml.MappingNode} }
func sequence() *yaml.Node { return &yaml.Node{Kind: yaml.SequenceNode} }

func setNode(n *yaml.Node, name string, value *yaml.Node) {
	n.Content = append(n.Content, textNode(name), value)
}

// textNode is quoted where it would be read as something else.
func textNode(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

func valueNode(v any) *yaml.Node {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // taxes and quotas always can
	}
	return jsonNode(text)
}

// jsonNode keeps the digits of numbers.
func jsonNode(text json.RawMessage) *yaml.Node {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return textNode(string(text)) // the store has only what was checked
	}
	return anyNode(v)
}

func anyNode(v any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch v := v.(type) {
	case string:
		return textNode(v)
	case json.Number:
		n.Value = v.String()
	case bool:
		n.Value = fmt.Sprint(v)
	case nil:
		n.Value = "null"
	case []any:
		n = sequence()
		n.Style = yaml.FlowStyle
		for _, item := range v {
			n.Content = append(n.Content, anyNode(item))
		}
	case map[string]any:
		n = mapping()
		n.Style = yaml.FlowStyle
		for _, key := range slices.Sorted(maps.Keys(v)) {
			setNode(n, key, anyNode(v[key]))
		}
	}
	return n
}
