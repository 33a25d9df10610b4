package worker

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tallybook/archive"
)

func neverAgain(c *Config) { c.FencedWait = time.Hour }

func (p *process) untilFenced() {
	p.rig.t.Helper()
	p.rig.until("the slow owner was fenced", func() bool { return *p.part.state.Load() == errFenced.Error() })
}

// The commit was applied, its answer lost; before the slow owner asks again,
// another takes over and has not yet published. The slow one is fenced, and
// must leave the committed files where the other finds them.
func TestFencedAfterUnknownCommit(t *testing.T) {
	r := newRig(t)
	r.load(0, 30)
	second := r.openStore()
	var commits, begins atomic.Int64
	var overtaking atomic.Bool
	asleep, wake := make(chan struct{}), make(chan struct{})
	listing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	r.setFault(func(at string) (error, error) {
		switch {
		case at == "commit" && commits.Add(1) == 1:
			return nil, errFault
		case at == "begin" && begins.Add(1) == 2:
			close(asleep)
			<-wake
		case at == "list" && overtaking.Load():
			once.Do(func() { close(listing); <-goOn })
		}
		return nil, nil
	})
	slow := r.start(neverAgain)
	<-asleep
	overtaking.Store(true)
	quick := r.startOn(second)
	<-listing
	close(wake)
	slow.untilFenced()
	close(goOn)
	quick.drain()
	r.check()
}

// An owner that was stopped in the middle of its take-over wakes up when a
// newer one has staged files: they are not its own to discard.
func TestSlowTakeOverLeavesNewerFiles(t *testing.T) {
	r := newRig(t)
	r.load(0, 30)
	second := r.openStore()
	var begins, lists atomic.Int64
	asleep, wake := make(chan struct{}), make(chan struct{})
	staged, goOn := make(chan struct{}), make(chan struct{})
	r.setFault(func(at string) (error, error) {
		switch {
		case at == "list" && lists.Add(1) == 1:
			close(asleep)
			<-wake
		case at == "begin" && begins.Add(1) == 1:
			close(staged)
			<-goOn
		}
		return nil, nil
	})
	slow := r.start(neverAgain)
	<-asleep
	quick := r.startOn(second)
	<-staged
	close(wake)
	slow.untilFenced()
	close(goOn)
	quick.drain()
	r.check()
}

// A hand-over that is cut short while a full batch waits for a stuck publish:
// when the partition comes back to the same process, nothing of that batch may
// be left in the window.
func TestCutHandOverForgetsItsIDs(t *testing.T) {
	r := newRig(t)
	r.load(0, 300)
	var moves atomic.Int64
	var stuck atomic.Bool
	stuck.Store(true)
	r.setFault(func(at string) (error, error) {
		if at == "move" && stuck.Load() {
			moves.Add(1)
			return errFault, nil
		}
		return nil, nil
	})
	s := r.openStore()
	defer s.Close()
	cfg := Config{Brokers: r.kafka.Brokers, Client: r.kafka.Client(), Store: s, Archive: archive.New(r.bucket), Log: quiet(),
		Interval: 10 * time.Millisecond, BatchEvents: 40, RetryMin: time.Millisecond, RetryMax: 20 * time.Millisecond}
	cfg.fill()
	secret, err := s.Secret(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	commits := make(chan *commitRequest)
	whole, end := context.WithCancel(context.Background())
	var committing sync.WaitGroup
	committing.Go(func() { (&committer{&cfg, commits}).run(whole) })
	p := newPartition(&cfg, r.tp, commits, secret)
	life := func(until func() bool, cut bool) {
		ctx, stop := context.WithCancel(context.Background())
		hard, kill := context.WithCancel(context.Background())
		defer kill()
		var running sync.WaitGroup
		running.Go(func() { p.run(ctx, hard) })
		r.until("it got on", until)
		stop()
		if cut {
			kill()
		}
		running.Wait()
	}
	life(func() bool { return moves.Load() >= 20 }, true)
	stuck.Store(false)
	last := r.end()
	life(func() bool { return p.nextPos.Load() == last }, false)
	end()
	committing.Wait()
	r.check()
}
