package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"

	"tallybook/api"
	"tallybook/pipeline/collector"
	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	checkCustomers   = 200
	checkConnections = 16
	checkPath        = "/v1/validateRequest"
	ordersCheck      = `{"apiName":"orders","apiversion":"v1","endPointName":"/orders"}`
)

// checked is a service with a catalog: customers with a quota each, and workers.
type checked struct {
	*served
	addr  string
	keys  []string // of customers
	admin string
}

func (r *rig) serveChecks(ctx context.Context) (*checked, error) {
	partitions, err := r.kafka.EnsureTopics(ctx, 4, 1)
	if err != nil {
		return nil, err
	}
	c := &checked{admin: store.NewKeyText()}
	if _, err := r.store.CreateKey(ctx, "bench", c.admin, store.Key{Role: store.RoleAdmin}); err != nil {
		return nil, err
	}
	if _, err := r.store.CreateRoute(ctx, "bench", store.Route{API: "orders", Version: "v1"}); err != nil {
		return nil, err
	}
	for n := range checkCustomers {
		key := store.NewKeyText()
		_, _, err := r.store.CreateCustomer(ctx, "bench", key, store.Customer{Name: fmt.Sprint(n), Timezone: "Europe/Berlin", Currency: "EUR"},
			[]store.Subscription{{API: "orders", Version: "v1", Quota: &schemas.Quota{Limit: "1000000", Period: "month"}}})
		if err != nil {
			return nil, err
		}
		c.keys = append(c.keys, key)
	}
	collect, err := collector.New(collector.Config{Kafka: r.kafka, Partitions: partitions, Store: r.store, Log: r.log})
	if err != nil {
		return nil, err
	}
	router := mux.NewRouter()
	if err := api.Mount(router, api.Options{Guard: &api.Guard{Store: r.store}, Log: r.log}, collect.Endpoints()); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := collector.Server("", router)
	ctx, cancel := context.WithCancel(ctx)
	w := r.workers(defaultWorkers())
	var running sync.WaitGroup
	running.Go(func() { _ = collect.Run(ctx) })
	running.Go(func() { _ = server.Serve(l) }) // ends by Close below
	running.Go(func() { _ = w.Run(ctx) })
	c.addr = l.Addr().String()
	c.served = &served{rig: r, url: "http://" + c.addr, client: &http.Client{Transport: withKey{c.admin, &http.Transport{MaxIdleConnsPerHost: 256}}},
		stop: func() { server.Close(); cancel(); running.Wait() }}
	for w.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	return c, nil
}

// withKey sends a key with every request that has none.
type withKey struct {
	key  string
	next http.RoundTripper
}

func (t withKey) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("apiKey") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("apiKey", t.key)
	}
	return t.next.RoundTrip(r)
}

// ask sends one request on a connection that stays open, and reads its answer.
// net/http's client would take more of the two cores than the service.
func ask(conn net.Conn, in *bufio.Reader, request []byte) ([]byte, error) {
	if _, err := conn.Write(request); err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, body)
	}
	return body, err
}

func (c *checked) request(key, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\napiKey: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		checkPath, c.addr, key, len(body), body)
}

