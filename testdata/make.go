//go:build ignore

// Makes the files of this folder anew, the same each time: go run make.go
package main

import (
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	account = "demo"
	days    = 3
)

var (
	rng   = rand.New(rand.NewPCG(2026, 1))
	begin = time.Date(2026, 1, 12, 0, 0, 0, 0, time.UTC)
)

func main() {
	write("access.log", 500, accessLine)
	write("api-errors.ndjson", 40, errorLine)
	write("mail-events.ndjson", 120, mailLine)
	write("plans.ndjson", 300, planLine)
}

// write makes n lines in the order of their times, as a log has them.
func write(name string, n int, line func(i int, at time.Time) string) {
	times := make([]time.Time, n)
	for i := range times {
		times[i] = moment()
	}
	slices.SortFunc(times, time.Time.Compare)
	var b strings.Builder
	for i, at := range times {
		b.WriteString(line(i, at) + "\n")
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		log.Fatal(err)
	}
}

// moment is a second of the three days, more often by day than by night.
func moment() time.Time {
	for {
		at := begin.Add(time.Duration(rng.Int64N(days*86_400)) * time.Second)
		if h := at.Hour(); h >= 8 && h < 20 || rng.IntN(4) == 0 {
			return at
		}
	}
}

func pick(from ...string) string { return from[rng.IntN(len(from))] }

func address() string {
	return pick("192.0.2.", "198.51.100.", "203.0.113.") + fmt.Sprint(1+rng.IntN(40))
}

type route struct {
	weight         int
	method, target string
	size           int
	statuses       []int
}

var routes = []route{
	{30, "GET", "/v1/products", 18_000, []int{200, 200, 200, 200, 304}},
	{20, "GET", "/v1/products?page=%d", 17_000, []int{200}},
	{14, "GET", "/v1/orders", 6_000, []int{200, 200, 200, 200, 401}},
	{12, "POST", "/v1/orders", 420, []int{201, 201, 201, 201, 201, 201, 400, 422}},
	{8, "GET", "/v1/search?q=lamp&page=%d", 9_000, []int{200, 200, 200, 200, 200, 503}},
	{5, "POST", "/v1/login", 310, []int{200, 200, 200, 401}},
	{4, "GET", "/v1/invoices", 3_100, []int{200, 200, 403}},
	{3, "PUT", "/v1/cart", 0, []int{204}},
	{2, "DELETE", "/v1/cart", 0, []int{204}},
	{2, "GET", "/v1/reports/monthly", 250_000, []int{200, 500}},
	{1, "GET", "/wp-login.php", 153, []int{404}},
}

func accessLine(_ int, at time.Time) string {
	stamp := at.Format("02/Jan/2006:15:04:05 -0700")
	if rng.IntN(120) == 0 { // a connection that never sent its request
		return fmt.Sprintf(`%s - - [%s] "-" 408 - "-" "-"`, address(), stamp)
	}
	n := rng.IntN(101)
	r := routes[0]
	for _, r = range routes {
		if n -= r.weight; n < 0 {
			break
		}
	}
	target := r.target
	if strings.Contains(target, "%d") {
		target = fmt.Sprintf(target, 2+rng.IntN(5))
	}
	status, size := r.statuses[rng.IntN(len(r.statuses))], "-"
	switch {
	case status >= 400:
		size = fmt.Sprint(90 + rng.IntN(80))
	case r.size > 0 && status != 304:
		size = fmt.Sprint(r.size/2 + rng.IntN(r.size))
	}
	agent := pick("shop-android/4.2", "shop-ios/4.1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.14.1")
	return fmt.Sprintf(`%s - - [%s] "%s %s HTTP/1.1" %d %s "-" "%s"`, address(), stamp, r.method, target, status, size, agent)
}

func envelope(id, source, typ string, at time.Time, data string) string {
	return envelopeOf(account, id, source, typ, at, data)
}

func envelopeOf(account, id, source, typ string, at time.Time, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":"%s","source":"%s","type":"%s","subject":"%s","time":"%s","data":{%s}}`,
		id, source, typ, account, at.Format(time.RFC3339), data)
}

// planLine is a request of one of the customers of plans.yaml.
func planLine(i int, at time.Time) string {
	customer := pick("acme", "acme", "acme", "bolt", "bolt", "cara")
	status, latency := 200, 8+rng.ExpFloat64()*40
	if rng.IntN(25) == 0 {
		status, latency = 503, 2000
	}
	return envelopeOf(customer, fmt.Sprintf("plan-%04d", i), "gateway-1", "api.request", at, fmt.Sprintf(
		`"api":"shop","version":"v1","endpoint":"%s","method":"GET","status":%d,"latency_ms":%.3f,"bytes":%d`,
		pick("/v1/prices", "/v1/prices", "/v1/stock", "/v1/search"), status, latency, 200+rng.IntN(4000)))
}

func errorLine(i int, at time.Time) string {
	kinds := []string{
		`"api":"shop","version":"v1","endpoint":"/v1/orders","method":"POST","status":422,"error_code":"out_of_stock","error_description":"the article is sold out"`,
		`"api":"shop","version":"v1","endpoint":"/v1/orders","method":"POST","status":400,"error_code":"bad_address","error_description":"the postcode is missing"`,
		`"api":"shop","version":"v1","endpoint":"/v1/search","method":"GET","status":503,"error_code":"timeout","error_description":"no answer within 2 s","latency_ms":2000.125`,
		`"api":"shop","version":"v1","endpoint":"/v1/reports/monthly","method":"GET","status":500,"error_code":"internal","error_description":"division by zero"`,
	}
	return envelope(fmt.Sprintf("err-%04d", i), "shop-api", "api.error", at, pick(kinds...)+`,"client_ip":"`+address()+`"`)
}

func mailLine(i int, at time.Time) string {
	domain := pick("mail.example.com", "mail.example.com", "news.example.com")
	event := pick("accepted", "accepted", "accepted", "delivered", "delivered", "delivered", "opened", "clicked", "failed", "unsubscribed")
	data := fmt.Sprintf(`"domain":"%s","event":"%s","recipient":"customer%d@example.net","message_id":"%d.demo@%s","direction":"outgoing"`,
		domain, event, 1+rng.IntN(60), 1000+i, domain)
	switch event {
	case "delivered":
		data += `,"transport":"smtp"`
	case "failed":
		data += pick(`,"transport":"smtp","severity":"permanent","reason":"bounce"`, `,"transport":"smtp","severity":"temporary","reason":"greylisted"`)
	}
	return envelope(fmt.Sprintf("mail-%04d", i), "mailer-1", "email."+event, at, data+`,"provider":"mailgun"`)
}
