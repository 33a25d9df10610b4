package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"time"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// EraseConfig of an Erase. Store, Archive, Lease, Account and Actor are required.
type EraseConfig struct {
	Store     *store.Store
	Archive   *archive.Archive
	Lease     store.Lease
	Now       time.Time
	Account   string
	Recipient string // only what is about this address; "": all of the account
	Actor     string // who asks for it, for the audit log
	Progress  func(string)
}

// Erase replaces what is personal of an account, or of one recipient of its
// mails, by hashes: in every archive file, and in what the store keeps of events
// and mails. Sums, row hashes and proofs stay. Files that were rewritten are
// deleted at once, with all that wait for it: who still reads one by an older
// list is told that it is gone, and reads the list again.
//
// Killed at any step and done again, it goes on: what is erased is not touched
// any more. Events that come in meanwhile or later are not erased, nor are mails
// that are still to be sent, nor the log: Kafka's retention does that.
func Erase(ctx context.Context, cfg EraseConfig) error {
	if cfg.Progress == nil {
		cfg.Progress = func(string) {}
	}
	e, err := cfg.plan(ctx)
	if err != nil {
		return err
	}
	what := store.Erased{Account: cfg.Account, Recipient: e.recipient, Actor: cfg.Actor, Lease: cfg.Lease, Text: e.text, Names: e.names, Rows: e.images}
	if e.recipient != "" {
		what.Subject = e.text("recipient", e.recipient)
	}
	changed, err := cfg.Store.ErasePersonal(ctx, what)
	if err != nil {
		return fmt.Errorf("erase what the store keeps: %w", err)
	}
	cfg.Progress(fmt.Sprintf("erased in %d rows of the store", changed))
	r := &replacer{cfg.Store, cfg.Archive, cfg.Lease, cfg.Now, cfg.Progress}
	if err := r.settle(ctx); err != nil {
		return err
	}
	if err := r.eraseFiles(ctx, e); err != nil {
		return err
	}
	// Also what a compaction replaced and keeps for readers has personal values.
	if err := cfg.Store.ExpireRetired(ctx, cfg.Lease, cfg.Now); err != nil {
		return err
	}
	if err := r.deleteRetired(ctx); err != nil {
		return err
	}
	return r.writeManifests(ctx)
}

// EraseJob is Erase for a Runner, under the lease of whoever replaces files.
func EraseJob(cfg EraseConfig) Job {
	return Job{Name: compactJob, Schedule: "@yearly", Leased: func(ctx context.Context, l store.Lease, now time.Time, progress func(string)) error {
		run := cfg
		run.Lease, run.Now, run.Progress = l, now, progress
		return Erase(ctx, run)
	}}
}

func (cfg *EraseConfig) plan(ctx context.Context) (*erasure, error) {
	secret, err := cfg.Store.Secret(ctx)
	if err != nil {
		return nil, err
	}
	var meters []store.DeclaredMeter
	err = cfg.Store.View(ctx, func(v *store.View) (err error) {
		meters, err = v.Meters()
		return err
	})
	if err != nil {
		return nil, err
	}
	return newErasure(secret, cfg.Account, cfg.Recipient, meters)
}

// eraseFiles rewrites the live files that have something to erase, a date at a time.
func (r *replacer) eraseFiles(ctx context.Context, e *erasure) error {
	for _, dataset := range schemas.Topics {
		if e.recipient != "" && dataset == schemas.Usage {
			continue // its rows are of no recipient
		}
		var days []schemas.Day
		err := r.store.View(ctx, func(v *store.View) (err error) {
			days, err = v.Days(dataset)
			return err
		})
		if err != nil {
			return err
		}
		for _, day := range days {
			err := retryMoved(ctx, func(bool) error { return r.eraseDay(ctx, e, dataset, day) })
			if err != nil {
				return fmt.Errorf("erase in %s of %s: %w", dataset, day, err)
			}
		}
	}
	return nil
}

func (r *replacer) eraseDay(ctx context.Context, e *erasure, dataset schemas.Topic, day schemas.Day) error {
	var files []store.ArchiveFile
	err := r.store.View(ctx, func(v *store.View) (err error) {
		files, err = v.Files(store.FileFilter{Dataset: dataset, Day: &day})
		return err
	})
	if err != nil {
		return err
	}
	for i := range files {
		err := r.eraseFile(ctx, e, files[i:i+1])
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: %w", files[i].Name, errMoved) // it is being published
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *replacer) eraseFile(ctx context.Context, e *erasure, file []store.ArchiveFile) error {
	f := &file[0]
	wanted, err := r.hasPersonal(ctx, e, f)
	if err != nil || !wanted {
		return err
	}
	m := archive.NewMerger(f.Dataset, f.Partition.ID)
	m.Rewriting(e.rewrite)
	if _, err := r.read(ctx, m, file); err != nil {
		return err
	}
	if err := r.replace(ctx, file, m, r.now); err != nil {
		return err
	}
	r.progress(fmt.Sprintf("erased %d values in %s", m.Changed(), f.Name))
	return r.deleteRetired(ctx)
}

// hasPersonal reports whether rewriting a file would change it.
func (r *replacer) hasPersonal(ctx context.Context, e *erasure, f *store.ArchiveFile) (found bool, err error) {
	q := archive.ScanQuery{Columns: archive.Columns(f.Dataset), From: math.MinInt64, To: math.MaxInt64, Accounts: []string{e.account}}
	err = r.archive.Scan(ctx, f.Name, q, func(rows *archive.Rows) error {
		found = found || archive.WouldRewrite(rows, e.rewrite)
		return nil
	})
	return found, err
}

// images is what becomes of the rows of a corrected event.
func (e *erasure) images(topic schemas.Topic, rows []byte) ([]byte, error) {
	var images []json.RawMessage
	if err := json.Unmarshal(rows, &images); err != nil {
		return nil, err
	}
	for i := range images {
		var err error
		if images[i], err = e.image(topic, images[i]); err != nil {
			return nil, err
		}
	}
	return json.Marshal(images)
}
