package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Young keeps what was read of the store from growing old. While Run runs and the
// store answers, nobody who asks waits for the store: it is read again beside
// them. Without Run, or where that is late, those who ask read it themselves.
type Young struct {
	Read  func(ctx context.Context) error // one at a time
	Now   func() time.Time
	Every time.Duration // Run reads so often, if anybody has asked since the last time
	Stale time.Duration // who finds it so old reads it, or waits for who does
	Away  time.Duration // how old it may be while it cannot be read

	reading sync.Mutex
	asked   atomic.Bool
	failing atomic.Bool  // the last reading failed
	readAt  atomic.Int64 // µs: it holds what was so then; 0: never read
}

// readTimeout bounds a reading: the store is away if it takes longer.
const readTimeout = 5 * time.Second

// Ensure returns when it is young enough; an error: it is not, and cannot be read.
func (y *Young) Ensure(ctx context.Context) error {
	if !y.asked.Load() { // the line is shared by all who ask
		y.asked.Store(true)
	}
	if y.age() < y.Stale {
		return nil
	}
	if y.failing.Load() && y.age() < y.Away { // one tries, the others go on with what is there
		if !y.reading.TryLock() {
			return nil
		}
	} else {
		y.reading.Lock()
	}
	defer y.reading.Unlock()
	if y.age() < y.Stale { // somebody read it meanwhile
		return nil
	}
	if err := y.read(ctx); err != nil && y.age() >= y.Away {
		return err
	}
	return nil
}

// Run reads until ctx ends.
func (y *Young) Run(ctx context.Context) {
	tick := time.NewTicker(y.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !y.asked.Swap(false) {
			continue
		}
		y.reading.Lock()
		if y.age() >= y.Every/2 { // not by one who asked, just now
			_ = y.read(ctx) // those who ask when it is stale hear of it
		}
		y.reading.Unlock()
	}
}

func (y *Young) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	at := y.Now().UnixMicro()
	err := y.Read(ctx)
	y.failing.Store(err != nil)
	if err == nil {
		y.readAt.Store(at)
	}
	return err
}

// age takes a clock that went back for too old as well.
func (y *Young) age() time.Duration {
	at := y.readAt.Load()
	if at == 0 {
		return 1<<63 - 1
	}
	return time.Duration(y.Now().UnixMicro()-at).Abs() * time.Microsecond
}
