// Command chaos kills tallybook with -9 at random moments while events are sent
// to it, and holds what it shows at the end against what was sent, to the event:
//
//	go run ./bench/chaos -kills 50 -events 2000000
//
// Three loads run through all kills: the generator's (duplicates, late and
// malformed records among them) over Kafka, each batch sent until it is
// acknowledged; batches of events over POST /v1/events, half of which are
// given up when no answer comes; and events that are retracted and amended,
// some at once, some when they are long archived. Then
//
//   - what was counted must equal the generator's totals by topic, account, hour
//     and status, and each event that HTTP called accepted must be there once;
//   - of the corrected events there must be left what their last revisions say,
//     each correction having made its rows once;
//   - duplicates and error rows may be more than the generator made, since a
//     batch whose acknowledgement was lost is sent again: counted + duplicate +
//     rejected must then equal the records in the log, and each malformed record
//     must be refused, for its reason;
//   - what a reader saw while it ran (positions, totals) must never have gone back,
//     and right after a kill no file may be visible without its checkpoint;
//   - verify, balance and an outside reader of the Parquet files must agree.
//
// Exit codes: 0 no difference, 1 a difference (the data folder stays), 2 the
// test could not be run.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/bench/known"
	"tallybook/pipeline/producer"
)

type options struct {
	kills     int
	events    int64
	rate      float64
	seed      uint64
	tallybook string // program; empty: built
	python    string // with duckdb; empty: no outside reader
	dir       string // parent of the data folder
	keep      bool
}

func main() {
	var o options
	flag.IntVar(&o.kills, "kills", 50, "how often the process is killed")
	flag.Int64Var(&o.events, "events", 2_000_000, "records that the generator makes")
	flag.Float64Var(&o.rate, "rate", 16_000, "records a second; what waited while nothing listened is sent faster")
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()), "of the moments and the events")
	flag.StringVar(&o.tallybook, "tallybook", "", "the `program` (default: built from this repository)")
	flag.StringVar(&o.python, "python", "", "a `python3` with duckdb, to count the Parquet files from outside")
	flag.StringVar(&o.dir, "dir", "", "`folder` to work in (default: a temporary one)")
	flag.BoolVar(&o.keep, "keep", false, "leave the data folder where all is well too")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, o))
}

func run(ctx context.Context, o options) int {
	if o.kills < 0 || o.events < 1 || o.rate <= 0 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "chaos: -kills must be 0 or more, -events and -rate above 0, and there are no arguments")
		return 2
	}
	t := &test{options: o, random: rand.New(rand.NewPCG(o.seed, 1))}
	return known.Test{Name: "chaos", Seed: o.seed, Dir: o.dir, Keep: o.keep}.Run(ctx, &t.Report, func(ctx context.Context, work string) error {
		t.work = work
		return t.run(ctx)
	})
}

// test is one run.
type test struct {
	options
	known.Report
	work    string // folder: data/ and tallybook.log
	random  *rand.Rand
	child   *child
	load    producer.GenerateConfig
	kafka   *known.Load
	http    *httpLoad
	fixes   *fixLoad
	watch   *watcher
	dead    dead
	began   time.Time
	took    time.Duration
	killed  int
	inStart int             // of them before the process was ready
	ready   []time.Duration // from start to ready, where it lived to see it
}

func (t *test) data() string { return filepath.Join(t.work, "data") }

func (t *test) run(ctx context.Context) error {
	if t.tallybook == "" {
		t.tallybook = filepath.Join(t.work, "tallybook")
		build := exec.CommandContext(ctx, "go", "build", "-o", t.tallybook, "tallybook")
		build.Stdout, build.Stderr = os.Stderr, os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build tallybook: %w", err)
		}
	}
	child, err := newChild(t.tallybook, t.work, t.data())
	if err != nil {
		return err
	}
	defer child.close()
	t.child = child
	if err := t.underFire(ctx); err != nil {
		return err
	}
	return t.check(ctx)
}

// underFire runs the loads and kills the process until both are done, and leaves
// it running with all of the log worked off.
func (t *test) underFire(ctx context.Context) error {
	t.began = time.Now()
	t.load = producer.GenerateConfig{Seed: t.seed, Events: t.events, Rate: t.rate, Shape: producer.Live, Start: t.began,
		ErrorShare: 0.03, EmailShare: 0.03, DuplicateShare: 0.01, LateShare: 0.01, MalformedShare: 0.001, Now: time.Now}
	t.kafka = known.NewLoad(t.child.kafka)
	t.http = newHTTPLoad(t.child.http, t.seed)
	t.fixes = newFixLoad(t.child.kafka, t.began)
	t.watch = newWatcher(t.child.http)
	t.dead = dead{data: t.data(), next: map[string]int64{}}
	if err := t.child.start(t.interval()); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	endless, enough := context.WithCancel(ctx)
	defer enough()
	sent := make(chan struct{})
	g.Go(func() error {
		defer close(sent)
		return t.kafka.Run(ctx, t.load)
	})
	g.Go(func() error { return t.http.run(endless) })
	g.Go(func() error { return t.fixes.run(ctx, endless) })
	g.Go(func() error { return t.watch.run(endless) })
	g.Go(func() error {
		defer enough()
		if err := t.killAll(ctx); err != nil {
			return err
		}
		select {
		case <-sent:
		case <-ctx.Done():
		}
		return t.child.waitReady(ctx, time.Minute)
	})
	if err := g.Wait(); err != nil {
		return err
	}
	t.took = time.Since(t.began)
	return nil
}

func (t *test) interval() time.Duration {
	if t.random.IntN(2) == 0 {
		return 200 * time.Millisecond
	}
	return time.Second
}

// killAll kills and restarts, at moments spread over the time that the load
// takes: some while the process starts and recovers, some counted from when it
// was ready, most whenever.
func (t *test) killAll(ctx context.Context) error {
	mean := float64(t.events) / t.rate / float64(max(t.kills, 1))
	within := func(least, most float64) time.Duration {
		return time.Duration((least + t.random.Float64()*max(0, most-least)) * float64(time.Second))
	}
	for range t.kills {
		life := within(0.2, 2*mean)
		switch t.random.IntN(4) {
		case 0:
			life = within(0.01, 0.4)
		case 1:
			if err := t.child.waitReady(ctx, time.Minute); err != nil {
				return err
			}
			life = within(0, 2*mean)
		}
		if err := t.child.live(ctx, life); err != nil {
			return err
		}
		ready, wasReady := t.child.kill()
		t.killed++
		if wasReady {
			t.ready = append(t.ready, ready)
		} else {
			t.inStart++
		}
		// Not each time: reading the store rebuilds its index of the log.
		if t.random.IntN(3) == 0 {
			if err := t.dead.look(ctx); err != nil {
				return err
			}
		}
		if err := t.child.start(t.interval()); err != nil {
			return err
		}
	}
	return nil
}
