// Command chaoscluster breaks the parts of a cluster while events flow, and holds
// what was counted in the end against what was sent, to the event:
//
//	go run ./bench/chaoscluster -events 2000000 -kills 100 -stops 20
//
// The parts are real ones, as processes of this machine: Apache Kafka, PostgreSQL
// and an S3 server (scripts/), three pipelines and two processes of jobs, each
// behind a proxy of its own to PostgreSQL and to S3. While the generator's events
// are sent (1 % duplicates, 1 % late, 0.1 % malformed), in random order:
//
//   - a pipeline is killed with -9 and started again;
//   - a pipeline is stopped (SIGSTOP) past its session timeout, so that others
//     have its partitions, and goes on (SIGCONT): a zombie;
//   - Kafka, PostgreSQL or the S3 server is killed and started again;
//   - the network between a pipeline and PostgreSQL or S3 is cut: nothing comes
//     through, nothing is refused;
//   - a pipeline is added, and taken away as an operator does.
//
// Beside this, jobs build days, merge files a second after they were written, and
// delete what was merged ten seconds later; the process that compacts is killed,
// stopped past its lease, and cut off, too. The events' times are around the last
// midnight (UTC), so that half of them are of a date that has ended.
//
// Recovery is the time from the fault to all partitions being read again, and of
// jobs to the next merge. In the end, when nothing is left to be compacted, the
// totals by topic, account, hour and status must be the generator's, what was
// counted, duplicate and refused must be the records in the log, verify and balance
// must be good, and DuckDB must agree, by a glob and by the manifests.
//
// With -outage, one part after the other is away for all of them for so long while
// events go on at -rate, and comes back (outages.go):
//
//	go run ./bench/chaoscluster -outage 5m -rate 5000
//
// Exit codes: 0 no difference, 1 a difference (the folder stays), 2 the test could
// not be run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/bench/known"
	"tallybook/pipeline/producer"
	"tallybook/store"
)

const (
	pipelines    = 3
	jobProcesses = 2
)

type options struct {
	events   int64
	faults   faults
	duration time.Duration // that the events are spread over; faults go on until all are done
	outage   time.Duration // 0: faults
	rate     float64       // of events during outages
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
	flag.IntVar(&o.faults.jobKills, "job-kills", 20, "how often a process of jobs is killed")
	flag.IntVar(&o.faults.jobStops, "job-stops", 5, "how often a process of jobs is stopped past its lease")
	flag.IntVar(&o.faults.jobCuts, "job-cuts", 5, "how often the network of a process of jobs is cut")
	flag.DurationVar(&o.duration, "duration", 28*time.Minute, "`time` that the events are spread over")
	flag.DurationVar(&o.outage, "outage", 0, "`time` that each part is away, one after the other; no other faults then")
	flag.Float64Var(&o.rate, "rate", 5000, "events a second while parts are away")
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
	if o.outage > 0 {
		o.duration = outagesLast(o.outage)
		o.events = int64(o.rate * o.duration.Seconds())
	}
	if o.events < 1 || o.duration <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaoscluster: -events, -duration and -rate must be above 0, and there are no arguments")
		return 2
	}
	t := &test{options: o, outcomes: map[int64]string{}}
	return known.Test{Name: "chaoscluster", Seed: o.seed, Dir: o.dir, Keep: o.keep}.Run(ctx, &t.Report, t.run)
}

// test is one run.
type test struct {
	options
	known.Report
	parts           parts
	pipelines, jobs *fleet
	store           *store.Store // past all proxies
	load            producer.GenerateConfig
	sender          *known.Load
	hit             int              // faults of jobs that met a compaction
	outcomes        map[int64]string // of runs of compaction, by number
}

func (t *test) run(ctx context.Context, work string) (err error) {
	defer t.parts.stop()
	if err := t.parts.start(ctx, work); err != nil {
		return err
	}
	if t.store, err = store.Open(ctx, t.parts.store.String(), store.Options{Log: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	defer t.store.Close()
	t.pipelines, t.jobs = newFleet(&t.parts, "pipeline"), newFleet(&t.parts, jobFlags...)
	defer t.pipelines.close()
	defer t.jobs.close()
	if err := errors.Join(t.pipelines.begin(ctx, pipelines), t.jobs.begin(ctx, jobProcesses)); err != nil {
		return err
	}
	began := time.Now()
	t.load = producer.GenerateConfig{Seed: t.seed, Events: t.events, Rate: float64(t.events) / t.duration.Seconds(), Shape: producer.Live,
		Start:      began.Truncate(24 * time.Hour).Add(-t.duration / 2),
		ErrorShare: 0.03, EmailShare: 0.03, DuplicateShare: 0.01, LateShare: 0.01, MalformedShare: 0.001, Now: time.Now}
	t.sender = known.NewLoad(t.parts.kafka.Address)
	defer t.sender.Kafka.Close()
	g, fire := errgroup.WithContext(ctx)
	g.Go(func() error { return t.sender.Run(fire, t.load) })
	g.Go(func() error {
		if t.outage > 0 {
			return t.outages(fire)
		}
		return t.underFire(fire, began)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	t.Show("time", "%s of faults and events", time.Since(began).Round(time.Second))
	return t.check(ctx)
}
