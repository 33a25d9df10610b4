package worker

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
)

// steps of a checkpoint and of a take-over, as store and bucket name them.
var steps = []string{"put", "begin", "checkpoint", "series", "rollups", "sketches", "meters", "files", "errors", "app_events", "quotas", "ledger", "commit", "move", "list"}

var errFault = errors.New("injected fault")

// Each step fails, not applied or applied but answered with an error, in the
// first or a later checkpoint, and the process goes on by itself or dies at
// that very moment and is started again from what is on disk.
func TestFaults(t *testing.T) {
	for _, step := range steps {
		for _, applied := range []bool{false, true} {
			for _, dies := range []bool{false, true} {
				for _, nth := range []int64{1, 4} {
					t.Run(fmt.Sprintf("%s applied=%t dies=%t nth=%d", step, applied, dies, nth), func(t *testing.T) {
						t.Parallel()
						faultOnce(newRig(t), step, applied, dies, nth)
					})
				}
			}
		}
	}
}

func faultOnce(r *rig, step string, applied, dies bool, nth int64) {
	t := r.t
	r.load(0, 100)
	var seen atomic.Int64
	struck := make(chan struct{})
	var victim atomic.Pointer[process]
	r.setFault(func(at string) (before, after error) {
		if at != step || seen.Add(1) != nth {
			return nil, nil
		}
		close(struck)
		if p := victim.Load(); dies && p != nil {
			p.kill()
		}
		if applied {
			return nil, errFault
		}
		return errFault, nil
	})
	p := r.start()
	victim.Store(p)
	r.load(100, 100)
	r.until("the fault has struck", func() bool {
		select {
		case <-struck:
			return true
		default:
			return p.part.nextPos.Load() == r.end()
		}
	})
	if seen.Load() < nth {
		t.Fatalf("step %s was reached %d times only", step, seen.Load())
	}
	if dies {
		p.kill()
		<-p.exited
	} else {
		p.drain()
		r.check()
	}
	r.load(200, 50)
	r.finish()
}
