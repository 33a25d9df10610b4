package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

const (
	// adoptAfter is how long workers have to make a new meter live of their
	// partitions. What is not live by then has no worker.
	adoptAfter = 10 * time.Second
	unitBatch  = 64
	waitLive   = 250 * time.Millisecond
)

// BackfillConfig says which declared meters are filled from the archive. Store
// and Archive are required.
type BackfillConfig struct {
	Store    *store.Store
	Archive  *archive.Archive
	Meter    string           // slug; "": every meter that is not complete
	Wait     bool             // for workers to make meters live; else the next run goes on
	Now      func() time.Time // nil: time.Now
	Progress func(string)     // nil: none
}

// Backfill folds into declared meters what the archive holds from before they
// were folded live. A unit, the rows of a partition and date, is one transaction
// with the note that it is done, so that neither a kill nor a second process
// counts anything twice: the one that comes later finds the note. The rows of a
// unit are committed ones below a fixed offset, so that both read the same.
func Backfill(ctx context.Context, cfg BackfillConfig) error {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	var meters []store.DeclaredMeter
	err := cfg.Store.View(ctx, func(v *store.View) (err error) {
		if cfg.Meter == "" {
			meters, err = v.Meters()
			return err
		}
		m, err := v.Meter(cfg.Meter)
		meters = append(meters, m)
		return err
	})
	if err != nil {
		return fmt.Errorf("backfill: meter %q: %w", cfg.Meter, err)
	}
	var errs []error // of one meter, which does not keep others from being filled
	for i := range meters {
		if meters[i].Complete {
			continue
		}
		if err := cfg.fill(ctx, &meters[i]); err != nil {
			errs = append(errs, fmt.Errorf("backfill meter %s: %w", meters[i].Slug, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

var errReplaced = errors.New("another version of the meter is declared")

// fill works off the units of a meter until it is complete. Without Wait it
// leaves a meter that is not live everywhere to the next run.
func (cfg *BackfillConfig) fill(ctx context.Context, m *store.DeclaredMeter) error {
	for {
		var waits []schemas.Partition
		var units []store.MeterUnit
		err := cfg.Store.View(ctx, func(v *store.View) (err error) {
			if now, err := v.Meter(m.Slug); err != nil || now.Version != m.Version {
				return cmp.Or(err, errReplaced)
			}
			if waits, err = v.MeterWaits(&m.Meter); err != nil {
				return err
			}
			units, err = v.MeterUnits(store.MeterIDOf(&m.Meter), unitBatch)
			return err
		})
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, errReplaced) {
			cfg.Progress("meter " + m.Slug + " was deleted or changed meanwhile")
			return nil
		}
		if err != nil {
			return err
		}
		for _, unit := range units {
			if err := cfg.fillUnit(ctx, &m.Meter, unit); err != nil {
				return err
			}
		}
		switch {
		case len(units) > 0:
		case len(waits) == 0:
			complete, err := cfg.Store.CompleteMeter(ctx, &m.Meter)
			if complete {
				cfg.Progress("meter " + m.Slug + " is complete")
			}
			if complete || err != nil {
				return err
			}
		case cfg.Now().Sub(m.CreatedAt) >= adoptAfter:
			if err := cfg.Store.AdoptIdle(ctx, &m.Meter); err != nil {
				return err
			}
		case !cfg.Wait:
			return nil
		default:
			cfg.Progress(fmt.Sprintf("meter %s: %d partitions are not folded live yet", m.Slug, len(waits)))
			select {
			case <-time.After(waitLive):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func (cfg *BackfillConfig) fillUnit(ctx context.Context, m *schemas.Meter, unit store.MeterUnit) error {
	var fold *meterFold
	err := retryMoved(ctx, func(bool) (err error) {
		fold, err = cfg.readUnit(ctx, m, unit)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s/%d of %s: %w", unit.Partition.Topic, unit.Partition.ID, unit.Day, err)
	}
	filled, err := cfg.Store.FillMeter(ctx, fold.fill(unit))
	if filled {
		cfg.Progress(fmt.Sprintf("meter %s: %s/%d of %s, %d rows", m.Slug, unit.Partition.Topic, unit.Partition.ID, unit.Day, fold.rows))
	}
	return err
}

// readUnit folds the rows of a unit. Files are looked up anew at each try: they
// may be moved or merged meanwhile, and hold the same rows.
func (cfg *BackfillConfig) readUnit(ctx context.Context, m *schemas.Meter, unit store.MeterUnit) (*meterFold, error) {
	var files []store.ArchiveFile
	err := cfg.Store.View(ctx, func(v *store.View) (err error) {
		files, err = v.Files(store.FileFilter{Dataset: m.Family.Topic, Day: &unit.Day, Partition: &unit.Partition})
		return err
	})
	if err != nil {
		return nil, err
	}
	fold := newMeterFold(m)
	columns := append([]string{"account", "time", "topic_offset", "sign"}, fold.extract.Columns()...)
	for i := range files {
		if files[i].First >= unit.From {
			continue
		}
		before := fold.rows
		err := withFile(&files[i], func(name string) error {
			if fold.rows != before {
				return errMoved // it went away after rows of it were folded
			}
			return cfg.Archive.Read(ctx, name, columns, func(rows *archive.Rows) error { return fold.add(rows, unit.From) })
		})
		if err != nil {
			return nil, err
		}
	}
	return fold, nil
}
