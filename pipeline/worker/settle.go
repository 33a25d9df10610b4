package worker

import (
	"context"
	"errors"

	"tallybook/store"
)

// closeBatch hands the batch to the checkpointer and goes on with the other;
// it waits for the checkpoint before, so that at most one is under way.
func (p *partition) closeBatch(hard context.Context) error {
	if err := p.settle(hard, true); err != nil {
		return err
	}
	b := p.batch
	if err := p.rate(hard, b); err != nil {
		return err
	}
	if err := p.correct(hard); err != nil {
		return err
	}
	to := p.pos
	to.Next, to.Clock = b.ledger.Next, p.clock
	if b.ledger.Records > 0 {
		to.LastOffset, to.LastHash = p.log.rec.offset, p.log.rec.hash()
	}
	b.rows.Dict = p.intern.strings
	p.writing.start(&writeJob{batch: b, from: p.pos, to: to, closedAt: p.cfg.Now(), metering: b.meters.metering(p.live)})
	p.inFlight = true
	p.pos = to
	if err := p.readMeters(hard, false); err != nil {
		return err
	}
	p.nextBatch()
	return nil
}

func (p *partition) nextBatch() {
	if p.intern == nil || p.intern.full() {
		p.intern = newInterner()
	}
	p.batch, p.spare = p.spare, nil
	if p.batch == nil {
		p.batch = newBatch(p.Partition, newErrorLog(p.Partition, p.cfg.ErrorRowsPerMinute))
		p.batch.meters.skipped = p.metrics.skippedValue
	}
	p.batch.start(p.pos.Next, p.intern)
	p.batch.meters.start(p.Topic, p.meters, p.intern)
	p.started = p.cfg.Now()
}

// settle takes in the checkpoint under way: if it is done, or wait is set.
func (p *partition) settle(hard context.Context, wait bool) error {
	if !p.inFlight {
		return nil
	}
	var done *writeJob
	if wait {
		select {
		case done = <-p.writing.done:
		case <-hard.Done():
			return hard.Err()
		}
	} else {
		select {
		case done = <-p.writing.done:
		default:
			return nil
		}
	}
	p.inFlight = false
	switch {
	case done.err != nil:
		return done.err
	case done.result.Outcome == store.Fenced:
		return errFenced
	case done.result.Outcome == store.Refused:
		return p.refused(done)
	case done.result.Outcome == store.Outdated:
		if err := p.rateAgain(hard, done); err != nil || !wait {
			return err
		}
		return p.settle(hard, true)
	}
	p.nowLive(done.metering.Fresh)
	p.spare, p.races = done.batch, 0
	p.limit = min(2*p.limit, p.cfg.BatchEvents)
	p.nextPos.Store(done.to.Next)
	p.metrics.checkpointed(done, p.window, p.clock, p.cfg.Now())
	return nil
}

// refused narrows the batch down: it is read again in halves, and a batch of
// one record names the record that the store refuses.
func (p *partition) refused(done *writeJob) error {
	n := done.batch.ledger.Records // offsets without a record cannot be halved
	p.cfg.Log.Warn("the store refuses a batch for its data", "topic", p.Topic, "partition", p.ID,
		"first", done.batch.ledger.First, "records", n, "error", done.result.Err)
	if errors.Is(done.result.Err, store.ErrRevisionTaken) && p.races < maxRaces {
		p.races++
		return errRefused // judged afresh, the correction is a repeat or follows the other one
	}
	if n == 1 {
		p.rejectNext, p.refusal = done.to.LastOffset, done.result.Err
		return errRefused
	}
	p.limit = int(max(1, n/2))
	return errRefused
}

// handOver writes what is folded and waits for it, so that the next owner
// starts where this one ended. The window stays, in case that is we.
func (p *partition) handOver(hard context.Context) error {
	if p.batch == nil {
		return nil
	}
	err := p.settle(hard, true)
	if err == nil && !p.batch.empty() {
		err = p.closeBatch(hard)
	}
	if err == nil {
		err = p.settle(hard, true)
	}
	if err != nil {
		p.drop()
		return err
	}
	p.batch, p.spare, p.intern = nil, nil, nil // memory that a partition at rest need not hold
	return nil
}
