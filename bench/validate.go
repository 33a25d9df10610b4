package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tallybook/pipeline/producer"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	checkCustomers   = 200
	checkConnections = 64
	checkPath        = "/v1/validateRequest"
	ordersCheck      = `{"apiName":"orders","apiversion":"v1","endPointName":"/orders"}`
)

// checked is 'tallybook run' as a process of its own, with a catalog of
// customers with a quota each.
type checked struct {
	served
	*process
	keys  []string // of customers
	admin string
}

func startChecked(ctx context.Context, binary, dir string) (*checked, error) {
	c := &checked{admin: store.NewKeyText()}
	if err := c.fillCatalog(ctx, dir); err != nil {
		return nil, err
	}
	var err error
	if c.process, err = startProcess(ctx, binary, dir); err != nil {
		return nil, err
	}
	c.served = served{url: "http://" + c.http, client: &http.Client{Transport: withKey{c.admin, &http.Transport{MaxIdleConnsPerHost: 256}}}}
	return c, nil
}

func (c *checked) fillCatalog(ctx context.Context, dir string) error {
	st, err := store.Open(ctx, filepath.Join(dir, "tallybook.db"), store.Options{})
	if err != nil {
		return err
	}
	defer st.Close()
	if _, err := st.CreateKey(ctx, "bench", c.admin, store.Key{Role: store.RoleAdmin}); err != nil {
		return err
	}
	if _, err := st.CreateRoute(ctx, "bench", store.Route{API: "orders", Version: "v1"}); err != nil {
		return err
	}
	for n := range checkCustomers {
		key := store.NewKeyText()
		_, _, err := st.CreateCustomer(ctx, "bench", key, store.Customer{Name: fmt.Sprint(n), Timezone: "Europe/Berlin", Currency: "EUR"},
			[]store.Subscription{{API: "orders", Version: "v1", Quota: &schemas.Quota{Limit: "1000000", Period: "month"}}})
		if err != nil {
			return err
		}
		c.keys = append(c.keys, key)
	}
	return nil
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

func (c *checked) request(key, body string) []byte {
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\napiKey: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		checkPath, c.http, key, len(body), body)
}

// validatePart is access checks: as many as go, in batches, at a rate alone and
// beside a flow of events, and how soon they know of a usage.
func (c *Config) validatePart(ctx context.Context, dir string) error {
	const rate, flow, lasts = 5000, 50_000, 10 * time.Second
	s, err := startChecked(ctx, c.Binary, dir)
	if err != nil {
		return err
	}
	defer s.kill()
	c.printf("validate: POST %s to 'tallybook run' by %d customers with a quota each, %d keep-alive connections; clients on the same cores\n",
		checkPath, checkCustomers, checkConnections)
	load := &checkLoad{addr: s.http, connections: checkConnections, lasts: lasts}
	for _, key := range s.keys {
		load.requests = append(load.requests, s.request(key, ordersCheck))
	}
	if err := c.checkPhase(s, "as fast as it goes", load.closed); err != nil {
		return err
	}
	if err := c.validateBatches(s); err != nil {
		return err
	}
	steady := func() (CollectorResult, error) { return load.open(rate) }
	if err := c.checkPhase(s, "alone", steady); err != nil {
		return err
	}
	return c.besideEvents(ctx, s, load, flow, steady)
}

// checkPhase prints what a load got, and the CPU that service and client took for it.
func (c *Config) checkPhase(s *checked, what string, run func() (CollectorResult, error)) error {
	mine, its := cpuTime(), s.cpu()
	res, err := run()
	if err != nil {
		return err
	}
	mine, its = cpuTime()-mine, s.cpu()-its
	per := func(cpu time.Duration) float64 { return float64(cpu.Microseconds()) / float64(res.Events) }
	c.printf("  %-34s %8.0f checks/s  p50 %s  p99 %s  CPU %.1f µs a check of the service's process, %.1f µs of the clients'\n", what,
		float64(res.Events)/res.Wall.Seconds(), res.P50.Round(10*time.Microsecond), res.P99.Round(10*time.Microsecond), per(its), per(mine))
	return nil
}

