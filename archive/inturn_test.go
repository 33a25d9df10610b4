package archive

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// Several are read at a time, all are used in order, and those who share a limit
// keep to it together without waiting for each other in vain.
func TestInTurn(t *testing.T) {
	const atOnce, files, readers = 4, 40, 3
	limit := make(chan struct{}, atOnce)
	var under, most atomic.Int64
	full := make(chan struct{})
	filled := sync.OnceFunc(func() { close(full) })
	var wait sync.WaitGroup
	for range readers {
		wait.Go(func() {
			var used []int
			err := InTurn(context.Background(), limit, files, func(_ context.Context, i int, turn func() error) error {
				n := under.Add(1)
				defer under.Add(-1)
				if n == atOnce {
					filled()
				}
				for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
				}
				<-full // so many are read at once, or this waits for ever
				if i%5 == 0 {
					return nil // nothing to use
				}
				if err := turn(); err != nil {
					return err
				}
				used = append(used, i)
				return nil
			})
			if err != nil || len(used) != files*4/5 || !slices.IsSorted(used) {
				t.Errorf("got %v, %v", used, err)
			}
		})
	}
	wait.Wait()
	if got := most.Load(); got != atOnce {
		t.Errorf("got %d at once, want %d", got, atOnce)
	}
}

// An error ends the others, also those whose turn never comes.
func TestInTurnError(t *testing.T) {
	fault := errors.New("fault")
	limit := make(chan struct{}, 3)
	var used atomic.Int64
	err := InTurn(context.Background(), limit, 100, func(_ context.Context, i int, turn func() error) error {
		if i == 7 {
			return fault
		}
		if err := turn(); err != nil {
			return err
		}
		used.Add(1)
		return nil
	})
	if !errors.Is(err, fault) || used.Load() > 7 || len(limit) != 0 {
		t.Errorf("got %v, %d were used, %d places are taken", err, used.Load(), len(limit))
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := InTurn(ended, limit, 1, func(_ context.Context, _ int, turn func() error) error { return turn() }); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Whoever is called off while others have all places has not read its files, and
// must hear so: a window without them would take their repeats for new.
func TestInTurnCalledOff(t *testing.T) {
	limit := make(chan struct{}, 1)
	limit <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := InTurn(ctx, limit, 1, func(_ context.Context, _ int, turn func() error) error { return turn() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
