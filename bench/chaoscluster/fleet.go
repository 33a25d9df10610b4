package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"tallybook/bench/known"
)

const recoveryLimit = 3 * time.Minute // then it does not recover by itself

// fleet are the processes of one mode, of which one or the other is dead.
type fleet struct {
	parts *parts
	args  []string // mode and flags
	all   []*process
	made  int
}

func newFleet(p *parts, args ...string) *fleet { return &fleet{parts: p, args: args} }

// add starts one more.
func (f *fleet) add() error {
	f.made++
	p, err := newProcess(f.parts, fmt.Sprintf("%s-%d", f.args[0], f.made), slices.Clone(f.args)...)
	if p != nil {
		f.all = append(f.all, p)
	}
	return err
}

// begin starts so many, and waits until they are ready.
func (f *fleet) begin(ctx context.Context, n int) error {
	for range n {
		if err := f.add(); err != nil {
			return err
		}
	}
	_, err := f.recovered(ctx)
	return err
}

func (f *fleet) any(random *rand.Rand) *process { return f.all[random.IntN(len(f.all))] }

// recovered waits until all are ready, and says how long that took.
func (f *fleet) recovered(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	for {
		var why error
		for _, p := range f.all {
			if err := p.ready(); err != nil {
				if errors.As(err, new(known.Finding)) {
					return 0, err
				}
				why = fmt.Errorf("%s: %w", p.name, err)
				break
			}
		}
		took := time.Since(began)
		if why == nil {
			return took, nil
		}
		if took > recoveryLimit {
			return 0, known.Finding(fmt.Sprintf("not ready again after %s: %v", recoveryLimit, why))
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// remove takes one away as an operator does.
func (f *fleet) remove(p *process) error {
	if err := p.end(); err != nil {
		return err
	}
	f.all = slices.DeleteFunc(f.all, func(other *process) bool { return other == p })
	p.close()
	return nil
}

func (f *fleet) removeAll() error {
	for len(f.all) > 0 {
		if err := f.remove(f.all[0]); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) close() {
	for _, p := range f.all {
		p.close()
	}
	f.all = nil
}
