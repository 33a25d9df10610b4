package worker

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// writeJob is one batch on its way to disk, and how that ended.
type writeJob struct {
	batch    *batch
	from, to store.Position
	closedAt time.Time
	metering store.Metering

	result store.Result
	err    error
	took   time.Duration
}

// checkpointer writes the batches of one partition, one after the other, while
// the partition's own goroutine folds the next.
type checkpointer struct {
	p     *partition
	hard  context.Context
	jobs  chan *writeJob
	done  chan *writeJob
	ended sync.WaitGroup
}

func startCheckpointer(hard context.Context, p *partition) *checkpointer {
	c := &checkpointer{p: p, hard: hard, jobs: make(chan *writeJob, 1), done: make(chan *writeJob, 1)}
	c.ended.Go(func() {
		for job := range c.jobs {
			began := p.cfg.Now()
			job.err = c.write(job)
			job.took = p.cfg.Now().Sub(began)
			c.done <- job
		}
	})
	return c
}

func (c *checkpointer) start(job *writeJob) { c.jobs <- job }

// stop waits for the job under way: nothing of this owner is written after it.
func (c *checkpointer) stop() {
	close(c.jobs)
	c.ended.Wait()
}

// write is the checkpoint protocol.
func (c *checkpointer) write(job *writeJob) error {
	began := c.p.cfg.Now()
	if len(job.batch.away.all) > 0 {
		if err := c.handOn(&job.batch.away); err != nil {
			return err
		}
		began = c.lap("hand on", began)
	}
	// If we die here, the next owner hands these records on again. Where they are
	// counted, the second ones are repeats.
	cp, err := c.stage(job)
	if err != nil {
		return err
	}
	began = c.lap("stage", began)
	// If we die here, the staged files belong to no checkpoint. No reader sees
	// them, and the next owner discards them: their epoch is lower than its own.
	job.result, err = c.commit(cp)
	began = c.lap("commit", began)
	if err != nil || job.result.Outcome != store.Applied {
		// Only a refused or outdated checkpoint is known not to be committed. A
		// fenced one may be: its commit was applied, the answer lost, and then the
		// other owner came. That owner publishes or discards the files.
		if err == nil && job.result.Outcome != store.Fenced {
			c.discard(cp)
		}
		return err
	}
	// If we die here, the checkpoint holds. The next owner publishes its files.
	err = c.publish(cp)
	c.lap("publish", began)
	return err
}

func (c *checkpointer) lap(step string, began time.Time) time.Time {
	now := c.p.cfg.Now()
	c.p.cfg.metrics.step.WithLabelValues(step).Observe(now.Sub(began).Seconds())
	return now
}

// stage writes the batch's rows where no reader looks and makes the checkpoint
// that names them. It retries until it is told to stop: a full disk is waited
// out, with at most this batch and the next in memory.
func (c *checkpointer) stage(job *writeJob) (*store.Checkpoint, error) {
	b := job.batch
	cp := &store.Checkpoint{From: job.from, To: job.to, Ledger: b.ledger, ClosedAt: job.closedAt, Errors: b.errors.rows}
	b.cells.appendTo(cp, b.rows.Dict)
	if b.rated != nil {
		b.rated.appendTo(cp, b.rows.Dict)
	}
	cp.Metering, cp.AppEvents, cp.AppErrors = job.metering, b.apps, b.errors.appErrors()
	packer := &sketchPacker{}
	b.meters.appendTo(cp, packer, b.rows.Dict)
	if b.latencies != nil {
		b.latencies.appendTo(cp, packer, b.rows.Dict)
	}
	packer.appendTo(cp)
	cp.Corrections = b.corrections
	sets := []*archive.Rows{&b.rows, &b.fixes}
	if b.topic == schemas.Usage {
		cp.Pricing, cp.Subscribed = b.rates.pricing(), subscribedUse(sets...)
	}
	if len(b.errors.rows) > 0 {
		b.errors.fold(cp)
		sets = append(sets, b.errors.archiveRows())
	}
	var files []archive.StageFile
	for _, rows := range sets {
		for _, day := range archive.ByDay(rows) {
			files = append(files, archive.StageFile{Rows: rows, Day: day, Source: c.p.Partition, Epoch: job.from.Epoch})
		}
	}
	cp.Files = make([]store.ArchiveFile, len(files))
	return cp, c.each("stage", len(files), func(i int) error {
		f := files[i]
		f.Random = randomName()
		info, err := c.p.cfg.Archive.Stage(c.hard, f)
		cp.Files[i] = storeFile(info, c.p)
		return err
	})
}

// filesAtOnce bounds the files of a checkpoint that are written or published at a
// time: enough to wait for a disk or an object store once instead of 64 times,
// with few enough writers' buffers.
const filesAtOnce = 4

// each does n things of a step, several at a time, and retries each.
func (c *checkpointer) each(step string, n int, do func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(filesAtOnce)
	for i := range n {
		g.Go(func() error { return c.retry(step, func() error { return do(i) }) })
	}
	return g.Wait()
}

func storeFile(f archive.FileInfo, p *partition) store.ArchiveFile {
	return store.ArchiveFile{Name: f.Name, Staged: f.Staged, Dataset: f.Dataset, Day: f.Day, Partition: p.Partition,
		First: f.First, Last: f.Last, Rows: f.Rows, Bytes: f.Bytes, SHA256: f.SHA256,
		MinTime: f.MinTime, MaxTime: f.MaxTime, MaxLog: f.MaxLog}
}

// randomName makes file names unique for all time, also those of two tries.
func randomName() string {
	var b [4]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

func (c *checkpointer) commit(cp *store.Checkpoint) (store.Result, error) {
	req := &commitRequest{checkpoint: cp, answer: make(chan store.Result, 1)}
	select {
	case c.p.commits <- req:
	case <-c.hard.Done():
		return store.Result{}, c.hard.Err()
	}
	select {
	case res := <-req.answer:
		return res, nil
	case <-c.hard.Done():
		return store.Result{}, c.hard.Err()
	}
}

func (c *checkpointer) publish(cp *store.Checkpoint) error {
	return c.each("publish", len(cp.Files), func(i int) error {
		f := &cp.Files[i]
		return c.p.cfg.Archive.Publish(c.hard, archive.FileInfo{Name: f.Name, Staged: f.Staged})
	})
}

// discard removes staged files that no checkpoint will ever name. What it
// misses, the next owner removes.
func (c *checkpointer) discard(cp *store.Checkpoint) {
	for _, f := range cp.Files {
		if err := c.p.cfg.Archive.Discard(c.hard, f.Staged); err != nil {
			c.p.cfg.Log.Warn("staged file left for the next owner", "file", f.Staged, "error", err)
		}
	}
}

func (c *checkpointer) retry(what string, do func() error) error {
	wait := newBackoff(c.p.cfg.RetryMin, c.p.cfg.RetryMax)
	for {
		err := do()
		if err == nil {
			if wait.tries > 0 {
				c.p.setState("")
			}
			return nil
		}
		if c.hard.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		delay := wait.next()
		c.p.cfg.Log.Error("checkpoint waits", "step", what, "topic", c.p.Topic, "partition", c.p.ID, "error", err, "retry_in", delay)
		c.p.setState(what + ": " + err.Error())
		c.p.metrics.retried(what)
		sleep(c.hard, delay)
	}
}