// checks asks for the given time on several connections: at rate a second, as
// fast as it goes with 0. Latency counts from when a request was due.
func (c *checked) checks(lasts time.Duration, rate int) (CollectorResult, error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var next atomic.Int64
	began := time.Now()
	var running sync.WaitGroup
	for range checkConnections {
		running.Go(func() {
			mine, err := c.checkLoop(began, lasts, rate, &next)
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	running.Wait()
	if failed != nil || len(took) == 0 {
		return CollectorResult{}, fmt.Errorf("%d checks: %w", len(took), failed)
	}
	wall := time.Since(began)
	slices.Sort(took)
	return CollectorResult{Events: int64(len(took)), Wall: wall, P50: took[len(took)/2], P99: took[len(took)*99/100]}, nil
}

func (c *checked) checkLoop(began time.Time, lasts time.Duration, rate int, next *atomic.Int64) (took []time.Duration, err error) {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	requests := make([][]byte, len(c.keys))
	for i, key := range c.keys {
		requests[i] = c.request(key, ordersCheck)
	}
	for time.Since(began) < lasts {
		n := next.Add(1) - 1
		due := time.Now()
		if rate > 0 {
			due = began.Add(time.Duration(n) * time.Second / time.Duration(rate))
			time.Sleep(time.Until(due))
		}
		body, err := ask(conn, in, requests[int(n)%len(requests)])
		if err != nil {
			return took, err
		}
		if !bytes.Contains(body, []byte(`"allowed":true`)) {
			return took, fmt.Errorf("refused: %s", body)
		}
		took = append(took, time.Since(due))
	}
	return took, nil
}

// decisionLag is the time from the 2xx of a usage until a decision counts it.
func (c *checked) decisionLag(key string) (time.Duration, error) {
	conn, err := net.Dial("tcp", c.addr)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	used := func() (string, error) {
		body, err := ask(conn, in, c.request(key, ordersCheck))
		_, rest, _ := strings.Cut(string(body), `"used":`)
		n, _, _ := strings.Cut(rest, ",")
		return n, err
	}
	before, err := used()
	if err != nil {
		return 0, err
	}
	usage := `{"apiversion":"v1","endPointName":"/orders","clientIPAdress":"203.0.113.9","httpStatusCode":200,"timeTakenInMilliSeconds":1}`
	r, err := http.NewRequest(http.MethodPost, c.url+"/v1/usage", strings.NewReader(usage))
	if err != nil {
		return 0, err
	}
	r.Header.Set("apiKey", key)
	res, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		return 0, fmt.Errorf("usage: %s", res.Status)
	}
	for acknowledged := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		now, err := used()
		lag := time.Since(acknowledged)
		switch {
		case err != nil:
			return 0, err
		case now != before:
			return lag, nil
		case lag > 30*time.Second:
			return 0, fmt.Errorf("a usage is not in the decision 30 s after its 2xx")
		}
	}
}

// validatePart is access checks: as many as go, at a rate beside a flow of
// events, in batches, and how soon they know of a usage.
func (c *Config) validatePart(ctx context.Context, dir string) error {
	const rate, flow, size, lasts = 5000, 50_000, 500, 10 * time.Second
	r, err := openRig(ctx, dir, 4)
	if err != nil {
		return err
	}
	defer r.close()
	s, err := r.serveChecks(ctx)
	if err != nil {
		return err
	}
	defer s.stop()
	c.printf("validate: POST %s by %d customers with a quota each, %d keep-alive connections\n", checkPath, checkCustomers, checkConnections)
	print := func(what string, res CollectorResult) {
		c.printf("  %-34s %8.0f checks/s  p50 %s  p99 %s\n", what, float64(res.Events)/res.Wall.Seconds(),
			res.P50.Round(10*time.Microsecond), res.P99.Round(10*time.Microsecond))
	}
	res, err := s.checks(lasts, 0)
	if err != nil {
		return err
	}
	print("as fast as it goes", res)
	if err := c.validateBatches(s); err != nil {
		return err
	}
	all, err := bodies(ctx, int(lasts.Seconds())*flow/size, size, producer.GenerateConfig{Seed: 9})
	if err != nil {
		return err
	}
	var sent atomic.Int64
	flowed := make(chan error, 1)
	began := time.Now()
	go func() { flowed <- s.flow(all, time.Second*size/flow, &sent) }()
	var lags []time.Duration
	lagged := make(chan error, 1)
	go func() {
		for n := 0; time.Since(began) < lasts-2*time.Second; n++ {
			lag, err := s.decisionLag(s.keys[n%len(s.keys)])
			if err != nil {
				lagged <- err
				return
			}
			lags = append(lags, lag)
		}
		lagged <- nil
	}()
	if res, err = s.checks(lasts, rate); err != nil {
		return err
	}
	if err := <-flowed; err != nil {
		return err
	}
	flowing := float64(sent.Load()) / time.Since(began).Seconds()
	if err := <-lagged; err != nil {
		return err
	}
	print(fmt.Sprintf("beside %.0f events/s", flowing), res)
	slices.Sort(lags)
	c.printf("  a usage is in the decision after     p50 %s  max %s (%d probes)\n",
		lags[len(lags)/2].Round(time.Millisecond), lags[len(lags)-1].Round(time.Millisecond), len(lags))
	return nil
}

func (c *Config) validateBatches(s *checked) error {
	var b strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&b, `,{"apiKey":%q,%s`, s.keys[n%len(s.keys)], ordersCheck[1:])
	}
	request := s.request(s.admin, "["+b.String()[1:]+"]")
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	took := make([]time.Duration, 200)
	for i := range took {
		at := time.Now()
		if _, err := ask(conn, in, request); err != nil {
			return err
		}
		took[i] = time.Since(at)
	}
	slices.Sort(took)
	c.printf("  a batch of 1000                    p50 %s  p99 %s\n", took[len(took)/2].Round(10*time.Microsecond), took[len(took)*99/100].Round(10*time.Microsecond))
	return nil
}
