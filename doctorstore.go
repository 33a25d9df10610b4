package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tallybook/schemas"
	"tallybook/store"
)

const (
	// recentRecords of each partition are looked at for keys; all would take as
	// long as there is history.
	recentRecords = 10_000_000
	ledgerPage    = 10_000
	errorRowsMax  = 10_000
	clockAhead    = 6 * time.Minute // log clocks are at most 5 minutes ahead of their worker
)

// storeContents says what the store remembers of bad days.
func (d *doctor) storeContents(ctx context.Context) {
	if d.store == nil {
		return
	}
	positions := d.positions(ctx)
	d.clocks(positions)
	d.keys(ctx, positions)
	d.errorRows(ctx)
}

func (d *doctor) clocks(positions []store.Position) {
	fine := true
	for _, pos := range positions {
		if ahead := time.UnixMicro(pos.Clock).Sub(d.now); ahead > clockAhead {
			fine = false
			d.bad("the log clock of %s is %s ahead of this machine's clock, which went back or is wrong: repeats are remembered by the log clock, "+
				"and events up to then are taken for present ones", name(pos.Partition), ahead.Round(time.Second))
		}
	}
	if fine && len(positions) > 0 {
		d.good("clocks agree")
	}
}

// keys counts records whose key is not their account: a repeat of such a record
// may lie in another partition, where nobody remembers its id.
func (d *doctor) keys(ctx context.Context, positions []store.Position) {
	var records, other int64
	for _, pos := range positions {
		after := max(0, pos.Next-recentRecords)
		for more := true; more; {
			err := d.store.View(ctx, func(v *store.View) error {
				rows, err := v.Ledger(pos.Partition, after, ledgerPage)
				for _, r := range rows {
					records, other, after = records+r.Records, other+r.OtherKey, r.Next
				}
				more = len(rows) == ledgerPage
				return err
			})
			if err != nil {
				d.bad("read the ledger of %s: %v", name(pos.Partition), err)
				return
			}
		}
	}
	switch {
	case other > 0:
		d.bad("%d of %d records have a key that is not their account: a repeat of theirs may be counted twice; "+
			"producers must use the account as the key, and Murmur2 as partitioner", other, records)
	case records > 0:
		d.good("all of %d records are keyed by their account", records)
	}
}

// errorRows: refused records are kept, and no fault of the set-up.
func (d *doctor) errorRows(ctx context.Context) {
	open := map[schemas.Reason]int64{}
	total := 0
	err := d.store.View(ctx, func(v *store.View) error {
		rows, err := v.Errors(store.ErrorFilter{Limit: errorRowsMax})
		for _, r := range rows {
			if r.Status == 0 {
				open[r.Reason] += r.Records
			}
		}
		total = len(rows)
		return err
	})
	if err != nil {
		d.bad("read the error rows: %v", err)
		return
	}
	if len(open) == 0 {
		d.good("no record was refused")
		return
	}
	var parts []string
	for reason, n := range open {
		parts = append(parts, fmt.Sprintf("%s %d", reason, n))
	}
	slices.Sort(parts)
	among := ""
	if total == errorRowsMax {
		among = fmt.Sprintf(" (of the latest %d rows)", total)
	}
	d.note("refused records, open%s: %s; see /v1/errors?internal=true", among, strings.Join(parts, ", "))
}
