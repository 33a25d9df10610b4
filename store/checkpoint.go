package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"tallybook/schemas"
)

// Checkpoint applies a batch, each of its checkpoints whole or not at all; the
// results are in the order of the batch. When it returns nil every Applied
// checkpoint is durable. When it returns an error nothing of the batch was
// applied, unless the error is ErrUnknown: then any of what would have been
// Applied may have been, and the caller reads the Positions to find out or sends
// the same batch again.
//
// SQLite has one transaction for the batch, since an fsync is dear; PostgreSQL
// one for each, at the same time, and makes one fsync of commits that meet.
//
// There are no savepoints: a fenced checkpoint has written nothing, and for a
// refused one, which is rare, the transaction is done again without it. SQLite
// keeps every page that a savepoint touches in a journal which each statement
// walks: with 50,000 new rows that took minutes.
func (s *Store) Checkpoint(ctx context.Context, batch []*Checkpoint) ([]Result, error) {
	results := make([]Result, len(batch))
	var err error
	if s.postgres {
		err = s.checkpointEach(ctx, batch, results)
	} else {
		err = s.checkpointTogether(ctx, batch, results)
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return results, nil
}

// checkpointEach has a transaction for each checkpoint of the batch; behind an
// error no further one begins.
func (s *Store) checkpointEach(ctx context.Context, batch []*Checkpoint, results []Result) error {
	var failed, ended atomic.Int64
	var group errgroup.Group
	group.SetLimit(postgresWriters)
	if s.opts.Fault != nil {
		group.SetLimit(1)
	}
	for i := range batch {
		group.Go(func() error {
			if failed.Load() > 0 {
				return nil
			}
			err := s.checkpointTogether(ctx, batch[i:i+1], results[i:i+1])
			if err != nil {
				failed.Add(1)
				return err
			}
			ended.Add(1)
			return nil
		})
	}
	err := group.Wait() // the first
	if err != nil && !errors.Is(err, ErrUnknown) && (ended.Load() > 0 || failed.Load() > 1) {
		return fmt.Errorf("%w, by some of %d: %w", ErrUnknown, len(batch), err)
	}
	return err
}

// checkpointTogether has a transaction for all of the batch.
func (s *Store) checkpointTogether(ctx context.Context, batch []*Checkpoint, results []Result) error {
	for tries := 0; ; {
		again, seen, err := s.checkpointAll(ctx, batch, results)
		if isAgain(err) && tries < beginsAgain {
			tries++
			continue
		}
		if err != nil {
			return err
		}
		if !again {
			s.known.add(seen) // committed, so they need no insert any more
			return nil
		}
	}
}

// checkpointAll is one try without those that were Refused; again: another was
// found, nothing is applied. It returns the ids of the series that it inserted.
func (s *Store) checkpointAll(ctx context.Context, batch []*Checkpoint, results []Result) (again bool, seen [][16]byte, err error) {
	var w *writeTx
	err = s.step("begin", func() (err error) {
		w, err = s.begin(ctx)
		return err
	})
	if err != nil {
		if w != nil {
			w.rollback()
		}
		return false, nil, err
	}
	for i, c := range batch {
		if results[i].Outcome == Refused {
			continue
		}
		ids, err := s.applyOne(ctx, w, c)
		switch {
		case err == nil:
			results[i] = Result{Outcome: Applied}
			seen = append(seen, ids...)
		case errors.Is(err, errFenced):
			results[i] = Result{Outcome: Fenced}
		case errors.Is(err, errOutdated):
			results[i] = Result{Outcome: Outdated}
		case isDataError(err):
			w.rollback()
			results[i] = Result{Refused, fmt.Errorf("checkpoint %s/%d at %d: %w", c.From.Topic, c.From.ID, c.From.Next, err)}
			return true, nil, nil
		default:
			w.rollback()
			return false, nil, fmt.Errorf("%s/%d at %d: %w", c.From.Topic, c.From.ID, c.From.Next, err)
		}
	}
	committed := false
	err = s.step("commit", func() error {
		committed = true
		return w.commit()
	})
	if !committed {
		w.rollback()
	}
	if err != nil && !errors.Is(err, ErrUnknown) {
		err = fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return false, seen, err
}

var (
	errFenced   = errors.New("fenced")   // the position is another's
	errOutdated = errors.New("outdated") // the prices are others
)

func (s *Store) applyOne(ctx context.Context, w *writeTx, c *Checkpoint) (ids [][16]byte, err error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	var already bool
	err = s.step("checkpoint", func() (err error) {
		if err := lockPosition(ctx, w, c.From.Partition); err != nil {
			return err
		}
		if err := checkMeters(ctx, w, c); err != nil {
			return err
		}
		if already, err = checkPrices(ctx, w, c); err != nil || already {
			return err
		}
		already, err = movePosition(ctx, w, c)
		return err
	})
	if err != nil || already {
		return nil, err
	}
	// Always in this order of tables, and of keys within them.
	steps := []struct {
		name string
		do   func() error
	}{
		{"series", func() (err error) { ids, err = s.insertSeries(ctx, w, c); return err }},
		{"rollups", func() error { return addRollups(ctx, w, c) }},
		{"sketches", func() error { return insertSketches(ctx, w, c) }},
		{"meters", func() error { return insertLive(ctx, w, c.From.Partition, c.Ledger.First, c.Metering.Fresh) }},
		{"files", func() error { return insertFiles(ctx, w, c) }},
		{"errors", func() error { return insertErrors(ctx, w, c) }},
		{"corrections", func() error { return insertCorrections(ctx, w, c) }},
		{"app_events", func() error { return writeAppEvents(ctx, w, c) }},
		{"quotas", func() error { return s.countQuotas(ctx, w, c) }},
		{"ledger", func() error { return insertLedger(ctx, w, c) }},
	}
	for _, st := range steps {
		if err := s.step(st.name, st.do); err != nil {
			return nil, fmt.Errorf("%s: %w", st.name, err)
		}
	}
	return ids, nil
}

// validate finds what no constraint of the tables would.
func (c *Checkpoint) validate() error {
	switch {
	case c.From.Partition != c.To.Partition:
		return fmt.Errorf("%w: from %v to %v", errInvalid, c.From.Partition, c.To.Partition)
	case c.Ledger.First != c.From.Next || c.Ledger.Next != c.To.Next:
		return fmt.Errorf("%w: it moves from %d to %d, its ledger from %d to %d", errInvalid,
			c.From.Next, c.To.Next, c.Ledger.First, c.Ledger.Next)
	case c.To.Clock < c.From.Clock:
		return fmt.Errorf("%w: the log clock goes back from %d to %d", errInvalid, c.From.Clock, c.To.Clock)
	}
	for i := range c.Series {
		if f := c.Series[i].Family; schemas.FamilyByName(f) == nil && !schemas.IsMeterFamily(f) {
			return fmt.Errorf("%w: unknown family %q", errInvalid, c.Series[i].Family)
		}
	}
	for i := range c.Deltas {
		if n := c.Deltas[i].Series; n < 0 || n >= len(c.Series) {
			return fmt.Errorf("%w: delta %d is of series %d of %d", errInvalid, i, n, len(c.Series))
		}
	}
	return nil
}

// lockPosition keeps the position as it is until the transaction ends: whoever
// makes a meter live of the partition takes the same lock, so that either sees
// what the other did.
func lockPosition(ctx context.Context, w *writeTx, tp schemas.Partition) error {
	if w.forUpdate == "" {
		return nil
	}
	return w.exec(ctx, `SELECT 1 FROM positions WHERE topic = ? AND partition = ?`+w.forUpdate, string(tp.Topic), tp.ID)
}

// movePosition is the compare-and-swap. already: a commit of this very
// checkpoint, whose answer was lost, had been applied.
func movePosition(ctx context.Context, w *writeTx, c *Checkpoint) (already bool, err error) {
	from, to := &c.From, &c.To
	moved, err := w.execCount(ctx, `
		UPDATE positions SET next_offset = ?, clock = ?, last_offset = ?, last_hash = ?
		WHERE topic = ? AND partition = ? AND next_offset = ? AND epoch = ?`,
		to.Next, to.Clock, to.LastOffset, to.LastHash[:], string(from.Topic), from.ID, from.Next, from.Epoch)
	if err != nil || moved == 1 {
		return false, err
	}
	if already, err = wasApplied(ctx, w, c); err == nil && !already {
		err = errFenced
	}
	return already, err
}

// wasApplied reports whether the position is where this very checkpoint leaves
// it; errFenced where it is neither there nor where the checkpoint begins.
func wasApplied(ctx context.Context, w *writeTx, c *Checkpoint) (bool, error) {
	from, to := &c.From, &c.To
	is, err := scanPosition(w.conn.QueryRowContext(ctx, positionQuery, string(from.Topic), from.ID))
	switch {
	case errors.Is(err, ErrNotFound):
		return false, errFenced
	case err != nil:
		return false, engineError(err)
	case is.Epoch == from.Epoch && is.Next == to.Next && is.LastHash == to.LastHash:
		return true, nil
	case is.Epoch == from.Epoch && is.Next == from.Next:
		return false, nil
	}
	return false, errFenced
}

// step does one step, with the fault that a test wants of it.
func (s *Store) step(name string, do func() error) error {
	if s.opts.Fault == nil {
		return do()
	}
	before, after := s.opts.Fault(name)
	if before != nil {
		return before
	}
	if err := do(); err != nil {
		return err
	}
	return after
}