// besideEvents is a load of checks while events flow in over HTTP at the given
// rate, and probes of how soon a decision knows of a usage.
func (c *Config) besideEvents(ctx context.Context, s *checked, load *checkLoad, rate int, steady func() (CollectorResult, error)) error {
	const size = 500
	all, err := bodies(ctx, int(load.lasts.Seconds()+1)*rate/size, size, producer.GenerateConfig{Seed: 9, Shape: producer.Live, Rate: float64(rate), Start: time.Now()})
	if err != nil {
		return err
	}
	var sent atomic.Int64
	flowed := make(chan error, 1)
	mine, its, began := cpuTime(), s.cpu(), time.Now()
	go func() { flowed <- s.flow(all, time.Second*size/time.Duration(rate), &sent) }()
	lags := s.probeDecisions(began.Add(load.lasts - 2*time.Second))
	if err := c.checkPhase(s, fmt.Sprintf("beside %d events/s", rate), steady); err != nil {
		return err
	}
	if err := <-flowed; err != nil {
		return err
	}
	wall := time.Since(began)
	c.printf("  %-34s %8.0f events/s; of the two cores the service's process took %.0f %%, the clients %.0f %%\n", "events that came in",
		float64(sent.Load())/wall.Seconds(), 50*float64(s.cpu()-its)/float64(wall), 50*float64(cpuTime()-mine)/float64(wall))
	probes := <-lags
	if probes.err != nil {
		return probes.err
	}
	slices.Sort(probes.lags)
	c.printf("  a usage is in the decision after     p50 %s  max %s (%d probes)\n", probes.lags[len(probes.lags)/2].Round(time.Millisecond),
		probes.lags[len(probes.lags)-1].Round(time.Millisecond), len(probes.lags))
	return nil
}

type decisionLags struct {
	lags []time.Duration
	err  error
}

// probeDecisions sends a usage of another customer every 100 ms until a time.
func (c *checked) probeDecisions(until time.Time) <-chan decisionLags {
	done := make(chan decisionLags, 1)
	go func() {
		var mu sync.Mutex
		var all decisionLags
		var running sync.WaitGroup
		for n := 0; time.Now().Before(until); n++ {
			running.Go(func() {
				lag, err := c.decisionLag(c.keys[n%len(c.keys)])
				mu.Lock()
				defer mu.Unlock()
				if all.lags = append(all.lags, lag); err != nil {
					all.err = err
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		running.Wait()
		done <- all
	}()
	return done
}

// decisionLag is the time from the 2xx of a usage until a decision counts it.
func (c *checked) decisionLag(key string) (time.Duration, error) {
	conn, err := dialChecks(c.http)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	used := func() (string, error) {
		body, err := conn.ask(c.request(key, ordersCheck))
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

func (c *Config) validateBatches(s *checked) error {
	var b strings.Builder
	for n := range 1000 {
		fmt.Fprintf(&b, `,{"apiKey":%q,%s`, s.keys[n%len(s.keys)], ordersCheck[1:])
	}
	request := s.request(s.admin, "["+b.String()[1:]+"]")
	conn, err := dialChecks(s.http)
	if err != nil {
		return err
	}
	defer conn.Close()
	took := make([]time.Duration, 200)
	for i := range took {
		at := time.Now()
		body, err := conn.ask(request)
		if err != nil {
			return err
		}
		if n := bytes.Count(body, []byte(`"allowed":true`)); n != 1000 {
			return fmt.Errorf("%d of a batch of 1000 are allowed", n)
		}
		took[i] = time.Since(at)
	}
	res := latencies(took, 0)
	c.printf("  a batch of 1000                    p50 %s  p99 %s\n", res.P50.Round(10*time.Microsecond), res.P99.Round(10*time.Microsecond))
	return nil
}
