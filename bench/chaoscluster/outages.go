package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"tallybook/bench/known"
)

const (
	calm         = 30 * time.Second // before each outage and behind it
	workOff      = 90 * time.Second // that recovery may take at first; the load goes on
	caughtUp     = 2                // seconds of events that are always on their way
	outageKinds  = 4
	catchUpLimit = 10 * time.Minute
	// While a part is away each of a pipeline's partitions, six here, holds two
	// batches of 65,536 records at most, of some 300 bytes each.
	memoryHeld = 256 << 20
)

// outagesLast is how long the load has to flow.
func outagesLast(each time.Duration) time.Duration { return outageKinds * (each + 2*calm + workOff) }

// outage is a part that is away for every pipeline.
type outage struct {
	name       string
	begin, end func(context.Context) error
}

func (t *test) outageList(overloaded string) []outage {
	ways := func(each func(p *process)) func(context.Context) error {
		return func(context.Context) error {
			for _, p := range slices.Concat(t.pipelines.all, t.jobs.all) {
				each(p)
			}
			return nil
		}
	}
	return []outage{
		{"PostgreSQL is down", func(context.Context) error { return t.parts.postgres.Kill() }, t.parts.postgres.Start},
		{"PostgreSQL hangs", ways(func(p *process) { p.store.SetCut(true) }), ways(func(p *process) { p.store.SetCut(false) })},
		{"S3 answers 503", ways(func(p *process) { p.bucket.Turn(overloaded) }), ways(func(p *process) { p.bucket.Turn(t.parts.bucket) })},
		{"S3 hangs", ways(func(p *process) { p.bucket.SetCut(true) }), ways(func(p *process) { p.bucket.SetCut(false) })},
	}
}

// outages takes one part after the other away for a while. Nobody restarts
// anything: the pipelines must wait, hold no more memory, and work off what has
// gathered when the part is back.
func (t *test) outages(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	overloaded := &http.Server{Handler: http.HandlerFunc(slowDown)}
	go overloaded.Serve(l)
	defer overloaded.Close()
	t.Show("outages", "of %s each, %.0f events/s; memory is that of the largest pipeline at most", t.outage, t.rate)
	for _, o := range t.outageList(l.Addr().String()) {
		before, err := t.watch(ctx, calm)
		if err != nil {
			return err
		}
		if err := o.begin(ctx); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		during, err := t.watch(ctx, t.outage)
		if ended := o.end(ctx); err == nil {
			err = ended
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
		behind, recovery, err := t.catchUp(ctx)
		if err != nil {
			return fmt.Errorf("behind %s: %w", o.name, err)
		}
		after, err := t.watch(ctx, calm)
		if err != nil {
			return err
		}
		if during.why == "" {
			t.Find("%s: every pipeline said that it was ready", o.name)
		}
		if during.memory > before.memory+memoryHeld {
			t.Find("%s: a pipeline took %d MB, %d MB before", o.name, during.memory>>20, before.memory>>20)
		}
		t.Show(o.name, "not ready after %s, %d records behind, worked off in %s; memory %d MB before, %d MB during, %d MB after",
			during.unready.Round(100*time.Millisecond), behind, recovery.Round(100*time.Millisecond), before.memory>>20, during.memory>>20, after.memory>>20)
		t.Show("", "%s", during.why)
		fmt.Fprintf(os.Stderr, "%s  %s, recovered in %s\n", time.Now().UTC().Format(time.TimeOnly), o.name, recovery.Round(time.Second))
	}
	return nil
}

// slowDown answers as S3 does when it has too much to do.
func slowDown(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>`)
}

// seen is what was seen of the pipelines for a while.
type seen struct {
	memory  int64         // of the largest, at most
	unready time.Duration // until the first said that it is not ready
	why     string        // in its words; "": all were ready all the time
}

func (t *test) watch(ctx context.Context, d time.Duration) (s seen, err error) {
	for began := time.Now(); time.Since(began) < d; {
		for _, p := range t.pipelines.all {
			rss, err := residentBytes(p.cmd.Process.Pid)
			if err != nil {
				return s, known.Finding(fmt.Sprintf("%s has ended: %v; see %s", p.name, err, p.log.Name()))
			}
			s.memory = max(s.memory, rss)
			if s.why == "" {
				if err := p.ready(); err != nil {
					s.why, s.unready = err.Error(), time.Since(began)
				}
			}
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return s, err
		}
	}
	return s, nil
}

func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(text), "VmRSS:")
	var kib int64
	if _, err := fmt.Sscan(rest, &kib); err != nil || !found {
		return 0, fmt.Errorf("process %d has no memory: %w", pid, err)
	}
	return kib << 10, nil
}

// catchUp says how many records wait when the part is back, and how long it took
// until all pipelines were ready and what waits is what always does.
func (t *test) catchUp(ctx context.Context) (behind int64, took time.Duration, err error) {
	behind = -1
	ready := false
	for began := time.Now(); ; {
		lag, err := t.sender.Lag(ctx, t.store) // an error first, on connections from before
		if err == nil && behind < 0 {
			behind = lag
		}
		if err == nil && !ready {
			if _, err := t.pipelines.recovered(ctx); err != nil {
				return 0, 0, err
			}
			ready = true
			continue
		}
		if took = time.Since(began); err == nil && float64(lag) < caughtUp*t.rate {
			return behind, took, nil
		}
		if took > catchUpLimit {
			return 0, 0, known.Finding(fmt.Sprintf("%d records behind after %s (%v), %d when the part came back", lag, took, err, behind))
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return 0, 0, err
		}
	}
}
