package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/bench/known"
)

// faults are how many of each there shall be.
type faults struct {
	kills, stops, brokers, stores, buckets, cuts, changes int
	jobKills, jobStops, jobCuts                           int
}

const (
	sessionTimeout = 10 * time.Second // of a pipeline
	leaseTime      = 30 * time.Second // of a job
	longestCut     = 20 * time.Second
	longestJobCut  = 40 * time.Second
	longestPause   = 3 * time.Second // between a kill that nobody waits for and the next fault
)

// fault is a kind of them.
type fault struct {
	name  string
	times int
	kill  bool // half of these nobody waits for
	do    func(ctx context.Context) error
}

// series are faults that come one after the other, in random order.
type series struct {
	faults    []fault
	random    *rand.Rand
	recovered func(context.Context) (time.Duration, error)
	took      map[string][]time.Duration
}

// underFire does all faults, those of pipelines and parts beside those of jobs.
// Meanwhile the jobs are asked to run again and again.
func (t *test) underFire(ctx context.Context, began time.Time) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	asking := make(chan error, 1)
	go func() { asking <- t.askAll(ctx) }()
	all := []*series{t.pipelineSeries(), t.jobSeries()}
	g, faulty := errgroup.WithContext(ctx)
	for _, s := range all {
		g.Go(func() error { return s.run(faulty, began, t.duration) })
	}
	err := g.Wait()
	enough()
	<-asking
	for _, s := range all {
		s.show(&t.Report)
	}
	return err
}

// run spreads them over a time; later ones come as soon as they can. Behind half
// of the kills nobody waits until all is well again, so that the next fault meets
// a take-over; else the time until then is the fault's recovery.
func (s *series) run(ctx context.Context, began time.Time, duration time.Duration) error {
	s.took = map[string][]time.Duration{}
	var all []fault
	for _, f := range s.faults {
		for range f.times {
			all = append(all, f)
		}
	}
	s.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for i, f := range all {
		if left := duration*time.Duration(i)/time.Duration(len(all)) - time.Since(began); left > 0 {
			if err := pause(ctx, left); err != nil {
				return err
			}
		}
		if err := f.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if f.kill && s.random.IntN(2) == 0 {
			if err := pause(ctx, s.within(0, longestPause)); err != nil {
				return err
			}
			continue
		}
		recovery, err := s.recovered(ctx)
		if err != nil {
			return fmt.Errorf("behind %s: %w", f.name, err)
		}
		s.took[f.name] = append(s.took[f.name], recovery)
		fmt.Fprintf(os.Stderr, "%s  %3d of %d: %s, recovered in %s\n", time.Now().UTC().Format(time.TimeOnly), i+1, len(all), f.name, recovery.Round(10*time.Millisecond))
	}
	_, err := s.recovered(ctx)
	return err
}

func (s *series) within(least, most time.Duration) time.Duration {
	return least + time.Duration(s.random.Int64N(int64(most-least)))
}

func (s *series) show(r *known.Report) {
	for _, f := range s.faults {
		if f.times > 0 {
			r.Show(f.name, "%d; recovery %s", f.times, known.Spread(s.took[f.name]))
		}
	}
}

func (t *test) newSeries(stream uint64) *series {
	return &series{random: rand.New(rand.NewPCG(t.seed, stream))}
}

func (t *test) pipelineSeries() *series {
	s := t.newSeries(1)
	s.recovered = t.pipelines.recovered
	part := func(restart func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return restart(context.WithoutCancel(ctx)) } // a script is not cut off
	}
	s.faults = []fault{
		{"kill -9 of a pipeline", t.faults.kills, true, func(context.Context) error {
			p := t.pipelines.any(s.random)
			p.kill()
			return p.start()
		}},
		{"zombie", t.faults.stops, false, func(ctx context.Context) error {
			return t.pipelines.any(s.random).freeze(ctx, s.within(sessionTimeout+time.Second, sessionTimeout+5*time.Second))
		}},
		{"kill -9 of Kafka", t.faults.brokers, false, part(t.parts.kafka.Restart)},
		{"kill of PostgreSQL", t.faults.stores, false, part(t.parts.postgres.Restart)},
		{"kill -9 of the S3 server", t.faults.buckets, false, part(t.parts.s3.Restart)},
		{"network cut", t.faults.cuts, false, func(ctx context.Context) error {
			return t.pipelines.any(s.random).cutOff(ctx, s.random.IntN(2) == 0, s.within(time.Second, longestCut))
		}},
		{"added and taken away", t.faults.changes, false, func(ctx context.Context) error {
			if err := t.pipelines.add(); err != nil {
				return err
			}
			if _, err := t.pipelines.recovered(ctx); err != nil {
				return err
			}
			return t.pipelines.remove(t.pipelines.any(s.random))
		}},
	}
	return s
}

func (t *test) jobSeries() *series {
	s := t.newSeries(2)
	s.recovered = t.merges
	s.faults = []fault{
		{"kill -9 of jobs", t.faults.jobKills, true, func(ctx context.Context) error {
			p := t.compacting(ctx, s.random)
			p.kill()
			return p.start()
		}},
		{"zombie of jobs", t.faults.jobStops, false, func(ctx context.Context) error {
			return t.compacting(ctx, s.random).freeze(ctx, s.within(leaseTime+time.Second, leaseTime+5*time.Second))
		}},
		{"network cut of jobs", t.faults.jobCuts, false, func(ctx context.Context) error {
			return t.compacting(ctx, s.random).cutOff(ctx, s.random.IntN(2) == 0, s.within(time.Second, longestJobCut))
		}},
	}
	return s
}
