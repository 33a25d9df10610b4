package api

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reads atomic.Int64
		var away error
		y := &Young{Now: time.Now, Every: 200 * time.Millisecond, Stale: time.Second, Away: time.Minute,
			Read: func(context.Context) error { reads.Add(1); return away }}
		ensure := func(want error, wantReads int64) {
			t.Helper()
			if err := y.Ensure(t.Context()); !errors.Is(err, want) || reads.Load() != wantReads {
				t.Errorf("got %v after %d readings, want %v after %d", err, reads.Load(), want, wantReads)
			}
		}
		ensure(nil, 1) // never read
		ensure(nil, 1)
		time.Sleep(time.Second)
		ensure(nil, 2) // stale
		time.Sleep(time.Second - time.Millisecond)
		ensure(nil, 2)

		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); y.Run(ctx) }()
		time.Sleep(300 * time.Millisecond)
		ensure(nil, 3) // Run read it, since it was asked for
		time.Sleep(time.Hour)
		ensure(nil, 5) // and once more for the asking above; it was stale then
		stop()
		<-ended

		away = errors.New("away")
		time.Sleep(time.Second)
		ensure(nil, 6) // what is there must do
		time.Sleep(time.Minute)
		ensure(away, 7)
		away = nil
		ensure(nil, 8)
	})
}
