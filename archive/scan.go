package archive

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// ScanQuery says which rows and columns of a file are wanted.
type ScanQuery struct {
	// Columns to fill; the others stay empty. Rows.Partition is filled where
	// topic_partition is asked for. Without any, Rows.Len is the answer.
	Columns []string
	// From and To are event times in µs, From included, To not: math.MinInt64
	// and math.MaxInt64 leave an end open. The zero ScanQuery has no rows.
	From, To int64
	Accounts []string // nil: all
	// Workers is how many files ScanFiles reads at a time; 0: as many as there
	// are processors.
	Workers int
}

// Scan calls fn with the rows of a file that the query wants, and only these:
// at most once for each row group, in the order of the file. A row group that
// its bounds of time or account exclude is not read, pages without a wanted row
// are not decoded, and strings come as codes, interned once for each entry of a
// dictionary. For what fn may do with Rows, and for damaged files, see Read;
// fs.ErrNotExist where the file is not, or no longer, there.
func (a *Archive) Scan(ctx context.Context, name string, q ScanQuery, fn func(*Rows) error) error {
	return a.scan(ctx, name, newFilter(q), fn)
}

func (a *Archive) scan(ctx context.Context, name string, f *filter, fn func(*Rows) error) error {
	return a.withFile(ctx, name, func(r *reader) error { return r.scan(ctx, f, fn) })
}

// ScanFiles scans files, several at a time, each as Scan does, in no order of
// the files. fn is called by up to Workers goroutines at a time, each with its
// number from 0 on, so that it can add up without a lock. A code means the same
// string in all calls of one file. The first error ends the scan and is
// returned when every worker has ended.
func (a *Archive) ScanFiles(ctx context.Context, names []string, q ScanQuery, fn func(worker int, name string, rows *Rows) error) error {
	f := newFilter(q)
	workers, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for w := range min(q.workers(), len(names)) {
		workers.Go(func() error {
			for {
				i := next.Add(1) - 1
				if i >= int64(len(names)) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				name := names[i]
				if err := a.scan(ctx, name, f, func(rows *Rows) error { return fn(w, name, rows) }); err != nil {
					return err
				}
			}
		})
	}
	return workers.Wait()
}

func (q *ScanQuery) workers() int {
	if q.Workers > 0 {
		return q.Workers
	}
	return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) // a scan only computes
}

// filter is a ScanQuery, made ready to be asked of many files, or the question
// for an id. It never changes.
type filter struct {
	columns  []string
	from, to int64
	accounts []string // sorted; nil: all
	id       *string  // nil: all
}

func newFilter(q ScanQuery) *filter {
	f := &filter{columns: q.Columns, from: q.From, to: q.To}
	if q.Accounts != nil {
		f.accounts = append([]string{}, q.Accounts...)
		slices.Sort(f.accounts)
	}
	return f
}

// neededColumn is a column that is asked for, or that rows are chosen by.
type neededColumn struct {
	*column
	index  int // among the columns of the dataset
	asked  bool
	loaded bool // in this row group
	base   int  // row of the row group with which what is loaded begins
}

func (r *reader) scan(ctx context.Context, f *filter, fn func(*Rows) error) error {
	for _, name := range f.columns {
		c, err := r.need(name)
		if err != nil {
			return err
		}
		c.asked = true
	}
	for i := range r.footer.groups {
		if err := ctx.Err(); err != nil {
			return err
		}
		g := &r.footer.groups[i]
		if err := r.scanGroup(g, f); err != nil {
			return fmt.Errorf("row group %d: %w", i, err)
		}
		if r.picked.empty() {
			continue
		}
		if err := fn(&r.rows); err != nil {
			return err
		}
	}
	return nil
}

// need is the column's place among those that are needed.
func (r *reader) need(name string) (*neededColumn, error) {
	index, err := findColumn(r.footer.dataset, name)
	if err != nil {
		return nil, err
	}
	for i := range r.needed {
		if c := &r.needed[i]; c.index == index {
			return c, nil
		}
	}
	r.needed = append(r.needed, neededColumn{column: &columnsOf[r.footer.dataset][index], index: index})
	return &r.needed[len(r.needed)-1], nil
}

// scanGroup fills rows with those of the row group that are wanted; where there
// are none, nothing is picked.
func (r *reader) scanGroup(g *group, f *filter) error {
	for i := range r.needed {
		r.needed[i].loaded = false
	}
	if err := r.aheadOfPick(g, f); err != nil {
		return err
	}
	if err := r.pick(g, f); err != nil || r.picked.empty() {
		return err
	}
	if err := r.aheadOfLoad(g); err != nil {
		return err
	}
	r.rows.read = r.picked.len()
	for i := range r.needed {
		c := &r.needed[i]
		if !c.asked {
			clearColumn(c.at(&r.rows))
			continue
		}
		if !c.loaded {
			if err := r.load(c, g, r.picked.hull()); err != nil {
				return err
			}
		}
		r.picked.keep(c.at(&r.rows), c.base)
	}
	return nil
}

// load reads a column, from the page with the first row of want to that with
// its last.
func (r *reader) load(c *neededColumn, g *group, want span) error {
	b, err := r.section(g.chunks[c.index].section)
	if err == nil {
		c.base, err = r.decode(c.column, b, g.rows, want)
	}
	if err != nil {
		return fmt.Errorf("column %s: %w", c.name, err)
	}
	c.loaded = true
	return nil
}

func (r *reader) decode(c *column, chunk []byte, rows int, want span) (base int, err error) {
	defer recoverDamage(&err)
	to := c.at(&r.rows)
	clearColumn(to)
	p := &r.page
	p.start(chunk)
	for end := 0; end < want.to; {
		ok, err := p.next(c)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if end = p.row + p.head.values; !ok || end > rows {
			return 0, fmt.Errorf("%w: pages of %d rows instead of %d", ErrDamaged, end, rows)
		}
		if end <= want.from {
			base = end
			continue
		}
		err = p.open(c)
		if err == nil {
			err = p.appendTo(to)
		}
		if err != nil {
			return 0, fmt.Errorf("%w: page of row %d: %w", ErrDamaged, p.row, err)
		}
	}
	return base, nil
}
