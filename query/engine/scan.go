package engine

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"tallybook/archive"
	"tallybook/schemas"
	"tallybook/store"
)

// scan folds the archive's part of a question. Files are decoded side by side
// and folded one at a time.
func (e *Engine) scan(ctx context.Context, p *part) error {
	files := p.files
	if len(files) == 0 {
		return nil
	}
	if e.cfg.Archive == nil {
		return tooMuch("this question needs the archive, which this process does not have; ask for whole hours and dimensions of rollups")
	}
	var rows int64
	for _, f := range files {
		rows += f.Rows
	}
	if rows > e.cfg.MaxScanRows {
		return tooMuch("the question has to read %d archived events, and at most %d are read; ask for a shorter range, whole hours, or dimensions that rollups have", rows, e.cfg.MaxScanRows)
	}
	select {
	case e.scans <- struct{}{}:
		defer func() { <-e.scans }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s := &scanner{part: p, maxValues: e.cfg.MaxValues}
	if err := e.scanAll(ctx, s, files); err != nil {
		return err
	}
	if len(s.taken) == 0 {
		return nil
	}
	// Corrections took events away. Which ones are left shows when all that was
	// taken is known: once more, for extremes and latest alone.
	s.again = true
	for i := range p.table.cells {
		p.table.cells[i].sums.forget()
	}
	return e.scanAll(ctx, s, files)
}

func (e *Engine) scanAll(ctx context.Context, s *scanner, files []store.ArchiveFile) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(e.cfg.ScanWorkers)
	for i := range files {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return e.scanFile(ctx, s, &files[i]) })
	}
	return g.Wait()
}

// scanFile reads a file where it is or, when its checkpoint is not yet
// published, where it was staged.
func (e *Engine) scanFile(ctx context.Context, s *scanner, f *store.ArchiveFile) error {
	var err error
	for _, name := range []string{f.Name, f.Staged, f.Name} {
		fold := s.file()
		err = e.cfg.Archive.Scan(ctx, name, s.query(f, fold.columns), func(r *archive.Rows) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			return fold.rows(r)
		})
		if !errors.Is(err, fs.ErrNotExist) || fold.begun {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("scan the archive: %w", err)
	}
	return nil
}

// scanner folds archive rows into a part's table.
type scanner struct {
	*part
	mu        sync.Mutex
	again     bool            // the second time: extremes and latest only
	taken     map[taken]int64 // events that corrections took away
	values    int             // kept so far
	maxValues int
}

// taken says of an event that was taken away what tells it from others of its
// cell.
type taken struct {
	cell  int32
	time  int64
	value schemas.Decimal
}

// query asks a file for what may be wanted of it.
func (s *scanner) query(f *store.ArchiveFile, columns []string) archive.ScanQuery {
	q := archive.ScanQuery{Columns: columns, From: f.MaxTime + 1, To: f.MinTime, Accounts: s.q.Accounts}
	for _, spans := range [][]span{s.plan.archive, s.plan.byMetadata} {
		for _, x := range spans {
			if x.start <= f.MaxTime && x.end > f.MinTime {
				q.From, q.To = min(q.From, x.start), max(q.To, x.end)
			}
		}
	}
	return q
}

// fileFold folds one file.
type fileFold struct {
	*scanner
	source  source
	columns []string
	kind    nameReader
	groupBy []nameReader // in the question's order
	filters []fileFilter
	text    *nameReader // of Distinct
	begun   bool

	groups map[string]int32 // by the keys of a row's names
	key    []byte
	last   []byte // the key of the row before, and what came of it
	lastTo int32
	lastAt place
	cellOf int32 // -1: not known
	spanAt [2]int
}

type fileFilter struct {
	nameReader
	allowed []string
}

func (s *scanner) file() *fileFold {
	f := &fileFold{scanner: s, source: newSource(s.q), groups: map[string]int32{}, lastTo: notWanted, cellOf: -1}
	read := func(name string, filter bool) nameReader {
		r, _ := f.source.name(name, filter) // Known has said that it is there
		f.columns = append(f.columns, r.columns...)
		return r
	}
	f.kind = codeReader("type", func(r *archive.Rows) []archive.Code { return r.Type })
	for _, name := range s.q.GroupBy {
		f.groupBy = append(f.groupBy, read(name, false))
	}
	for name, allowed := range s.q.Filters {
		f.filters = append(f.filters, fileFilter{read(name, true), allowed})
	}
	if s.q.Distinct != "" {
		r := read(s.q.Distinct, false)
		f.text = &r
	}
	f.columns = append(append(f.columns, "type", "time", "sign"), f.source.columns(s.q.Need)...)
	if s.q.Need&Latest != 0 {
		f.columns = append(f.columns, "topic_partition", "topic_offset", "row", "log_time")
	}
	if len(s.plan.byMetadata) > 0 {
		f.columns = append(f.columns, "data")
	}
	slices.Sort(f.columns)
	f.columns = slices.Compact(f.columns)
	return f
}

func (f *fileFold) rows(r *archive.Rows) error {
	f.begun = true
	f.source.begin()
	for i := range r.Time {
		var whole, split bool
		if f.spanAt[0], whole = find(f.plan.archive, f.spanAt[0], r.Time[i]); !whole {
			f.spanAt[1], split = find(f.plan.byMetadata, f.spanAt[1], r.Time[i])
			if !split || !f.counts(r, i) || !f.source.rated.byMetadata(r, i, f.q.Filters) {
				continue
			}
		}
		names := f.group(r, i)
		if names < 0 {
			continue
		}
		if err := f.row(r, i, names); err != nil {
			return err
		}
	}
	return nil
}

func (f *fileFold) counts(r *archive.Rows, i int) bool { return f.source.counts(f.kind.text(r, i)) }

// group is the number of a row's names; rows mostly repeat what the row before
// them had.
func (f *fileFold) group(r *archive.Rows, i int) int32 {
	f.key = binary.LittleEndian.AppendUint32(f.key[:0], f.kind.key(r, i))
	for k := range f.groupBy {
		f.key = binary.LittleEndian.AppendUint32(f.key, f.groupBy[k].key(r, i))
	}
	for k := range f.filters {
		f.key = binary.LittleEndian.AppendUint32(f.key, f.filters[k].key(r, i))
	}
	if len(f.last) > 0 && string(f.key) == string(f.last) {
		return f.lastTo
	}
	n, ok := f.groups[string(f.key)]
	if !ok {
		n = f.names(r, i)
		f.groups[string(f.key)] = n
	}
	f.last, f.lastTo, f.cellOf = append(f.last[:0], f.key...), n, -1
	return n
}

func (f *fileFold) names(r *archive.Rows, i int) int32 {
	if !f.counts(r, i) {
		return notWanted
	}
	for k := range f.filters {
		if !slices.Contains(f.filters[k].allowed, f.filters[k].text(r, i)) {
			return notWanted
		}
	}
	f.part.names = f.part.names[:0]
	for k := range f.groupBy {
		f.part.names = append(f.part.names, f.groupBy[k].text(r, i))
	}
	return f.table.group(f.part.names)
}
