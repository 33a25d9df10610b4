package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"tallybook/bench"
)

// freshness lets events flow into Kafka at each rate, and beside them single
// ones into a pipeline's collector, which a query service is then asked for.
func (c *cluster) freshness(ctx context.Context, l *load) error {
	if err := l.generate(ctx, 1, 1, "--shape", "dense"); err != nil { // makes the topics
		return err
	}
	f, err := l.open(ctx, setup{store: "postgres", workers: 2})
	if err != nil {
		return err
	}
	defer f.close()
	open, err := f.startTogether(ctx)
	if err != nil {
		return err
	}
	open()
	if _, err := f.start("query"); err != nil {
		return err
	}
	for _, p := range f.processes {
		if err := f.until(ctx, "all are ready", func() (bool, error) { return p.ready(), nil }); err != nil {
			return err
		}
	}
	fmt.Printf("freshness: from the 2xx of a pipeline to the meter query of a query service; 2 pipelines, PostgreSQL\n")
	for i, rate := range c.rates {
		if err := f.flow(ctx, rate, i+2); err != nil {
			return err
		}
	}
	if err := f.drained(ctx); err != nil {
		return err
	}
	if err := f.stop(); err != nil {
		return err
	}
	fmt.Println()
	return f.balance(ctx, l.sent)
}

// flow sends rate events a second; seed makes their ids others than before.
func (f *fleet) flow(ctx context.Context, rate, seed int) error {
	before, err := f.costs()
	if err != nil {
		return err
	}
	began := time.Now()
	flowed := make(chan error, 1)
	go func() {
		flowed <- f.generate(ctx, int64(f.lasts.Seconds()*float64(rate)), seed, "--shape", "live", "--rate", fmt.Sprint(rate))
	}()
	pipeline, query := f.processes[0], f.processes[len(f.processes)-1]
	prober := bench.Prober{Collect: pipeline.url(), Ask: query.url(), Name: fmt.Sprintf("probe-%d", rate),
		// Some of them at a time: a thousand questions a second would be a load of their own.
		Every: 100 * time.Millisecond, Poll: 25 * time.Millisecond,
		Client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	res, err := prober.Run(ctx, max(time.Second, f.lasts-2*time.Second))
	if err := errors.Join(err, <-flowed); err != nil {
		return err
	}
	took := time.Since(began)
	after, err := f.costs()
	if err != nil {
		return err
	}
	res.Rate = f.rate
	f.sent.Records += int64(res.Probes)
	f.sent.Counted += int64(res.Probes)
	used := after.minus(before)
	share := func(d time.Duration) float64 { return 100 * d.Seconds() / took.Seconds() }
	fmt.Printf("  %6d events/s: %s; of a core: pipelines and query %.0f %%, Kafka %.0f %%, PostgreSQL %.0f %%\n", rate, res,
		share(used.workers), share(used.kafka), share(used.postgres))
	return nil
}
