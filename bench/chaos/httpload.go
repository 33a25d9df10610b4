package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/bench/known"
)

const (
	httpPosters  = 2
	httpBatch    = 40
	httpPause    = 40 * time.Millisecond // between the batches of a poster
	httpAccounts = 8                     // so that a batch goes to several partitions
	httpAccount  = "chaos-http-"
	httpSource   = "chaos-http"
)

// httpLoad posts events whose ids are poster-number, and remembers which were
// answered "accepted".
type httpLoad struct {
	posters [httpPosters]*poster
}

type poster struct {
	name     int
	url      string
	client   *http.Client
	random   *rand.Rand
	accepted []bool // by event number; all below len were sent
	requests int64
	silent   int64 // requests without an answer, or without a whole one
	givenUp  int64 // events whose fate was never told
}

func newHTTPLoad(addr string, seed uint64) *httpLoad {
	l := &httpLoad{}
	for i := range l.posters {
		l.posters[i] = &poster{name: i, url: "http://" + addr + "/v1/events", random: rand.New(rand.NewPCG(seed, uint64(100+i))),
			client: &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}}
	}
	return l
}

// run posts until ctx ends; the requests under way then are finished.
func (l *httpLoad) run(ctx context.Context) error {
	var g errgroup.Group
	for _, p := range l.posters {
		g.Go(func() error {
			defer p.client.CloseIdleConnections()
			for ctx.Err() == nil {
				first := len(p.accepted)
				p.accepted = append(p.accepted, make([]bool, httpBatch)...)
				if err := p.deliver(ctx, first); err != nil {
					return err
				}
				pause(ctx, httpPause)
			}
			return nil
		})
	}
	return g.Wait()
}

// deliver posts a batch. One that was not answered is sent again, or given up:
// then its events may be counted once, or not at all.
func (p *poster) deliver(ctx context.Context, first int) error {
	var left []int
	for n := first; n < first+httpBatch; n++ {
		left = append(left, n)
	}
	patient := p.random.IntN(2) == 0
	for {
		var err error
		if left, err = p.post(left); err != nil || len(left) == 0 {
			return err
		}
		if !patient || ctx.Err() != nil {
			p.givenUp += int64(len(left))
			return nil
		}
		pause(ctx, httpPause)
	}
}

// post returns the events that were not accepted.
func (p *poster) post(numbers []int) (left []int, err error) {
	var body bytes.Buffer
	now := time.Now().UTC()
	for _, n := range numbers {
		fmt.Fprintf(&body, `{"specversion":"1.0","id":"%d-%d","source":"%s","type":"api.request","subject":"%s%d","time":"%s",`+
			`"data":{"api":"chaos","endpoint":"/chaos","method":"POST","status":202,"latency_ms":1.5,"bytes":7}}`+"\n",
			p.name, n, httpSource, httpAccount, n%httpAccounts, now.Format(time.RFC3339Nano))
	}
	p.requests++
	resp, err := p.client.Post(p.url, "application/x-ndjson", &body)
	if err != nil {
		p.silent++
		return numbers, nil
	}
	defer resp.Body.Close()
	var answer struct {
		Results []struct{ ID, Status, Error string }
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	switch {
	case err != nil || resp.StatusCode == http.StatusServiceUnavailable:
		p.silent++ // killed while it answered, or not ready
		return numbers, nil
	case resp.StatusCode != http.StatusAccepted || len(answer.Results) != len(numbers):
		return nil, known.Finding(fmt.Sprintf("POST /v1/events of %d events: %s with %d results", len(numbers), resp.Status, len(answer.Results)))
	}
	for i, r := range answer.Results {
		switch {
		case r.ID != fmt.Sprintf("%d-%d", p.name, numbers[i]):
			return nil, known.Finding(fmt.Sprintf("POST /v1/events: result %d is of id %q, the event has %d-%d", i, r.ID, p.name, numbers[i]))
		case r.Status == "accepted":
			p.accepted[numbers[i]] = true
		default:
			left = append(left, numbers[i])
		}
	}
	return left, nil
}

// parseHTTPID is the inverse of the id that post makes.
func parseHTTPID(id string) (poster, number int, ok bool) {
	a, b, ok := strings.Cut(id, "-")
	poster, err1 := strconv.Atoi(a)
	number, err2 := strconv.Atoi(b)
	return poster, number, ok && err1 == nil && err2 == nil
}

func (l *httpLoad) totals() (sent, accepted, givenUp, silent int64) {
	for _, p := range l.posters {
		sent += int64(len(p.accepted))
		givenUp += p.givenUp
		silent += p.silent
		for _, ok := range p.accepted {
			if ok {
				accepted++
			}
		}
	}
	return sent, accepted, givenUp, silent
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
