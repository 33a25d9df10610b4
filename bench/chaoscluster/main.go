// Command chaoscluster breaks the parts of a cluster while events flow, and holds
// what was counted in the end against what was sent, to the event:
//
//	go run ./bench/chaoscluster -events 2000000 -kills 100 -stops 20
//
// The parts are real ones, as processes of this machine: Apache Kafka, PostgreSQL
// and an S3 server (scripts/), three pipelines, each behind a proxy of its own to
// PostgreSQL and to S3, and jobs. While the generator's events are sent (1 %
// duplicates, 1 % late, 0.1 % malformed), in random order:
//
//   - a pipeline is killed with -9 and started again;
//   - a pipeline is stopped (SIGSTOP) past its session timeout, so that others
//     have its partitions, and goes on (SIGCONT): a zombie;
//   - Kafka, PostgreSQL or the S3 server is killed and started again;
//   - the network between a pipeline and PostgreSQL or S3 is cut: nothing comes
//     through, nothing is refused;
//   - a pipeline is added, and taken away as an operator does.
//
// Recovery is the time from the fault to all partitions being read again. In the
// end the totals by topic, account, hour and status must be the generator's, what
// was counted, duplicate and refused must be the records in the log, verify and
// balance must be good, and DuckDB must agree, by a glob and by the manifests.
//
// Exit codes: 0 no difference, 1 a difference (the folder stays), 2 the test could
// not be run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"tallybook/bench/known"
	"tallybook/pipeline/producer"
)

type options struct {
	events   int64
	faults   faults
	duration time.Duration // that the events are spread over; faults go on until all are done
	seed     uint64
	python   string
	dir      string
	keep     bool
}

func main() {
	var o options
	flag.Int64Var(&o.events, "events", 2_000_000, "records that the generator makes")
	flag.IntVar(&o.faults.kills, "kills", 100, "how often a pipeline is killed")
	flag.IntVar(&o.faults.stops, "stops", 20, "how often a pipeline is stopped past its session timeout")
	flag.IntVar(&o.faults.brokers, "brokers", 3, "how often Kafka is killed")
	flag.IntVar(&o.faults.stores, "stores", 4, "how often PostgreSQL is killed")
	flag.IntVar(&o.faults.buckets, "buckets", 4, "how often the S3 server is killed")
	flag.IntVar(&o.faults.cuts, "cuts", 8, "how often the network of a pipeline is cut")
	flag.IntVar(&o.faults.changes, "changes", 4, "how often a pipeline is added, and later taken away")
	flag.DurationVar(&o.duration, "duration", 20*time.Minute, "`time` that the events are spread over")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the faults and the events")
	flag.StringVar(&o.python, "python", "", "a `python3` with duckdb, to count the Parquet files from outside")
	flag.StringVar(&o.dir, "dir", "", "`folder` to work in (default: a temporary one)")
	flag.BoolVar(&o.keep, "keep", false, "leave the folder where all is well too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, o))
}

func run(ctx context.Context, o options) int {
	if o.events < 1 || o.duration <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaoscluster: -events and -duration must be above 0, and there are no arguments")
		return 2
	}
	work, err := os.MkdirTemp(o.dir, "tallybook-chaoscluster-")
	if err == nil {
		err = os.Chmod(work, 0o755) // PostgreSQL has a user of its own
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaoscluster:", err)
		return 2
	}
	t := &test{options: o, work: work, random: rand.New(rand.NewPCG(o.seed, 1))}
	err = t.run(ctx)
	t.Print(os.Stdout)
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "chaoscluster: %v\n  seed %d; data and logs are in %s\n", err, o.seed, work)
		if ctx.Err() == nil && errors.As(err, new(known.Finding)) {
			return 1
		}
		return 2
	case len(t.Findings) > 0:
		fmt.Printf("DIFFERENCES: %d; seed %d; data and logs are in %s\n", len(t.Findings), o.seed, work)
		return 1
	case o.keep:
		fmt.Printf("good; data and logs are in %s\n", work)
		return 0
	}
	if err := os.RemoveAll(work); err != nil {
		fmt.Fprintln(os.Stderr, "chaoscluster:", err)
	}
	fmt.Println("good")
	return 0
}

// test is one run.
type test struct {
	options
	known.Report
	work   string
	random *rand.Rand
	parts  *parts
	fleet  *fleet
	load   producer.GenerateConfig
	sender *known.Load
}

func (t *test) run(ctx context.Context) (err error) {
	if t.parts, err = startParts(ctx, t.work); err != nil {
		return err
	}
	defer t.parts.stop()
	t.fleet = newFleet(t.parts)
	defer t.fleet.close()
	for range pipelines {
		if _, err := t.fleet.add(); err != nil {
			return err
		}
	}
	if _, err := t.fleet.recovered(ctx); err != nil {
		return err
	}
	began := time.Now()
	t.load = producer.GenerateConfig{Seed: t.seed, Events: t.events, Rate: float64(t.events) / t.duration.Seconds(), Shape: producer.Live, Start: began,
		ErrorShare: 0.03, EmailShare: 0.03, DuplicateShare: 0.01, LateShare: 0.01, MalformedShare: 0.001, Now: time.Now}
	t.sender = known.NewLoad(t.parts.brokers)
	sending, cancel := context.WithCancel(ctx)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- t.sender.Run(sending, t.load) }()
	if err := t.underFire(ctx, began); err != nil {
		cancel()
		<-sent
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	t.Show("time", "%s of faults and events", time.Since(began).Round(time.Second))
	return t.check(ctx)
}
