package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"tallybook/api"
	"tallybook/pipeline/collector"
	"tallybook/pipeline/producer"
	"tallybook/query"
)

// served is a rig with the collector and the query service on loopback.
type served struct {
	*rig
	url    string
	client *http.Client
	stop   func()
}

func (r *rig) serve(ctx context.Context) (*served, error) {
	partitions, err := r.kafka.EnsureTopics(ctx, 4, 1)
	if err != nil {
		return nil, err
	}
	collect, err := collector.New(collector.Config{Kafka: r.kafka, Partitions: partitions, Log: r.log})
	if err != nil {
		return nil, err
	}
	answers, err := query.New(query.Config{Store: r.store, Archive: r.archive, Registry: prometheus.NewRegistry(), Log: r.log})
	if err != nil {
		return nil, err
	}
	router := mux.NewRouter()
	endpoints := append(collect.Endpoints(), answers.Endpoints()...)
	if err := api.Mount(router, api.Options{Guard: &api.Guard{NoAuth: true}, Log: r.log}, endpoints); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := collector.Server("", router)
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = collect.Run(ctx) })
	running.Go(func() { _ = server.Serve(l) }) // ends by Close below
	return &served{rig: r, url: "http://" + l.Addr().String(),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
		stop:   func() { server.Close(); cancel(); running.Wait() }}, nil
}

// post sends events and demands that all were accepted.
func (s *served) post(body []byte) error { return post(s.client, s.url, body) }

// bodies are n requests of size events each.
func bodies(ctx context.Context, n, size int, load producer.GenerateConfig) ([][]byte, error) {
	load.Events, load.BatchRecords, load.Now = int64(n*size), size, time.Now
	var all [][]byte
	_, err := producer.Generate(ctx, load, func(records []kafka.Message) error {
		b := []byte("[")
		for i := range records {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, records[i].Value...)
		}
		all = append(all, append(b, ']'))
		return nil
	})
	return all, err
}

// CollectorResult is one load on the collector.
type CollectorResult struct {
	Events   int64
	Wall     time.Duration
	P50, P99 time.Duration // of a request
}

func (r CollectorResult) String() string {
	return fmt.Sprintf("%9.0f events/s  request p50 %s p99 %s", float64(r.Events)/r.Wall.Seconds(),
		r.P50.Round(100*time.Microsecond), r.P99.Round(100*time.Microsecond))
}

// Collector measures POST /api/v1/events with the given number of connections
// and events a request, every acknowledgement behind an fsync of the log.
func Collector(ctx context.Context, dir string, connections, size, requests int) (CollectorResult, error) {
	r, err := openRig(ctx, dir, 4)
	if err != nil {
		return CollectorResult{}, err
	}
	defer r.close()
	s, err := r.serve(ctx)
	if err != nil {
		return CollectorResult{}, err
	}
	defer s.stop()
	all, err := bodies(ctx, requests, size, producer.GenerateConfig{Seed: 7})
	if err != nil {
		return CollectorResult{}, err
	}
	var next atomic.Int64
	took := make([]time.Duration, requests)
	errs := make(chan error, connections)
	began := time.Now()
	for range connections {
		go func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(requests) {
					errs <- nil
					return
				}
				at := time.Now()
				if err := s.post(all[i]); err != nil {
					errs <- err
					return
				}
				took[i] = time.Since(at)
			}
		}()
	}
	for range connections {
		if e := <-errs; e != nil {
			err = e
		}
	}
	wall := time.Since(began)
	slices.Sort(took)
	return CollectorResult{Events: int64(requests * size), Wall: wall, P50: took[len(took)/2], P99: took[len(took)*99/100]}, err
}

// Freshness sends rate events a second over HTTP for the given time; beside
// them single events of accounts of their own, each watched through the meter
// query until it is counted.
func Freshness(ctx context.Context, dir string, rate int, lasts time.Duration) (FreshnessResult, error) {
	r, err := openRig(ctx, dir, 4)
	if err != nil {
		return FreshnessResult{}, err
	}
	defer r.close()
	s, err := r.serve(ctx)
	if err != nil {
		return FreshnessResult{}, err
	}
	defer s.stop()
	workers, stop := context.WithCancel(ctx)
	exited := make(chan error, 1)
	w := r.workers(defaultWorkers())
	go func() { exited <- w.Run(workers) }()
	defer func() { stop(); <-exited }()
	for w.Ready() != nil {
		time.Sleep(time.Millisecond)
	}
	const size = 500
	all, err := bodies(ctx, int(lasts.Seconds())*rate/size, size, producer.GenerateConfig{Seed: 9})
	if err != nil {
		return FreshnessResult{}, err
	}
	var sent atomic.Int64
	began := time.Now()
	flowed := make(chan error, 1)
	go func() { flowed <- s.flow(all, time.Second*size/time.Duration(rate), &sent) }()
	prober := Prober{Collect: s.url, Ask: s.url, Name: "probe", Every: 40 * time.Millisecond, Poll: 10 * time.Millisecond, Client: s.client}
	res, err := prober.Run(ctx, lasts-2*time.Second)
	if err := errors.Join(err, <-flowed); err != nil {
		return FreshnessResult{}, err
	}
	res.Rate = float64(sent.Load()) / time.Since(began).Seconds()
	return res, nil
}

// flow posts the bodies at a steady pace, several at a time where one is slow.
func (s *served) flow(all [][]byte, every time.Duration, sent *atomic.Int64) error {
	slots := make(chan struct{}, 32)
	errs := make(chan error, len(all))
	began := time.Now()
	for i, body := range all {
		time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
		slots <- struct{}{}
		go func() {
			err := s.post(body)
			if err == nil {
				sent.Add(500)
			}
			errs <- err
			<-slots
		}()
	}
	for range all {
		if err := <-errs; err != nil {
			return err
		}
	}
	return nil
}
