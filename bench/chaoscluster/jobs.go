package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tallybook/bench/known"
	"tallybook/store"
)

const (
	compactJob   = "compact"
	askEvery     = 3 * time.Second
	runsSeen     = 20               // looked at each time; the store keeps 100
	compactLimit = 5 * time.Minute  // for the jobs to go on behind a fault
	runningLimit = 10 * time.Second // that a fault waits for a run to hit
)

// jobFlags have every date compacted as soon as it has ended, and what was
// replaced deleted soon: other processes meet files that have gone.
var jobFlags = []string{"jobs", "--log-level", "debug", "--compact-after", "1s", "--retired-keep", "10s"}

// askedJobs run again and again, besides their schedules.
var askedJobs = []string{compactJob, "rollups", "sketches"}

// askAll asks for runs of jobs until ctx ends, and notes how those of compaction
// end. The store is away now and then.
func (t *test) askAll(ctx context.Context) error {
	for {
		for _, job := range askedJobs {
			_, _ = t.store.AskJob(ctx, job)
		}
		if _, runs := t.compaction(ctx); runs != nil {
			t.note(runs)
		}
		if err := pause(ctx, askEvery); err != nil {
			return err
		}
	}
}

func (t *test) note(runs []store.JobRun) {
	for _, r := range runs {
		t.outcomes[r.Number] = r.Outcome
	}
}

// compaction is who compacts, "" for nobody, and the latest runs, newest first;
// nil where the store is away.
func (t *test) compaction(ctx context.Context) (holder string, runs []store.JobRun) {
	states, err := t.store.JobStates(ctx, runsSeen)
	if err != nil {
		return "", nil
	}
	for _, s := range states {
		if s.Name == compactJob {
			if s.Until.After(time.Now()) {
				holder = s.Holder
			}
			return holder, s.Runs
		}
	}
	return "", nil
}

// compacting is the process of jobs that compacts at the moment; any where that
// cannot be found out.
func (t *test) compacting(ctx context.Context, random *rand.Rand) *process {
	for deadline := time.Now().Add(runningLimit); time.Now().Before(deadline); {
		holder, _ := t.compaction(ctx)
		for _, p := range t.jobs.all {
			if strings.Contains(holder, fmt.Sprintf("/%d/", p.cmd.Process.Pid)) {
				// Not always at the first step.
				_ = pause(ctx, time.Duration(random.Int64N(int64(2*time.Second))))
				t.hit++
				return p
			}
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return t.jobs.any(random)
}

// merges waits until another merge is committed, or a run of compaction that
// begins from now on has ended well, and says how long that took.
func (t *test) merges(ctx context.Context) (time.Duration, error) {
	before, err := t.filesLeft(ctx)
	seen := err == nil
	ended := t.compacted()
	return t.await(ctx, func(ctx context.Context) bool {
		now, err := t.filesLeft(ctx)
		if err == nil && !seen {
			before, seen = now, true
		}
		return err == nil && now.swaps > before.swaps || ended(ctx)
	})
}

// compacted says whether a run of compaction that began from now on has ended well.
func (t *test) compacted() func(context.Context) bool {
	began := time.Now()
	return func(ctx context.Context) bool {
		_, runs := t.compaction(ctx)
		return slices.ContainsFunc(runs, func(r store.JobRun) bool { return r.BeganAt.After(began) && r.Outcome == "ok" })
	}
}

// await waits for something that the jobs do, and says how long that took.
func (t *test) await(ctx context.Context, done func(context.Context) bool) (time.Duration, error) {
	for began := time.Now(); ; {
		for _, p := range t.jobs.all {
			if err := p.lives(); err != nil {
				return 0, err
			}
		}
		if done(ctx) {
			return time.Since(began), nil
		}
		if time.Since(began) > compactLimit {
			_, runs := t.compaction(ctx)
			return 0, known.Finding(fmt.Sprintf("nothing is compacted for %s: %+v", compactLimit, runs))
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// settled waits until nothing is left to be built, compacted or deleted, and no
// manifest to be written.
func (t *test) settled(ctx context.Context) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	asking := make(chan error, 1)
	go func() { asking <- t.askAll(ctx) }()
	defer func() { enough(); <-asking }()
	for deadline := time.Now().Add(compactLimit); ; {
		before, err := t.filesLeft(ctx)
		if err != nil {
			return err
		}
		if _, err := t.await(ctx, t.compacted()); err != nil {
			return err
		}
		after, err := t.filesLeft(ctx)
		if err != nil {
			return err
		}
		if after == before && after.retired == 0 && after.manifests == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return known.Finding(fmt.Sprintf("compaction does not come to an end in %s: %+v", compactLimit, after))
		}
	}
}

// left is what compaction has done and still has to do.
type left struct {
	swaps              int64
	retired, manifests int
}

func (t *test) filesLeft(ctx context.Context) (l left, err error) {
	err = t.store.View(ctx, func(v *store.View) error {
		swaps, err := v.FileChanges()
		if err != nil {
			return err
		}
		retired, err := v.DeletableFiles(time.Now().Add(24*time.Hour), 1)
		if err != nil {
			return err
		}
		due, err := v.DueManifests()
		l = left{swaps, len(retired), len(due)}
		return err
	})
	return l, err
}

var mergedLine = regexp.MustCompile(`compacted (\d+) files of`)

// showJobs says what compaction did under fire, and finds where that was nothing.
func (t *test) showJobs(ctx context.Context) error {
	l, err := t.filesLeft(ctx)
	if err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(t.parts.work, "jobs-*.log"))
	if err != nil {
		return err
	}
	said, replaced := 0, 0
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return err
		}
		for _, m := range mergedLine.FindAllSubmatch(text, -1) {
			files, err := strconv.Atoi(string(m[1]))
			if err != nil {
				return err
			}
			said, replaced = said+1, replaced+files
		}
	}
	ended := map[string]int{}
	for _, outcome := range t.outcomes {
		ended[outcome]++
	}
	t.Show("faults of jobs", "%d of %d hit the process that was compacting", t.hit, t.faults.jobKills+t.faults.jobStops+t.faults.jobCuts)
	t.Show("runs of compaction", "%d: %d well, %d with an error, %d lost with their process", len(t.outcomes), ended["ok"], ended["error"], ended["lost"])
	t.Show("merges", "%d committed; %d that their process lived to tell of replaced %d files", l.swaps, said, replaced)
	if l.swaps == 0 {
		t.Find("nothing was merged, so that nothing was shown of compaction")
	}
	return nil
}
