package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tallybook/schemas"
)

// storyVerbs are what lines of a script may begin with; what a verb returns goes
// into the file behind " > ".
var storyVerbs = map[string]func(s *story, args []string) string{
	"clock":       (*story).moveClock,
	"price":       (*story).setPrice,
	"customer":    (*story).register,
	"subscribe":   (*story).subscribe,
	"unsubscribe": (*story).unsubscribe,
	"call":        (*story).call,
	"retract":     (*story).retract,
	"job":         (*story).runJob,
	"pay":         (*story).pay,
	"credit":      (*story).credit,
	"void":        (*story).void,
	"get":         (*story).get,
	"may":         (*story).may,
	"invoices":    (*story).showInvoices,
	"download":    (*story).download,
	"mails":       (*story).showMails,
}

const storyVersion = "v1" // of every API of the stories

// parseTime reads a time as scripts have it, to the minute or finer.
func (s *story) parseTime(text string) time.Time {
	s.t.Helper()
	for _, layout := range []string{"2006-01-02T15:04Z07:00", time.RFC3339Nano} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	s.fatal("%q is no time such as 2026-03-01T00:00+01:00", text)
	return time.Time{}
}

// options are pairs of words at a line's end.
func (s *story) options(args []string, known ...string) map[string]string {
	s.t.Helper()
	o := map[string]string{}
	for i := 0; i < len(args); i += 2 {
		if i+1 == len(args) || !strings.Contains(" "+strings.Join(known, " ")+" ", " "+args[i]+" ") {
			s.fatal("what is %q? known are %q, each with a value", args[i], known)
		}
		o[args[i]] = args[i+1]
	}
	return o
}

func (s *story) args(args []string, n int, usage string) {
	s.t.Helper()
	if len(args) < n {
		s.fatal("usage: %s", usage)
	}
}

func (s *story) customer(name string) *storyCustomer {
	s.t.Helper()
	c := s.customers[name]
	if c == nil {
		s.fatal("there is no customer %q", name)
	}
	return c
}

func (s *story) moveClock(args []string) string {
	s.args(args, 1, "clock TIME")
	at := s.parseTime(args[0])
	if at.Before(s.clock.now()) {
		s.fatal("the clock shows %v", s.clock.now())
	}
	s.clock.set(at.UTC())
	return ""
}

// setPrice makes a route or adds a price to one; endpoint * is all of the API's.
func (s *story) setPrice(args []string) string {
	s.args(args, 5, "price MODEL API ENDPOINT|* KIND PARAMS [from TIME]")
	o := s.options(args[5:], "from")
	p := storyPrice{model: args[0], api: args[1], endpoint: args[2], kind: args[3], from: s.clock.now()}
	body := map[string]any{"pricingModelName": p.model, "model": p.kind, "params": json.RawMessage(args[4])}
	if at := o["from"]; at != "" {
		p.from = s.parseTime(at)
		body["effectiveFrom"] = p.from
	}
	if err := json.Unmarshal([]byte(args[4]), &p.params); err != nil {
		s.fatal("params: %v", err)
	}
	s.account.prices = append(s.account.prices, p)
	var routes struct {
		Routes []struct {
			ID, APIName  string
			EndpointName *string
		}
	}
	s.want(200, "GET", "/v1/routes?limit=100", nil, &routes)
	for _, r := range routes.Routes {
		if r.APIName == p.api && (r.EndpointName == nil && p.endpoint == "*" || r.EndpointName != nil && *r.EndpointName == p.endpoint) {
			s.want(200, "PATCH", "/v1/routes/"+r.ID, map[string]any{"prices": []any{body}}, nil)
			return ""
		}
	}
	route := map[string]any{"apiName": p.api, "apiVersion": storyVersion, "endpointName": p.endpoint, "prices": []any{body}}
	if p.endpoint == "*" {
		route["endpointName"] = nil
	}
	s.want(201, "POST", "/v1/routes", route, nil)
	return ""
}

func (s *story) register(args []string) string {
	s.args(args, 5, "customer NAME MODEL ZONE CURRENCY EMAIL [vat PERCENT] [minimum AMOUNT]")
	o := s.options(args[5:], "vat", "minimum")
	zone, err := time.LoadLocation(args[2])
	if err != nil {
		s.fatal("%v", err)
	}
	c := &storyCustomer{name: args[0], model: args[1], zone: zone, currency: args[3], email: args[4],
		vat: o["vat"], minimum: o["minimum"], subs: map[string]*storySubscription{}}
	taxes := []schemas.Tax{}
	if c.vat != "" {
		taxes = append(taxes, schemas.Tax{Name: "VAT", Percent: schemas.DecimalText(c.vat)})
	}
	var made struct{ ID, APIKey, Account string }
	s.want(201, "POST", "/v1/customers", map[string]any{"customerName": c.name, "pricingModelName": c.model, "timezone": args[2], "currency": c.currency,
		"email": c.email, "account": strings.ToLower(c.name), "taxes": taxes, "minimum": c.minimum, "subscriptions": []any{}}, &made)
	c.id, c.key, c.account = made.ID, made.APIKey, made.Account
	s.customers[c.name] = c
	s.known = append(s.known, c.id, "<"+c.name+">")
	return ""
}

