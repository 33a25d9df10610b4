package jobs

import (
	"context"
	"fmt"

	"tallybook/store"
)

const (
	sketchBatch = 250 // rows, each of up to 24 hours
	// maxSketchBatches bounds one run where checkpoints append as fast as rows
	// are merged; the next run goes on.
	maxSketchBatches = 10_000
)

// MergeSketches moves what checkpoints appended into one row for each account
// and hour, in bounded transactions. Each may be the last: merging adds, and a
// row that was merged is gone from where it came.
func MergeSketches(ctx context.Context, st *store.Store, progress func(string)) error {
	merged := 0
	for range maxSketchBatches {
		n, err := st.MergeSketches(ctx, sketchBatch)
		if err != nil {
			return err
		}
		merged += n
		if n < sketchBatch {
			break
		}
	}
	if progress != nil && merged > 0 {
		progress(fmt.Sprintf("merged %d rows of sketches", merged))
	}
	return nil
}
