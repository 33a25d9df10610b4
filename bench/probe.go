package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Prober measures freshness from outside: it sends single events of accounts of
// their own, and asks for each until it is counted.
type Prober struct {
	Collect, Ask string        // URLs of a collector and of a query service, which ask for no key
	Name         string        // of the accounts, before a number
	Every        time.Duration // between two events
	Poll         time.Duration // between two questions
	Client       *http.Client
}

// FreshnessResult says how long after its 2xx an event was in the meter query.
type FreshnessResult struct {
	Rate          float64 // events a second that really flowed beside it
	Probes        int
	P50, P99, Max time.Duration
}

func (r FreshnessResult) String() string {
	return fmt.Sprintf("p50 %s  p99 %s  max %s  (%d probes beside %.0f events/s)", r.P50.Round(time.Millisecond),
		r.P99.Round(time.Millisecond), r.Max.Round(time.Millisecond), r.Probes, r.Rate)
}

// Run sends events for the given time and waits until all were seen. How many
// events flow beside them is the caller's.
func (p *Prober) Run(ctx context.Context, lasts time.Duration) (FreshnessResult, error) {
	var mu sync.Mutex
	var seen []time.Duration
	var failed error
	var probes sync.WaitGroup
	began := time.Now()
	for n := 0; time.Since(began) < lasts && ctx.Err() == nil; n++ {
		probes.Go(func() {
			took, err := p.probe(ctx, fmt.Sprintf("%s-%d", p.Name, n))
			mu.Lock()
			defer mu.Unlock()
			if seen = append(seen, took); err != nil {
				failed = err
			}
		})
		time.Sleep(p.Every)
	}
	probes.Wait()
	if failed != nil || len(seen) == 0 {
		return FreshnessResult{}, failed
	}
	slices.Sort(seen)
	return FreshnessResult{Probes: len(seen), P50: seen[len(seen)/2], P99: seen[len(seen)*99/100], Max: seen[len(seen)-1]}, nil
}

// probe sends one event and returns the time from its 2xx until it is counted.
func (p *Prober) probe(ctx context.Context, account string) (time.Duration, error) {
	event := fmt.Sprintf(`[{"specversion":"1.0","id":"1","source":"bench","type":"api.request","subject":%q,"data":{"endpoint":"/probe","status":200}}]`, account)
	if err := post(p.Client, p.Collect, []byte(event)); err != nil {
		return 0, err
	}
	acknowledged := time.Now()
	question := p.Ask + "/api/v1/meters/requests/query?subject=" + url.QueryEscape(account) +
		"&from=" + time.Now().UTC().Truncate(time.Hour).Format(time.RFC3339)
	for ctx.Err() == nil {
		res, err := p.Client.Get(question)
		if err != nil {
			return 0, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return 0, err
		}
		if bytes.Contains(body, []byte(`"value":1`)) {
			return time.Since(acknowledged), nil
		}
		if time.Since(acknowledged) > 30*time.Second {
			return 0, fmt.Errorf("event of %s not counted 30 s after its 2xx: %s", account, body)
		}
		time.Sleep(p.Poll)
	}
	return 0, ctx.Err()
}

// post sends events and demands that all were accepted.
func post(client *http.Client, to string, body []byte) error {
	res, err := client.Post(to+"/api/v1/events", "application/cloudevents-batch+json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return err
	}
	if res.StatusCode != http.StatusNoContent {
		return fmt.Errorf("collector answered %s", res.Status)
	}
	return nil
}
