package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// faults are how many of each there shall be.
type faults struct {
	kills, stops, brokers, stores, buckets, cuts, changes int
}

const (
	sessionTimeout = 10 * time.Second // of the workers
	longestCut     = 20 * time.Second
	longestPause   = 3 * time.Second // between a fault that nobody waits for and the next
)

// fault is one of them; it says what it did.
type fault struct {
	name string
	do   func(ctx context.Context) error
}

// underFire does all faults in random order. Behind half of the kills nobody
// waits until all is well again, so that the next fault meets a take-over; else
// the time until then is the fault's recovery.
func (t *test) underFire(ctx context.Context, began time.Time) error {
	all := t.faults.list(t)
	t.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	took := map[string][]time.Duration{}
	count := map[string]int{}
	for i, f := range all {
		// Spread over the time of the events; later ones come as soon as they can.
		if left := t.duration*time.Duration(i)/time.Duration(len(all)) - time.Since(began); left > 0 {
			if err := pause(ctx, left); err != nil {
				return err
			}
		}
		if err := f.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		count[f.name]++
		if f.name == "kill -9 of a pipeline" && t.random.IntN(2) == 0 {
			if err := pause(ctx, time.Duration(t.random.Int64N(int64(longestPause)))); err != nil {
				return err
			}
			continue
		}
		recovery, err := t.fleet.recovered(ctx)
		if err != nil {
			return fmt.Errorf("behind %s: %w", f.name, err)
		}
		took[f.name] = append(took[f.name], recovery)
		fmt.Fprintf(os.Stderr, "%s  %3d of %d: %s, recovered in %s\n", time.Now().UTC().Format(time.TimeOnly), i+1, len(all), f.name, recovery.Round(10*time.Millisecond))
	}
	for _, f := range (faults{1, 1, 1, 1, 1, 1, 1}).list(t) {
		if n := count[f.name]; n > 0 {
			t.Show(f.name, "%d; recovery %s", n, spread(took[f.name]))
		}
	}
	return nil
}

func spread(all []time.Duration) string {
	if len(all) == 0 {
		return "not waited for"
	}
	slices.Sort(all)
	tenth := func(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }
	return fmt.Sprintf("p50 %s, max %s of %d", tenth(all[len(all)/2]), tenth(all[len(all)-1]), len(all))
}

func (f faults) list(t *test) (all []fault) {
	add := func(n int, name string, do func(context.Context) error) {
		for range n {
			all = append(all, fault{name, do})
		}
	}
	add(f.kills, "kill -9 of a pipeline", t.kill)
	add(f.stops, "zombie", t.zombie)
	add(f.brokers, "kill -9 of Kafka", func(context.Context) error { return t.parts.restart("kafka") })
	add(f.stores, "kill of PostgreSQL", func(context.Context) error { return t.parts.restart("postgres") })
	add(f.buckets, "kill -9 of the S3 server", func(context.Context) error { return t.parts.restart("s3") })
	add(f.cuts, "network cut", t.cut)
	add(f.changes, "added and taken away", t.change)
	return all
}

func (t *test) any() *pipeline { return t.fleet.workers[t.random.IntN(len(t.fleet.workers))] }

func (t *test) kill(context.Context) error {
	p := t.any()
	p.kill()
	return p.start()
}

// zombie stops a pipeline until others have its partitions.
func (t *test) zombie(ctx context.Context) error {
	p := t.any()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause(ctx, sessionTimeout+time.Second+time.Duration(t.random.Int64N(int64(4*time.Second))))
	if goOn := p.cmd.Process.Signal(syscall.SIGCONT); err == nil {
		err = goOn
	}
	return err
}

// cut holds back what a pipeline and the store, or the bucket, say to each other.
func (t *test) cut(ctx context.Context) error {
	p := t.any()
	way := p.store
	if t.random.IntN(2) == 0 {
		way = p.bucket
	}
	way.setCut(true)
	defer way.setCut(false)
	return pause(ctx, time.Second+time.Duration(t.random.Int64N(int64(longestCut))))
}

// change adds a pipeline, and takes one away when that has partitions.
func (t *test) change(ctx context.Context) error {
	if _, err := t.fleet.add(); err != nil {
		return err
	}
	if _, err := t.fleet.recovered(ctx); err != nil {
		return err
	}
	return t.fleet.remove(t.any())
}