func (s *story) subscribe(args []string) string {
	s.args(args, 3, "subscribe CUSTOMER API TIME [quota JSON]")
	c, o := s.customer(args[0]), s.options(args[3:], "quota")
	sub := &storySubscription{api: args[1], start: s.parseTime(args[2])}
	body := map[string]any{"apiName": sub.api, "apiVersion": storyVersion, "pricingModelName": c.model, "startsAt": sub.start}
	if q := o["quota"]; q != "" {
		sub.quota = &schemas.Quota{}
		if err := json.Unmarshal([]byte(q), sub.quota); err != nil {
			s.fatal("quota: %v", err)
		}
		body["quota"] = json.RawMessage(q)
	}
	var made struct{ ID string }
	s.want(201, "POST", "/v1/customers/"+c.id+"/subscriptions", body, &made)
	sub.id = made.ID
	c.subs[sub.api] = sub
	s.known = append(s.known, sub.id, "<"+c.name+" "+sub.api+">")
	return ""
}

func (s *story) unsubscribe(args []string) string {
	s.args(args, 2, "unsubscribe CUSTOMER API")
	c := s.customer(args[0])
	sub := c.subs[args[1]]
	if sub == nil {
		s.fatal("%s has no subscription to %s", c.name, args[1])
	}
	s.want(204, "DELETE", "/v1/customers/"+c.id+"/subscriptions/"+sub.id, nil, nil)
	sub.end = s.clock.now()
	return ""
}

// call posts what a customer's middleware does, one after the other in time.
func (s *story) call(args []string) string {
	s.args(args, 4, "call CUSTOMER API ENDPOINT TIME [times N] [every DURATION] [quantity Q] [id ID] [status CODE]")
	c, o := s.customer(args[0]), s.options(args[4:], "times", "every", "quantity", "id", "status")
	number := func(name string, def int) int {
		if o[name] == "" {
			return def
		}
		n, err := strconv.Atoi(o[name])
		if err != nil || n < 1 || n > 1000 {
			s.fatal("%s %q: want a number from 1 to 1000", name, o[name])
		}
		return n
	}
	every := time.Duration(0)
	if o["every"] != "" {
		var err error
		if every, err = time.ParseDuration(o["every"]); err != nil {
			s.fatal("%v", err)
		}
	}
	at, status, times := s.parseTime(args[3]), number("status", 200), number("times", 1)
	var body []any
	for i := range times {
		s.account.calls++
		call := storyCall{customer: c, api: args[1], endpoint: args[2], at: at.Add(time.Duration(i) * every), id: fmt.Sprintf("call-%d", s.account.calls), quantity: big.NewRat(1, 1)}
		if o["id"] != "" {
			if call.id = o["id"]; times > 1 {
				call.id += "-" + strconv.Itoa(i+1)
			}
		}
		one := map[string]any{"id": call.id, "apiName": call.api, "apiversion": storyVersion, "endPointName": call.endpoint, "clientIPAdress": "203.0.113.7",
			"httpStatusCode": status, "timeTakenInMilliSeconds": 20, "timestamp": call.at.UTC()}
		if o["quantity"] != "" {
			one["quantity"] = json.Number(o["quantity"])
			call.quantity = s.rat(o["quantity"])
		}
		if status >= 400 {
			one["errorCode"], one["errorDescription"] = "E"+o["status"], "it went wrong"
		}
		body = append(body, one)
		s.account.add(call)
	}
	text, err := json.Marshal(body)
	if err != nil {
		s.fatal("%v", err)
	}
	if answer, status := s.ask("POST", "/v1/usage", string(text), c.key); status != 202 || strings.Contains(string(answer), `"rejected"`) {
		s.fatal("got %d %s", status, answer)
	}
	s.settle()
	return ""
}

func (s *story) retract(args []string) string {
	s.args(args, 3, "retract CUSTOMER ID REASON")
	c := s.customer(args[0])
	s.want(202, "POST", "/v1/events/retract", map[string]any{"source": "/v1/usage", "id": args[1], "account": c.account, "topic": "usage",
		"reason": strings.Join(args[2:], " ")}, nil)
	if !s.account.takeBack(c, args[1]) {
		s.fatal("%s has no call %s", c.name, args[1])
	}
	s.settle()
	return ""
}

// runJob runs each twice: the second time changes nothing.
func (s *story) runJob(args []string) (said string) {
	s.args(args, 1, "job NAME…")
	for _, name := range args {
		for range 2 {
			err := s.services.schedule.RunOnce(context.Background(), name, func(text string) { said += text + "\n" })
			if err != nil {
				s.fatal("%s: %v", name, err)
			}
		}
		if name == "invoices" {
			s.checkInvoices()
		}
	}
	s.settle() // mails are events too
	return said
}

func (s *story) pay(args []string) string {
	s.args(args, 1, "pay NUMBER")
	s.want(200, "PATCH", "/v1/invoices/"+url.PathEscape(args[0]), map[string]string{"payment": "paid"}, nil)
	return ""
}

func (s *story) credit(args []string) string {
	s.args(args, 2, "credit NUMBER REASON")
	var note storyDocument
	s.want(201, "POST", "/v1/invoices/"+url.PathEscape(args[0])+"/credit", map[string]string{"reason": strings.Join(args[1:], " ")}, &note)
	s.checkNote(args[0], &note)
	return ""
}

func (s *story) void(args []string) string {
	s.args(args, 1, "void NUMBER")
	var d storyDocument
	s.want(200, "POST", "/v1/invoices/"+url.PathEscape(args[0])+"/void", nil, &d)
	s.settled[d.ID] = true
	return ""
}
