package jobs

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tallybook/store"
)

// requestEvery is how often requests for runs out of turn are looked for, and how
// often the progress of a run is written down.
const requestEvery = time.Second

// serveRequests runs jobs that are asked for in the store, until ctx ends and the
// last of them has returned. Of several processes one serves a request, as it
// does a time of the schedule. A store that is away is asked again.
func (r *Runner) serveRequests(ctx context.Context) {
	if r.cfg.Store == nil {
		<-ctx.Done()
		return
	}
	var running sync.WaitGroup
	defer running.Wait()
	tick := time.NewTicker(requestEvery)
	defer tick.Stop()
	for recorded := false; ; {
		var asked []store.JobRequest
		var err error
		if !recorded {
			err = r.record(ctx)
			recorded = err == nil
		}
		if recorded {
			asked, err = r.cfg.Store.AskedJobs(ctx)
		}
		if err != nil && ctx.Err() == nil {
			r.cfg.Log.Warn("look for jobs that were asked for", "err", err)
		}
		for _, q := range asked {
			if r.byName[q.Job] != nil {
				running.Go(func() { r.serve(ctx, q.Job, q.At) })
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// noted is progress, whose last text is written into the store too while the run
// goes on, so that a run of less than a second writes nothing. stop waits.
func (r *Runner) noted(ctx context.Context, l store.Lease, progress func(string)) (note func(string), stop func()) {
	if r.cfg.Store == nil {
		return progress, func() {}
	}
	var last atomic.Pointer[string]
	ctx, cancel := context.WithCancel(ctx)
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(requestEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if text := last.Swap(nil); text != nil {
				if err := r.cfg.Store.NoteProgress(ctx, l, *text); err != nil && ctx.Err() == nil {
					r.cfg.Log.Warn("note a job's progress", "job", l.Job, "err", err)
				}
			}
		}
	})
	return func(text string) {
			last.Store(&text)
			progress(text)
		}, func() {
			cancel()
			writer.Wait()
		}
}
