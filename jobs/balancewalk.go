package jobs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// balanceWalk goes through a partition's ledger and, beside it, through the
// files of its own dataset, both by their first offsets and a page at a time.
type balanceWalk struct {
	*balance
	line *BalanceLine
	page int
	last bool // there is no further try

	ledger  []store.LedgerRow // what is left of the page; likewise files
	files   []store.ArchiveFile
	after   int64              // the ledger's next page begins here
	behind  *store.ArchiveFile // the files' next page begins behind it
	changes int64              // FileChanges at the first page of files
	noRows  bool               // there is no further page of the ledger
	noFiles bool               // there is no further page of files
	group   balanceGroup
}

// balanceGroup is the smallest range of offsets that no ledger row and no file
// reaches out of: one checkpoint's, unless a file spans several.
type balanceGroup struct {
	from, to                 int64
	counted, extra, archived int64
}

func (w *balanceWalk) run(ctx context.Context) error {
	for {
		if err := w.fill(ctx); err != nil {
			return err
		}
		switch {
		case len(w.ledger) > 0 && (len(w.files) == 0 || w.ledger[0].First <= w.files[0].First):
			r := &w.ledger[0].Ledger
			w.line.take(r)
			w.enter(r.First, r.Next)
			w.group.counted += r.Counted
			w.group.extra += r.Extra
			w.ledger = w.ledger[1:]
		case len(w.files) > 0:
			f := &w.files[0]
			rows, err := w.rowsOf(ctx, f)
			if err != nil {
				return err
			}
			w.enter(f.First, f.Last+1)
			w.group.archived += rows
			w.line.ArchiveRows += rows
			w.files = w.files[1:]
		default:
			w.settle()
			return nil
		}
	}
}

// enter makes offsets part of the group that they overlap, or of a new one.
func (w *balanceWalk) enter(from, to int64) {
	if from >= w.group.to {
		w.settle()
		w.group = balanceGroup{from: from, to: to}
	}
	w.group.to = max(w.group.to, to)
}

func (w *balanceWalk) settle() {
	if g := &w.group; g.counted+g.extra != g.archived {
		w.line.find("offsets %d to %d: %s", g.from, g.to-1, countedText(g.counted, g.extra, g.archived))
	}
}

// fill reads the next page of a side that has nothing left. What begins at the
// position or behind it was written since the snapshot.
func (w *balanceWalk) fill(ctx context.Context) error {
	tp := schemas.Partition{Topic: w.line.Topic, ID: w.line.Partition}
	if len(w.ledger) == 0 && !w.noRows {
		err := w.cfg.Store.View(ctx, func(v *store.View) (err error) {
			w.ledger, err = v.Ledger(tp, w.after, w.page)
			return err
		})
		if err != nil {
			return fmt.Errorf("ledger from %d: %w", w.after, err)
		}
		w.noRows = len(w.ledger) < w.page
		if n := len(w.ledger); n > 0 {
			w.after = w.ledger[n-1].First + 1
		}
		for i := range w.ledger {
			if w.ledger[i].First >= w.line.Position {
				w.ledger, w.noRows = w.ledger[:i], true
				break
			}
		}
	}
	if len(w.files) == 0 && !w.noFiles {
		err := w.cfg.Store.View(ctx, func(v *store.View) (err error) {
			changes, err := v.FileChanges()
			if err == nil && w.behind != nil && changes != w.changes {
				err = errMerged
			}
			if err == nil {
				w.changes = changes
				w.files, err = v.OwnFiles(tp, w.behind, w.page)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("list files: %w", err)
		}
		w.noFiles = len(w.files) < w.page
		if n := len(w.files); n > 0 {
			w.behind = &w.files[n-1]
		}
		for i := range w.files {
			if w.files[i].First >= w.line.Position {
				w.files, w.noFiles = w.files[:i], true
				break
			}
		}
	}
	return nil
}

// rowsOf are the rows of a file that its partition counted: all, but in a file
// of errors the partition's own events alone, without its refused records.
func (w *balanceWalk) rowsOf(ctx context.Context, f *store.ArchiveFile) (int64, error) {
	if f.Dataset != schemas.Errors {
		return f.Rows, nil
	}
	var own int64
	err := withFile(f, func(name string) error {
		own = 0
		return w.cfg.Archive.Read(ctx, name, []string{"type"}, func(r *archive.Rows) error {
			for _, code := range r.Type {
				if r.String(code) != schemas.TypeInternalError {
					own++
				}
			}
			return nil
		})
	})
	switch {
	case errors.Is(err, errMoved) && !w.last, errors.Is(err, fs.ErrNotExist):
		return 0, err
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil:
		w.line.find("%v", err)
	}
	return own, nil
}
