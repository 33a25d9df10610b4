package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"tallybook/bench/known"
	"tallybook/schemas"
	"tallybook/store"
)

// dead looks at the data folder of a killed process, as a reader would who comes
// before the restart has put anything in order.
type dead struct {
	data  string
	looks int
	files int // seen, all looks together
	// Looks at a process that died while a batch was staged and not committed,
	// and while one was committed and not published.
	staged, unpublished int
	next                map[string]int64 // by partition: the position at the last look
}

// look checks that each file that a plain glob finds belongs to a checkpoint
// that was committed, and that no position went back.
func (d *dead) look(ctx context.Context) error {
	database := filepath.Join(d.data, "tallybook.db")
	st, err := store.Open(ctx, database, store.Options{ReadOnly: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil && d.looks == 0 {
		return nil // killed while the tables were made for the first time
	}
	if err != nil {
		return known.Finding(fmt.Sprintf("the store after a kill: %v", err))
	}
	defer st.Close()
	d.looks++
	committed := map[string]bool{}
	err = st.View(ctx, func(v *store.View) error {
		positions, err := v.Positions()
		if err != nil {
			return err
		}
		for _, p := range positions {
			name := fmt.Sprintf("%s/%d", p.Topic, p.ID)
			if p.Next < d.next[name] {
				return known.Finding(fmt.Sprintf("after a kill the position of %s is %d; it was %d", name, p.Next, d.next[name]))
			}
			d.next[name] = p.Next
		}
		files, err := v.Files(store.FileFilter{})
		for _, f := range files {
			committed[f.Name] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	return d.published(committed)
}

func (d *dead) published(committed map[string]bool) error {
	archive := os.DirFS(filepath.Join(d.data, "archive"))
	seen := 0
	for _, topic := range schemas.Topics {
		names, err := fs.Glob(archive, string(topic)+"/date=*/*.parquet")
		if err != nil {
			return err
		}
		seen += len(names)
		for _, name := range names {
			if !committed[name] {
				return known.Finding(fmt.Sprintf("after a kill readers see %s, which no checkpoint knows", name))
			}
		}
	}
	d.files += seen
	staged, err := fs.Glob(archive, "_staging/*")
	if err != nil {
		return err
	}
	unpublished := len(committed) - seen
	if unpublished > 0 {
		d.unpublished++
	}
	if len(staged) > unpublished {
		d.staged++
	}
	return nil
}
