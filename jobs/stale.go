package jobs

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// maxStale bounds the marks of one date that a run takes on, about 300 bytes each.
const maxStale = 200_000

// RecomputeExtremes computes least and greatest value of the hour rows that a
// retraction made stale from the archive, a date at a time, and takes their
// marks away. It may die at any step, run beside checkpoints and beside itself:
// a row that was touched since it was looked at keeps its mark for the next run.
func RecomputeExtremes(ctx context.Context, st *store.Store, ar *archive.Archive, progress func(string)) error {
	for from := schemas.Hour(math.MinInt32); ; {
		var first []store.StaleRow
		err := st.View(ctx, func(v *store.View) (err error) {
			first, err = v.Stale(store.StaleQuery{From: from, To: math.MaxInt32, Limit: 1})
			return err
		})
		if err != nil || len(first) == 0 {
			return err
		}
		day := first[0].Window.Day()
		set, err := recomputeDay(ctx, st, ar, day)
		if err != nil {
			return fmt.Errorf("least and greatest values of %s: %w", day, err)
		}
		if progress != nil {
			progress(fmt.Sprintf("computed least and greatest values of %d hour rows of %s", set, day))
		}
		from = (day + 1).Hour()
	}
}

func recomputeDay(ctx context.Context, st *store.Store, ar *archive.Archive, day schemas.Day) (set int, err error) {
	var done []store.Extremes
	err = retryMoved(ctx, func(bool) error {
		s := &staleDay{archive: ar, day: day, cells: map[cell]*staleCell{}, files: map[schemas.Topic][]store.ArchiveFile{}}
		if err := st.View(ctx, s.snapshot); err != nil {
			return err
		}
		if err := s.compute(ctx); err != nil {
			return err
		}
		done = s.extremes()
		return nil
	})
	if err != nil {
		return 0, err
	}
	return st.SetExtremes(ctx, done)
}

// staleDay are the stale rows of a date in one snapshot, with the files that
// hold the rows behind them.
type staleDay struct {
	archive *archive.Archive
	day     schemas.Day
	cells   map[cell]*staleCell
	files   map[schemas.Topic][]store.ArchiveFile
	meters  []schemas.Meter // declared ones that have stale rows
	dims    []string
}

type staleCell struct {
	store.StaleRow
	survivors
}

func (s *staleDay) snapshot(v *store.View) error {
	rows, err := v.Stale(store.StaleQuery{From: s.day.Hour(), To: (s.day + 1).Hour(), Limit: maxStale})
	if err != nil {
		return err
	}
	families := map[string]bool{} // true: not to be computed
	for _, r := range rows {
		s.cells[cell{r.Window, r.Series.ID}] = &staleCell{StaleRow: r}
		families[r.Series.Family] = true
	}
	declared, err := v.Meters()
	if err != nil {
		return err
	}
	topics := map[schemas.Topic]bool{}
	for i := range declared {
		if m := &declared[i]; m.Complete && families[m.Family.Name] {
			s.meters = append(s.meters, m.Meter)
			topics[m.Family.Topic] = true
			families[m.Family.Name] = false
		}
	}
	for name := range families {
		if f := schemas.FamilyByName(name); f != nil {
			topics[f.Topic] = true
			families[name] = false
		}
	}
	// What is left are declared meters that are being filled, or were deleted:
	// their rows have fewer values than the archive, also where both add up to 0.
	maps.DeleteFunc(s.cells, func(_ cell, c *staleCell) bool { return families[c.Series.Family] })
	for topic := range topics {
		if s.files[topic], err = v.Files(store.FileFilter{Dataset: topic, Day: &s.day}); err != nil {
			return err
		}
	}
	return nil
}

// compute reads the rows of the accounts twice: what was taken away, then what
// there was.
func (s *staleDay) compute(ctx context.Context) error {
	accounts := map[string]bool{}
	for _, c := range s.cells {
		accounts[c.Series.Account] = true
	}
	for topic, files := range s.files {
		fold, columns := s.valuesOf(topic)
		q := archive.ScanQuery{Columns: columns, From: math.MinInt64, To: math.MaxInt64}
		for account := range accounts {
			q.Accounts = append(q.Accounts, account)
		}
		slices.Sort(q.Accounts)
		for _, taken := range []bool{true, false} {
			for i := range files {
				err := withFile(&files[i], func(name string) error {
					return s.archive.Scan(ctx, name, q, func(rows *archive.Rows) error { return fold(rows, taken) })
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// valuesOf makes the function that gives the values of a dataset's rows to
// their cells: those with sign -1 where taken is set, else the others.
func (s *staleDay) valuesOf(topic schemas.Topic) (fold func(rows *archive.Rows, taken bool) error, columns []string) {
	columns = slices.Clone(foldColumns[topic])
	var extractors []*archive.Extractor
	var meters []*schemas.Meter
	for i := range s.meters {
		if m := &s.meters[i]; m.Family.Topic == topic {
			x := archive.NewExtractor(m)
			extractors, meters = append(extractors, x), append(meters, m)
			columns = append(columns, x.Columns()...)
		}
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	return func(rows *archive.Rows, taken bool) error {
		for i := range rows.Len() {
			if (rows.Sign[i] < 0) != taken {
				continue
			}
			x, err := foldRow(rows, i)
			if err != nil {
				return fmt.Errorf("row at offset %d: %w", rows.Offset[i], err)
			}
			hour := schemas.HourOf(rows.Time[i])
			if x.family != nil && x.ValueCount > 0 {
				s.value(cell{hour, schemas.MakeSeriesID(x.family.Name, x.account, x.dims[:len(x.family.Dims)])}, x.ValueMin, taken)
			}
			for n, extract := range extractors {
				if !extract.Matches(rows, i) {
					continue
				}
				if v := extract.Value(rows, i); v.Has {
					s.dims = extract.AppendDims(s.dims[:0], rows, i)
					s.value(cell{hour, schemas.MakeSeriesID(meters[n].Family.Name, rows.String(rows.Account[i]), s.dims)}, v.Number, taken)
				}
			}
		}
		return nil
	}, columns
}

func (s *staleDay) value(key cell, v schemas.Decimal, taken bool) {
	c := s.cells[key]
	switch {
	case c == nil:
	case taken:
		c.take(v)
	default:
		c.add(v)
	}
}

// extremes are those of the rows that were computed whole.
func (s *staleDay) extremes() (all []store.Extremes) {
	for _, c := range s.cells {
		if c.left == c.ValueCount {
			all = append(all, store.Extremes{StaleRow: c.StaleRow, Min: c.min, Max: c.max})
		}
	}
	slices.SortFunc(all, func(a, b store.Extremes) int { return int(a.Window) - int(b.Window) })
	return all
}
